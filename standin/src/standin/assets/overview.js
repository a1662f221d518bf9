// What this hub is, who is connected, what it counted, and what a client is configured with.

import { banner, card, chip, copyButton, count, empty, fill, h, number, refill, table } from "/assets/parts/parts.js";
import { hubPath } from "./words.js";

const STRINGS = [
  ["A program of the service side", { policy: "service" }, "azure-iot-hub, azure-iothub: messages, twins, methods"],
  ["One that may do everything", { policy: "iothubowner" }, "the registry too"],
  ["A reader of the events", { events: "1", policy: "service" }, "azure-eventhub: what arrived"],
];

export function openOverview(page) {
  const about = h("p", {}, "Asking …");
  const troubles = h("div", { class: "stack tight", "aria-live": "polite" });
  const tiles = h("div", { class: "tiles" });
  const connected = h("div", {});
  const strings = h("ul", { class: "lines" });
  const counters = table({
    label: "Counters",
    columns: [
      { name: "What", value: ([name]) => name, headline: true },
      { name: "How often", value: ([, value]) => value, draw: ([, value]) => number(value), right: true },
    ],
    key: ([name]) => name,
    blank: empty({ icon: "overview", title: "Nothing was counted yet", slim: true }),
  });
  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Overview"), about)),
    h(
      "div",
      { class: "stack" },
      troubles,
      tiles,
      h(
        "div",
        { class: "columns" },
        h("div", { class: "half stack" }, card("Connected", connected), card("What clients are configured with", strings)),
        h("div", { class: "half stack" }, card("Since its start", counters.element, { flush: true })),
      ),
    ),
  );
  let drawn = "";
  page.poll("/api/status", 2, (said) => {
    const now = JSON.stringify(said);
    if (now === drawn) {
      return;
    }
    drawn = now;
    about.textContent = `${said.hub} at ${said.address}; the edge device is ${said.edgeDevice}`;
    refill(tiles, tile("Events", number(said.events), "#/events"), tile("Connected", number(said.connected.length), "#/devices"), tile("Refused", number(refusedOf(said.counters)), "#/notes"));
    refill(connected, said.connected.length ? h("div", { class: "chips" }, said.connected.map((who) => h("a", { href: `#/devices/${encodeURIComponent(who)}` }, chip(who)))) : empty({ icon: "devices", title: "Nobody is connected", text: "Give a device its connection string: it stands on the device's page.", slim: true }));
    counters.show(Object.entries(said.counters));
  });
  page.poll("/api/faults", 4, (faults) => {
    const active = Object.entries(faults).filter(([, value]) => value !== false && value !== 0);
    fill(troubles, active.length ? banner("warn", h("strong", {}, `${count(active.length, "fault")} on purpose. `), active.map(([name]) => name).join(", "), ". ", h("a", { href: "#/faults" }, "See all")) : null);
  });
  page.attempt(async () => {
    const found = await Promise.all(STRINGS.map(async ([name, query, use]) => [name, use, (await page.ask("GET", hubPath("connection-string", query))).connectionString]));
    fill(strings, found.map(([name, use, text]) => h("li", {}, h("div", { class: "line-head" }, h("span", { class: "grow" }, h("strong", {}, name), h("br"), h("span", { class: "soft small" }, use)), copyButton(() => text, { words: "Copy", label: `Copy the connection string: ${name}` })))));
  });
}

/** How much was refused, of all that is counted. */
function refusedOf(counters) {
  return Object.entries(counters).filter(([name]) => name.includes("refused")).reduce((sum, [, value]) => sum + value, 0);
}

function tile(name, value, href = null) {
  return h("div", { class: "card tile" }, h("span", { class: "name" }, name), h("span", { class: "value" }, href ? h("a", { href }, value) : value));
}
