// Numbers, sizes and times as people read them.

import { absent, h } from "./dom.js";
import { serverNow } from "./net.js";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const HUNDREDTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 1234567 → 1,234,567; small ones with a decimal. */
export function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    return "–";
  }
  const size = Math.abs(value);
  return (size >= 100 || Number.isInteger(value) ? WHOLE : size >= 1 ? TENTHS : HUNDREDTHS).format(value);
}

/** A count with its noun: 1 device, 2 devices. */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** 1536 → 1.5 KiB. */
export function bytes(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    return "–";
  }
  let unit = 0;
  let size = value;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${(size >= 100 || unit === 0 ? WHOLE : TENTHS).format(size)} ${UNITS[unit]}`;
}

/** Seconds in the two largest units that say something. */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) {
    return "–";
  }
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) {
    return "0 s";
  }
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** How long ago, in one unit. */
export function ago(when, now = serverNow()) {
  const seconds = Math.round((now - when) / 1000);
  if (seconds < 0) {
    return `in ${coarse(-seconds)}`;
  }
  return seconds < 3 ? "now" : `${coarse(seconds)} ago`;
}

function coarse(seconds) {
  if (seconds < 60) {
    return `${seconds} s`;
  }
  if (seconds < 3_600) {
    return `${Math.floor(seconds / 60)} min`;
  }
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** A time that goes on being said as "8 s ago"; null has the dash. */
export function since(iso) {
  const when = Date.parse(iso ?? "");
  if (Number.isNaN(when)) {
    return absent();
  }
  return h("time", { datetime: iso, title: MOMENT.format(when), class: "nowrap", data: { ago: String(when) } }, ago(when));
}

/** How long ago what is shown was read: it stays as it is until it is read again. */
export function readNow() {
  return h("span", { class: "soft small nowrap" }, "read ", since(new Date(serverNow()).toISOString()));
}

/** A time of day with thousandths, as a log has it. */
export function clock(iso) {
  const when = Date.parse(iso ?? "");
  if (Number.isNaN(when)) {
    return "–";
  }
  return `${CLOCK.format(when)}.${String(when % 1000).padStart(3, "0")}`;
}

/** The time of day alone. */
export function timeOfDay(iso) {
  const when = Date.parse(iso ?? "");
  return Number.isNaN(when) ? "–" : CLOCK.format(when);
}

/** 21 Nov 2026. */
export function day(iso) {
  const when = Date.parse(iso ?? "");
  return Number.isNaN(when) ? "–" : DAY.format(when);
}

/** 21 Nov, 16:20:24. */
export function moment(iso) {
  const when = Date.parse(iso ?? "");
  return Number.isNaN(when) ? "–" : MOMENT.format(when);
}

/** Goes over the times on the page, each second while somebody looks. */
export function keepTimes() {
  setInterval(() => {
    if (document.hidden) {
      return;
    }
    const now = serverNow();
    for (const element of document.querySelectorAll("time[data-ago]")) {
      const text = ago(Number(element.dataset.ago), now);
      if (element.textContent !== text) {
        element.textContent = text;
      }
    }
  }, 1000);
}

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

/** JSON with indentation if the text is JSON, else the text. Nothing but white space changes: numbers of JavaScript hold
    fewer digits than those of JSON, and its objects no name twice. */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let written = "";
  let depth = 0;
  let before = "";
  for (const token of text.match(TOKENS)) {
    const isFirst = before === "[" || before === "{";
    const closes = token === "]" || token === "}";
    depth -= closes ? 1 : 0;
    written += before === "," || isFirst !== closes ? `\n${"  ".repeat(depth)}` : "";
    written += token === ":" ? ": " : token;
    depth += token === "[" || token === "{" ? 1 : 0;
    before = token;
  }
  return written;
}
