// Small pictures of numbers: a line over time, a bar of a whole.

import { h, shape } from "./dom.js";
import { number } from "./format.js";

const WIDE = 240;
const HIGH = 40;

/** A line over the last values, oldest first; `what` says of what, for those who hear it. */
export function sparkline(values, what) {
  const highest = Math.max(...values, 0);
  const top = highest || 1;
  const step = WIDE / Math.max(values.length - 1, 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(HIGH - 2 - (value / top) * (HIGH - 6)).toFixed(1)}`);
  const last = values.length ? values[values.length - 1] : 0;
  const picture = shape("svg", { class: "spark", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `${what}: now ${number(last)}, at most ${number(highest)}` });
  picture.append(shape("line", { class: "base", x1: 0, x2: WIDE, y1: HIGH - 1, y2: HIGH - 1 }));
  if (points.length > 1) {
    picture.append(
      shape("polygon", { class: "area", points: `0,${HIGH - 1} ${points.join(" ")} ${WIDE},${HIGH - 1}` }),
      shape("polyline", { class: "line", points: points.join(" ") }),
    );
  }
  return picture;
}

/** How much of a whole; coloured when it gets tight. */
export function meter(part, whole, label, tone = "") {
  const share = whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
  const inner = h("i", {});
  inner.style.width = `${share > 0 ? Math.max(share * 100, 0.8) : 0}%`;
  return h("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(share * 100)), data: { tone: tone || null } }, inner);
}
