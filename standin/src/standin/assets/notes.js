// What the stand-in has told of itself lately: who came, who was refused and why.

import { clock, empty, fill, h, liveList, number, searchBox } from "/assets/parts/parts.js";
import { hubPath, isoOf } from "./words.js";

const WAIT_S = 20;
const REFUSED = /^(refused|closing|detaching)/;

export function openNotes(page) {
  let wanted = "";
  let last = 0;
  const about = h("p", {}, "Who came and who was refused, the newest first.");
  const blank = h("div", {});
  const live = liveList({
    label: "Lines, the newest first",
    draw: ({ at, text }) => h("div", { class: "note-row" }, h("span", { class: "soft mono" }, clock(isoOf(at))), h("span", { class: "break", data: { tone: REFUSED.test(text) ? "warn" : null } }, text)),
    matches: ({ text }) => text.toLowerCase().includes(wanted.toLowerCase()),
    keep: 500,
    most: 500,
    heard: ({ kept, shown }) => {
      about.textContent = `${number(shown)} of the latest ${number(kept)}, the newest first.`;
      fill(blank, shown ? null : empty({ icon: "events", title: kept ? "No line fits" : "Nothing has happened yet" }));
    },
  });
  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Log"), about)),
    h("div", { class: "toolbar" }, searchBox("Search", (value) => {
      wanted = value;
      live.redraw();
    })),
    h("section", { class: "card", "aria-label": "Log" }, live.element, blank),
  );
  page.poll(() => hubPath("notes", { after: last, wait_s: last ? WAIT_S : 0 }), 0.05, ({ notes, last: latest }) => {
    if (latest < last) {
      last = 0; // it was started anew, and so are its numbers
    } else if (notes.length) {
      last = notes[notes.length - 1].number;
      notes.forEach((note) => live.add(note));
    }
  });
}
