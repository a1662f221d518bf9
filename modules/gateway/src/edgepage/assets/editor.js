// A field for JSON that says where it is wrong while it is typed.

import { button, h } from "./dom.js";

/** What is wrong with a text as JSON, with the line, or "". */
export function faultOfJson(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    const place = /position (\d+)/.exec(error.message);
    const why = error.message.replace(/^JSON\.parse: /, "").replace(/ in JSON at position.*$| at position.*$|, "[\s\S]*is not valid JSON$/, "");
    if (place === null) {
      return `This is not JSON: ${why}.`;
    }
    const lines = text.slice(0, Number(place[1])).split("\n");
    return `Line ${lines.length}, column ${lines[lines.length - 1].length + 1}: ${why}.`;
  }
}

/** As faultOfJson, and it must be an object. */
export function faultOfObject(text) {
  const fault = faultOfJson(text);
  if (fault) {
    return fault;
  }
  const value = JSON.parse(text);
  return typeof value === "object" && value !== null && !Array.isArray(value) ? "" : 'Write a JSON object: { "name": value }.';
}

/** The field. `changed(value)` is called with what it holds when it is good. Returns {element, value(), isGood(), set(text)}. */
export function jsonEditor({ label, value = "{}", rows = 12, check = faultOfObject, changed = () => {}, hint = "" }) {
  const id = `json-${Math.random().toString(36).slice(2)}`;
  const wrong = h("span", { class: "wrong", id: `${id}-wrong`, role: "status" });
  const area = h("textarea", { class: "input", id, rows: String(rows), spellcheck: "false", autocomplete: "off", autocapitalize: "off", "aria-describedby": wrong.id, value, on: { input: () => judge() } });
  function judge() {
    const fault = check(area.value);
    wrong.textContent = fault;
    area.setAttribute("aria-invalid", String(fault !== ""));
    if (fault === "") {
      changed(JSON.parse(area.value));
    }
    return fault === "";
  }
  const tidy = button("Tidy", () => {
    if (judge()) {
      area.value = JSON.stringify(JSON.parse(area.value), null, 2);
    }
  }, { kind: "small quiet", label: `Tidy ${label}` });
  const head = h("div", { class: "line-head" }, h("label", { for: id, class: "strong small grow" }, label), tidy);
  const element = h("div", { class: "field" }, head, area, hint ? h("span", { class: "hint" }, hint) : null, wrong);
  return {
    element,
    area,
    value: () => JSON.parse(area.value),
    isGood: judge,
    set(text) {
      area.value = text;
      judge();
    },
  };
}
