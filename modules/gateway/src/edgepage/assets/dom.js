// Elements, made by one function. What comes from outside becomes text and never markup: there is no other way in.

const SVG = "http://www.w3.org/2000/svg";
const PLACES = "a, button, input, summary";
const ICONS = "/assets/parts/icons.svg#";

/** An element: `props` are attributes, and `on` (event → function), `data` (data-…), `class`. false and null leave out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    put(element, name, value);
  }
  fill(element, ...children);
  return element;
}

/** Replaces what is in an element. Texts, numbers, elements and lists of them; null and false are left out. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** As fill, for what is drawn anew while somebody may be there by keyboard: who was at a link or a
    field stays at the one in its place. */
export function refill(element, ...children) {
  const at = element.contains(document.activeElement) ? [...element.querySelectorAll(PLACES)].indexOf(document.activeElement) : -1;
  fill(element, ...children);
  if (at >= 0) {
    element.querySelectorAll(PLACES)[at]?.focus({ preventScroll: true });
  }
  return element;
}

function put(element, name, value) {
  if (value === null || value === undefined || value === false) {
    return;
  }
  if (name === "on") {
    for (const [event, call] of Object.entries(value)) {
      element.addEventListener(event, call);
    }
  } else if (name === "data") {
    for (const [key, text] of Object.entries(value)) {
      if (text !== null && text !== undefined) {
        element.dataset[key] = text;
      }
    }
  } else if (name === "value") {
    element.value = value;
  } else if (name === "href") {
    if (!/^[#/]/.test(value)) {
      throw new Error("a link leads to a page of ours");
    }
    element.setAttribute(name, value);
  } else if (/^on|^style$|^src/.test(name)) {
    throw new Error(`${name} is no attribute that a page sets`);
  } else {
    element.setAttribute(name, value === true ? "" : value);
  }
}

/** A picture beside a word. */
export function icon(name, kind = "") {
  const element = shape("svg", { class: `icon ${kind}`.trim(), "aria-hidden": "true", focusable: "false" });
  element.append(shape("use", { href: ICONS + name }));
  return element;
}

/** An element of SVG. */
export function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A state in a word, with a colour that means it: good, warn, bad, deed, or none. */
export function pill(text, tone = "") {
  return h("span", { class: "pill", data: { tone: tone || null } }, text);
}

/** A name in the letters of code, cut if there is no room; the whole stands in its title. */
export function chip(text) {
  return h("span", { class: "chip", title: text }, text);
}

/** The dash of what is not there; a phone leaves its place out. */
export function absent() {
  return h("span", { class: "absent soft" }, "–");
}

/** A button; `what` is a text, an icon's name or both. */
export function button(text, press, { icon: picture = "", kind = "", label = "", pressed = null, type = "button", disabled = false } = {}) {
  return h(
    "button",
    {
      type,
      disabled,
      class: `button ${kind}${text ? "" : " only-icon"}`,
      "aria-label": label || null,
      title: text ? null : label || null,
      "aria-pressed": pressed === null ? null : String(pressed),
      on: press ? { click: press } : {},
    },
    picture ? icon(picture) : null,
    text ? h("span", {}, text) : null,
  );
}

/** What stands where there is nothing yet: why, and what to do. */
export function empty({ icon: picture = "inbox", title, text = "", slim = false, deed = null }) {
  return h("div", { class: slim ? "empty slim" : "empty" }, icon(picture), h("h3", {}, title), text ? h("p", {}, text) : null, deed);
}

/** A sentence that must be seen. */
export function banner(tone, ...children) {
  const pictures = { good: "good", warn: "warn", bad: "bad" };
  return h("div", { class: "banner", data: { tone: tone || null } }, icon(pictures[tone] || "info"), h("div", {}, ...children));
}

/** A card with a heading; `tools` stand beside it. */
export function card(title, body, { tools = null, className = "", foot = null, flush = false } = {}) {
  return h(
    "section",
    { class: `card ${className}`.trim(), "aria-label": title },
    h("header", {}, h("h2", {}, title), tools),
    h("div", { class: flush ? "flush" : "inside" }, body),
    foot ? h("footer", {}, foot) : null,
  );
}

/** Names and values. Values that are null are left out. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** One of several, side by side; `choices` are [value, text]. */
export function segments(label, choices, chosen, choose) {
  const buttons = choices.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), data: { value }, on: { click: () => pick(value) } }, text),
  );
  function pick(value) {
    for (const one of buttons) {
      one.setAttribute("aria-pressed", String(one.dataset.value === value));
    }
    choose(value);
  }
  return h("div", { class: "segments", role: "group", "aria-label": label }, buttons);
}

/** A box to search in; `typed` is called with what stands there once the typing rests. */
export function searchBox(label, typed, { value = "", delay = 150 } = {}) {
  let timer = 0;
  const input = h("input", {
    class: "input",
    type: "search",
    placeholder: label,
    "aria-label": label,
    autocomplete: "off",
    spellcheck: "false",
    value,
    on: {
      input: () => {
        clearTimeout(timer);
        timer = setTimeout(() => typed(input.value.trim()), delay);
      },
    },
  });
  return h("div", { class: "search" }, icon("search"), input);
}

/** A choice of `options`, [value, text]; what was chosen stays chosen when they are given anew. */
export function select(label, options, chosen, choose) {
  const element = h("select", { class: "input", "aria-label": label, on: { change: () => choose(element.value) } });
  element.give = (list, value = element.value) => {
    fill(element, ...list.map(([one, text]) => h("option", { value: one }, text)));
    element.value = list.some(([one]) => one === value) ? value : list[0][0];
  };
  element.give(options, chosen);
  return element;
}
