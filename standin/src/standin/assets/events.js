// What arrived in the cloud, live: the newest first.

import { button, bytes, clock, codeBlock, count, empty, facts, fill, h, icon, liveList, moment, number, pretty, searchBox } from "/assets/parts/parts.js";
import { hubPath, named } from "./words.js";

const AT_FIRST = 200;
const MOST = 200;
const WAIT_S = 20;
const PREVIEW = 160;
const BODY_BYTES = 4_096; // of thousands that the page keeps

const senderOf = ({ device, module }) => (module ? `${device}/${module}` : device);

export function openEvents(page) {
  const wanted = { text: page.query.get("device") ?? "" };
  const status = h("p", { "aria-live": "off" }, "Asking …");
  const blank = h("div", {});
  let last = null;
  const live = liveList({
    label: "Events, the newest first",
    draw: (event) => eventRow(event, () => setPaused(true)),
    matches: (event) => `${senderOf(event)} ${event.body ?? ""} ${JSON.stringify(event.properties)}`.toLowerCase().includes(wanted.text.toLowerCase()),
    heard: ({ seen, kept, shown, waiting, isPaused }) => {
      status.textContent = isPaused ? `Paused. ${count(waiting, "new event")} since.` : `${count(seen, "event")} seen, the newest ${number(shown)} shown.`;
      fill(blank, shown ? null : empty({ icon: kept ? "search" : "cloud", title: kept ? "No event fits the filter" : "Nothing has arrived yet", text: kept ? "" : "What devices and gateways send to this hub is shown here at once." }));
    },
  });
  const pause = button("Pause", () => setPaused(!live.isPaused), { icon: "pause", pressed: false });

  function setPaused(value) {
    live.setPaused(value);
    pause.setAttribute("aria-pressed", String(value));
    fill(pause, icon(value ? "play" : "pause"), h("span", {}, value ? "Resume" : "Pause"));
  }

  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Events"), status), h("div", { class: "buttons" }, pause)),
    h("div", { class: "toolbar" }, searchBox("Filter by device or text", (value) => {
      wanted.text = value;
      live.redraw();
    }, { value: wanted.text })),
    h("section", { class: "card", "aria-label": "Events" }, live.element, blank),
  );
  page.attempt(async () => {
    const { lastSequence } = await page.ask("GET", hubPath("status"));
    last = Math.max(0, lastSequence - AT_FIRST);
    // Each answer comes as soon as there is an event, or after the wait: there is no rest between.
    page.poll(() => hubPath("events", { after: last, limit: MOST, body_bytes: BODY_BYTES, wait_s: live.rows.length || lastSequence === 0 ? WAIT_S : 0 }), 0.05, ({ events }) => {
      if (events.length) {
        last = events[events.length - 1].sequence;
        events.forEach((event) => live.add(event));
      }
    });
    live.redraw();
  });
}

function preview(event) {
  return event.body === undefined ? `${bytes(event.bytes)}, no text` : event.body.slice(0, PREVIEW).replace(/\s+/g, " ") || "empty";
}

/** A row that opens; `opened` is called when somebody opens it. */
function eventRow(event, opened) {
  const sender = senderOf(event);
  const details = h(
    "details",
    {},
    h(
      "summary",
      { class: "event-row" },
      h("span", { class: "soft mono" }, clock(event.enqueuedTime)),
      h("span", { class: "strong one-line", title: sender }, sender, event.output ? h("span", { class: "soft" }, ` ${event.output}`) : null),
      h("span", { class: "event-body soft mono one-line" }, preview(event)),
    ),
  );
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      details.append(whole(event));
      opened();
    }
  });
  return details;
}

function whole(event) {
  const text = event.body ?? `base64: ${event.bodyBase64}`;
  return h(
    "div",
    { class: "opened" },
    codeBlock(pretty(text) || "(empty)", "body"),
    event.bodyCut ? h("p", { class: "soft small" }, `Cut: the whole body has ${bytes(event.bytes)}.`) : null,
    facts([
      ["Number", number(event.sequence)],
      ["Arrived", moment(event.enqueuedTime)],
      ["Size", bytes(event.bytes)],
      ["Output", event.output],
      ...named(event.properties),
      ...named(event.systemProperties),
    ]),
    h("div", { class: "buttons" }, h("a", { class: "button small", href: `#/devices/${encodeURIComponent(senderOf(event))}` }, icon("devices"), "Device")),
  );
}
