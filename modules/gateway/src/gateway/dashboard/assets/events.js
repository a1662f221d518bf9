// What happened, the newest first.

import { empty, fill, h, moment, number, searchBox, segments, timeOfDay } from "/assets/parts/parts.js";
import { LEVEL_TONES } from "./overview.js";

const SHOWN = 200;
const WORDS = { error: "Error", warning: "Warning", info: "Info", debug: "Detail" };

export function openEvents(page) {
  const wanted = { level: page.query.get("level") ?? "all", text: "" };
  const about = h("p", {}, "What the gateway did and noticed, the newest first.");
  const list = h("ol", { class: "timeline", "aria-label": "Events" });
  const blank = h("div", {});
  let all = [];
  let drawn = "";

  function fits({ level, event, sentence }) {
    const isLevel = wanted.level === "all" || level === wanted.level || (wanted.level === "trouble" && (level === "error" || level === "warning"));
    return isLevel && `${event} ${sentence}`.toLowerCase().includes(wanted.text.toLowerCase());
  }

  function draw() {
    const shown = all.filter(fits).slice(-SHOWN).reverse();
    const state = JSON.stringify([wanted, shown]);
    if (state === drawn) {
      return;
    }
    drawn = state;
    about.textContent = `${number(shown.length)} of the latest ${number(all.length)}, the newest first.`;
    fill(list, byDay(shown));
    fill(blank, shown.length ? null : empty({ icon: "events", title: all.length ? "No event fits the filter" : "Nothing has happened yet", text: all.length ? "" : "Connections, refusals, settings and faults are told here." }));
  }

  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Events"), about)),
    h(
      "div",
      { class: "toolbar" },
      searchBox("Search events", (value) => {
        wanted.text = value;
        draw();
      }),
      segments("Level", [["all", "All"], ["trouble", "Warnings and errors"], ["error", "Errors"]], wanted.level, (value) => {
        wanted.level = value;
        draw();
      }),
    ),
    h("section", { class: "card", "aria-label": "Timeline" }, list, blank),
  );
  page.poll("/api/events?last=500", 3, ({ events }) => {
    all = events;
    draw();
  });
}

/** Lines with a heading for each day. */
function byDay(events) {
  let today = "";
  return events.map((event) => {
    const when = new Date(event.at).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });
    const head = when === today ? null : h("li", { class: "timeline-day" }, when);
    today = when;
    return [head, line(event)];
  });
}

function line({ at, level, event, sentence }) {
  return h(
    "li",
    { class: "timeline-line", data: { tone: LEVEL_TONES[level] || null } },
    h("time", { class: "soft mono", datetime: at, title: moment(at) }, timeOfDay(at)),
    h("span", { class: "dot", data: { tone: LEVEL_TONES[level] || null } }),
    h("div", { class: "grow" }, h("p", { class: "break" }, h("span", { class: "unseen" }, `${WORDS[level] ?? level}: `), sentence), h("p", { class: "soft small" }, event)),
  );
}
