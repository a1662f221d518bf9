// Messages as they pass: device → route → endpoint. One can filter, pause, open; what was left out is said.

import { button, count, empty, fill, h, icon, liveList, number, searchBox, select } from "/assets/parts/parts.js";
import { messageRow, senderOf } from "./message.js";

const REMEMBERED = 500;
const REST_MS = 300;

export function openFlow(page) {
  const wanted = { device: page.query.get("device") ?? "", route: page.query.get("route") ?? "", text: page.query.get("text") ?? "" };
  const status = h("p", { "aria-live": "off" }, "Connecting …");
  const leftOut = h("p", { class: "left-out soft small", hidden: true });
  const blank = h("div", {});
  let lost = 0;
  let isOpen = false;
  let isCleared = false;
  let refused = "";

  const live = liveList({
    label: "Messages, the newest first",
    draw: (message) => messageRow(message, { opened: () => setPaused(true) }),
    key: ({ at, n }) => `${at} ${String(n).padStart(12, "0")}`,
    matches,
    heard: ({ seen, kept, shown, waiting, isPaused }) => {
      status.textContent = isPaused ? `Paused. ${count(waiting, "new message")} since.` : isOpen ? `Live. ${count(seen, "message")} seen, the newest ${number(shown)} shown.` : refused || "Connecting …";
      drawPause(waiting);
      drawBlank(kept, shown);
    },
  });

  const pause = button("Pause", () => setPaused(!live.isPaused), { icon: "pause", pressed: false });
  const clear = button("Clear", () => {
    lost = 0;
    isCleared = true;
    leftOut.hidden = true;
    live.reset([]);
  }, { kind: "quiet" });
  const routes = select("Route", [["", "All routes"]], wanted.route, (value) => choose("route", value));

  function setPaused(value) {
    live.setPaused(value);
    pause.setAttribute("aria-pressed", String(value));
  }

  let drawnPause = "";
  function drawPause(waiting) {
    const text = live.isPaused ? (waiting > 0 ? `Resume (${number(waiting)} new)` : "Resume") : "Pause";
    if (text !== drawnPause) {
      drawnPause = text;
      fill(pause, icon(live.isPaused ? "play" : "pause"), h("span", {}, text));
    }
  }

  function drawBlank(kept, shown) {
    const state = shown > 0 ? "" : kept > 0 || wanted.device || wanted.route || wanted.text ? "filtered" : "none";
    if (blank.dataset.state !== state) {
      blank.dataset.state = state;
      fill(
        blank,
        state === "filtered" ? empty({ icon: "search", title: "No message fits the filter", text: "It is shown here as soon as one does." }) : null,
        state === "none" ? empty({ icon: "flow", title: "No message yet", text: "What devices send is shown here as it arrives, with the routes that take it." }) : null,
      );
    }
  }

  function matches(message) {
    if (wanted.device && !senderOf(message).toLowerCase().includes(wanted.device.toLowerCase())) {
      return false;
    }
    if (wanted.route && !message.routes.includes(wanted.route)) {
      return false;
    }
    const text = wanted.text.toLowerCase();
    return !text || `${senderOf(message)} ${message.body ?? ""} ${JSON.stringify(message.properties ?? {})}`.toLowerCase().includes(text);
  }

  let filterTimer = 0;
  function choose(name, value) {
    wanted[name] = value;
    live.redraw();
    clearTimeout(filterTimer);
    filterTimer = setTimeout(listen, REST_MS);
  }

  let listening = null;
  /** Opens the stream for what is wanted: the gateway filters too, so that a flood of others hides nothing. */
  function listen() {
    listening?.abort();
    listening = new AbortController();
    const asked = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
    page.stream(`/api/live?${asked}`, {
      message: (message) => live.add(message),
      overview: () => {}, // every two seconds: by it the stream is known to be alive
      "left-out": ({ count: more }) => {
        lost += more;
        leftOut.hidden = false;
        leftOut.textContent = `${count(lost, "message")} passed too quickly to be shown, or did not fit the filter. The flow is not slowed for this page.`;
      },
    }, (state, why = "") => {
      isOpen = state === "open";
      refused = why;
      live.setPaused(live.isPaused);
      if (isOpen) {
        remember();
      }
    }, listening.signal);
  }

  /** What passed before the stream was open, as far as the gateway remembers it. */
  async function remember() {
    const said = await page.attempt(() => page.ask("GET", `/api/messages?last=${REMEMBERED}`));
    if (said !== null && !isCleared) {
      live.merge(said.messages);
    }
  }

  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Live flow"), status), h("div", { class: "buttons" }, clear, pause)),
    h(
      "div",
      { class: "toolbar filters" },
      searchBox("Filter by device", (value) => choose("device", value), { value: wanted.device }),
      searchBox("Filter by text", (value) => choose("text", value), { value: wanted.text }),
      routes,
    ),
    leftOut,
    h("section", { class: "card", "aria-label": "Messages" }, live.element, blank),
  );
  drawBlank(0, 0);

  page.attempt(async () => {
    const said = await page.ask("GET", "/api/routes");
    routes.give([["", "All routes"], ...said.routes.map(({ name }) => [name, name])], wanted.route);
  });
  listen();
}
