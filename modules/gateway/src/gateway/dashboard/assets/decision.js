// A route's text with what decided marked in it, and the value of each part at the pointer and the keyboard.

import { h } from "/assets/parts/parts.js";

const MOST_STOPS = 40;

/** The text of a route, its words in colour. */
export function routeText(text) {
  return h("code", { class: "route-text" }, words(text));
}

/** The text of a tried route: a row of POST /api/try. */
export function markedRoute(row) {
  if (row.problem) {
    return h("code", { class: "route-text" }, wrongPlace(row));
  }
  if (!row.expression) {
    return routeText(row.route);
  }
  // Places are counted in characters, and a string of JavaScript in halves of some of them.
  const letters = Array.from(row.route);
  const cut = (from, to) => letters.slice(from, to).join("");
  const says = new Map(row.deciding.map((one) => [`${one.from}-${one.to}`, one.says]));
  let stops = 0;

  function nested(part) {
    const inside = [];
    let at = part.from;
    for (const inner of [...part.parts].sort((one, other) => one.from - other.from)) {
      if (inner.from >= at && inner.to <= part.to) {
        inside.push(cut(at, inner.from), nested(inner));
        at = inner.to;
      }
    }
    inside.push(cut(at, part.to));
    const why = says.get(`${part.from}-${part.to}`);
    const isPlain = part.parts.length === 0 && part.value === part.text;
    const tip = why ? `${part.text}\n${why}` : isPlain ? null : `${part.text} is ${part.value}`;
    stops += tip ? 1 : 0;
    return h(why ? "mark" : "span", { class: tip ? "part" : null, tabindex: tip && stops <= MOST_STOPS ? "0" : null, data: { tip, value: why ? part.value : null } }, inside);
  }

  const { from, to } = row.expression;
  return h("code", { class: "route-text" }, words(cut(0, from)), nested(row.expression), words(cut(to, letters.length)));
}

/** Why a route takes the message or leaves it, in one sentence. */
export function reason(row) {
  if (row.problem) {
    return row.problem.message;
  }
  if (!row.source) {
    return "It takes messages from another source.";
  }
  if (!row.expression) {
    return "It has no condition: it takes every message.";
  }
  return row.deciding.length ? row.deciding.map((one) => `${one.text} ${one.says}`).join("; ") : `The condition is ${row.value}.`;
}

/** A word for what became of the message, and its tone. */
export function verdict(row) {
  if (row.problem) {
    return ["cannot be used", "bad"];
  }
  return row.matches ? ["takes it", "good"] : ["leaves it", ""];
}

function words(text) {
  return text.split(/\b(FROM|WHERE|INTO)\b/i).map((word, index) => (index % 2 ? h("span", { class: "keyword" }, word) : word));
}

function wrongPlace({ route, problem }) {
  if (!problem.column) {
    return route;
  }
  const letters = Array.from(route);
  const lines = route.split("\n").slice(0, (problem.line ?? 1) - 1);
  const at = lines.reduce((sum, line) => sum + Array.from(line).length + 1, 0) + problem.column - 1;
  const to = at + Math.max(problem.length ?? 1, 1);
  return [letters.slice(0, at).join(""), h("mark", { class: "wrong-place" }, letters.slice(at, to).join("") || " "), letters.slice(to).join("")];
}
