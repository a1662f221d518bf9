// The routes in force with their hits; and where they are tried.

import { absent, chip, count, duration, empty, h, icon, number, searchBox, since, table } from "/assets/parts/parts.js";
import { routeText } from "./decision.js";
import { endpointName } from "./message.js";
import { openTrial } from "./trial.js";

export function openRoutes(page) {
  if (page.path[0] === "try") {
    openTrial(page);
    return;
  }
  const wanted = { text: "" };
  const about = h("p", {}, "Asking …");
  let all = [];
  const list = table({
    label: "Routes",
    opens: true,
    phoneColumns: 3,
    columns: [
      { name: "Name", value: (row) => row.name, draw: (row) => h("a", { class: "whole-row", href: `#/routes/try?${new URLSearchParams({ route: row.name })}` }, row.name), headline: true },
      { name: "Route", value: (row) => row.route, draw: (row) => routeText(row.route), sort: false, bare: true },
      { name: "Endpoint", value: (row) => row.endpoint, draw: (row) => chip(endpointName(row.endpoint)) },
      { name: "Priority", value: (row) => row.priority, draw: (row) => (row.priority === null ? absent() : String(row.priority)), right: true },
      { name: "Kept for", value: (row) => row.timeToLiveSecs, draw: (row) => row.timeToLiveSecs ? h("span", { class: "nowrap" }, duration(row.timeToLiveSecs)) : absent(), right: true },
      { name: "Hits", value: (row) => row.hits, draw: (row) => number(row.hits), right: true },
      { name: "Per minute", value: (row) => row.hitsPerMinute, draw: (row) => number(row.hitsPerMinute), right: true },
      { name: "Last hit", value: (row) => row.lastHitAt, draw: (row) => since(row.lastHitAt), right: true },
    ],
    key: (row) => row.name,
    blank: h("div", {}, empty({ icon: "routes", title: "No route", text: "Without routes every message is taken in and goes nowhere. Write one in the try-it editor, and put it into the module's settings." })),
  });
  const draw = () => list.show(all.filter(({ name, route, endpoint }) => `${name} ${route} ${endpoint}`.toLowerCase().includes(wanted.text.toLowerCase())));

  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Routes"), about), h("a", { class: "button primary", href: "#/routes/try" }, icon("edit"), "Try and edit")),
    h(
      "div",
      { class: "toolbar" },
      searchBox("Search routes", (value) => {
        wanted.text = value;
        draw();
      }),
    ),
    h("section", { class: "card scrolls", "aria-label": "List of routes" }, list.element),
  );
  page.poll("/api/routes", 3, (said) => {
    all = said.routes;
    const version = said.version === null || said.version === undefined ? "" : `, version ${said.version}`;
    about.textContent = `${count(all.length, "route")} in force from ${said.source}${version}. ${count(said.unrouted, "message")} went by no route.`;
    draw();
  });
}
