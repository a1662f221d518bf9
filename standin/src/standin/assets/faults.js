// What goes wrong on purpose: to see what a gateway or a device does then.

import { button, card, count, h, refill, toast } from "/assets/parts/parts.js";
import { hubPath } from "./words.js";

export function openFaults(page) {
  const list = h("ul", { class: "lines" }, h("li", { class: "soft" }, "Asking …"));
  page.draw(
    h(
      "div",
      { class: "page-head" },
      h("div", { class: "grow" }, h("h1", {}, "Faults"), h("p", {}, "What goes wrong on purpose, until it is ended.")),
      h("div", { class: "buttons" }, button("Drop connections", drop), button("End all", clear, { kind: "primary" })),
    ),
    card("What can go wrong", list),
  );

  async function load() {
    const [faults, what] = await Promise.all([page.ask("GET", hubPath("faults")), page.ask("GET", hubPath("faults/what"))]);
    refill(list, Object.entries(faults).map(([name, value]) => line(name, value, what[name])));
  }

  function line(name, value, what) {
    const id = `fault-${name}`;
    const input = typeof value === "boolean" ? h("input", { id, type: "checkbox", checked: value, on: { change: () => change(name, input.checked) } }) : h("input", { id, class: "input short", type: "text", inputmode: "decimal", value: String(value), on: { change: () => change(name, Number(input.value)) } });
    return h("li", { class: "fault-line" }, h("label", { for: id, class: "grow" }, h("strong", {}, name), h("br"), h("span", { class: "soft small" }, what)), input);
  }

  async function change(name, value) {
    if ((await page.attempt(() => page.ask("PATCH", hubPath("faults"), { [name]: value }))) !== null) {
      toast(`${name} is ${value}.`);
    }
    page.attempt(load);
  }

  async function clear() {
    if ((await page.attempt(() => page.ask("PATCH", hubPath("faults"), {}))) !== null) {
      toast("Nothing goes wrong on purpose any more.");
    }
    page.attempt(load);
  }

  async function drop() {
    const said = await page.attempt(() => page.ask("POST", hubPath("connections/drop"), {}));
    if (said !== null) {
      toast(`${count(said.dropped, "connection")} cut.`);
    }
  }

  page.attempt(load);
}
