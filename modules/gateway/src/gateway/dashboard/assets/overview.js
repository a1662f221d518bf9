// The state at a glance: what needs somebody first, then the numbers, then each part.

import { absent, banner, bytes, card, chip, count, day, duration, empty, facts, fill, h, icon, meter, number, pill, refill, since, sparkline, table, timeOfDay } from "/assets/parts/parts.js";
import { endpointName } from "./message.js";

const TIGHT = 0.8;
const LONG_MS = 10_000;
const MOST_WAYS = 4;
const LATEST_EVENTS = 6;
const DEFAULT_PRIORITY = 2_000_000_000; // of a route that says none
const LINK_TONES = { connected: "good", connecting: "warn", waiting: "bad", closed: "bad" };
const CERTIFICATE_TONES = { good: "good", "30 days": "warn", "7 days": "bad", "1 day": "bad", ended: "bad" };
const STORE_WORDS = { ready: ["good", "Taking messages"], full: ["bad", "Full"], failed: ["bad", "Failed"] };
export const LEVEL_TONES = { error: "bad", warning: "warn", info: "", debug: "" };

export function openOverview(page, pulse) {
  const health = h("div", { class: "stack tight", "aria-live": "polite" });
  const tiles = h("div", { class: "tiles" });
  const upstream = h("ul", { class: "lines" });
  const store = h("div", { class: "stack" });
  const queues = queueTable();
  const certificates = h("ul", { class: "lines" });
  const settings = h("div", { class: "stack" });
  const happened = h("div", {});
  const about = h("p", {});
  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Overview"), about)),
    h(
      "div",
      { class: "stack" },
      health,
      tiles,
      h(
        "div",
        { class: "columns" },
        h("div", { class: "two-thirds stack" }, card("Upstream", upstream), card("Store", [store, queues.element]), card("Certificates", certificates)),
        h("div", { class: "third stack" }, card("Latest events", happened, { tools: h("a", { href: "#/events", class: "small" }, "All events") }), card("Settings", settings)),
      ),
    ),
  );
  fill(tiles, ["Devices", "Messages", "Store", "Refused"].map((name) => h("div", { class: "card tile" }, h("span", { class: "name" }, name), h("span", { class: "value" }, h("span", { class: "skeleton" })))));

  const shown = new Map();
  /** Draws only what has changed: what somebody marks or points at stays. */
  function draw(name, value, how) {
    const text = JSON.stringify(value);
    if (shown.get(name) !== text) {
      shown.set(name, text);
      how(value);
    }
  }

  pulse.hear((said) => {
    about.textContent = `${said.gateway.hostName}, up ${duration(said.gateway.uptimeSecs)}, ${bytes(said.gateway.rssBytes)} of memory`;
    draw("health", needs(said), (list) => fill(health, list.length ? list.map(need) : banner("good", h("strong", {}, "All is well. "), "Nothing needs you.")));
    draw("tiles", [said.counts, said.rates, said.store.bytes, said.store.maxBytes, said.store.queues], () => refill(tiles, tilesOf(said)));
    draw("upstream", said.upstream, (links) => fill(upstream, links.length ? links.map(linkLine) : h("li", { class: "soft" }, "No way out is set up: messages stay in the store.")));
    draw("store", [said.store.state, said.store.bytes, said.store.maxBytes], () => fill(store, storeOf(said.store)));
    queues.show(said.store.queues);
    draw("certificates", said.certificates, (list) => fill(certificates, list.length ? list.map(certificateLine) : h("li", { class: "soft" }, "No certificate is in use.")));
    draw("settings", said.settings, (value) => fill(settings, settingsOf(value)));
  }, page.signal);

  page.poll(`/api/events?last=${LATEST_EVENTS}`, 4, ({ events }) => {
    draw("events", events, (list) => fill(happened, list.length ? h("ul", { class: "lines compact" }, [...list].reverse().map(eventLine)) : empty({ icon: "events", title: "Nothing has happened yet", slim: true })));
  });
}

/** What somebody should look at, the worst first: [tone, head, text]. */
function needs(said) {
  const away = [];
  const now = Date.parse(said.gateway.startedAt) + said.gateway.uptimeSecs * 1000; // by the gateway's clock
  for (const { name, kind, state, sentence, since: at } of said.upstream) {
    if (state === "waiting" || state === "closed") {
      away.push(["bad", `${name} is not reached (${kind}).`, reasonOf(sentence)]);
    } else if (state === "connecting" && (reasonOf(sentence) || now - Date.parse(at ?? "") > LONG_MS)) {
      away.push(["warn", `${name} is not reached yet (${kind}).`, reasonOf(sentence) || "A try takes long; why is told when it has failed."]);
    }
  }
  // A site without a line loses all of them at once: what else is wrong must be seen beside them.
  const found = away.length > MOST_WAYS ? [...byUrgency(away).slice(0, MOST_WAYS - 1), [away[0][0], `And ${number(away.length - MOST_WAYS + 1)} more are not reached.`, "See Upstream."]] : away;
  const share = said.store.maxBytes ? said.store.bytes / said.store.maxBytes : 0;
  if (said.store.state && said.store.state !== "ready") {
    found.push(["bad", said.store.state === "full" ? "The store is full." : "The store has failed.", said.store.state === "full" ? "New messages are treated as whenFull says." : "Nothing can be acknowledged; look at the disk."]);
  } else if (share >= TIGHT) {
    found.push(["warn", `The store is ${Math.round(share * 100)} % full.`, "It grows while an endpoint is away."]);
  }
  const { problems, moreProblems } = said.settings;
  if (problems.length > 0) {
    found.push(["bad", "The latest settings were refused; the last good ones stay in force.", problems.length === 1 ? problems[0] : `${problems[0]} And ${count(problems.length - 1 + moreProblems, "problem")} more, below.`]);
  }
  for (const one of said.certificates.filter(({ state }) => state !== "good")) {
    found.push([CERTIFICATE_TONES[one.state] ?? "warn", one.state === "ended" ? `The certificate of ${one.name} has ended.` : `The certificate of ${one.name} ends in ${leftOf(one)}.`, one.advice]);
  }
  return byUrgency(found);
}

/** The worst first. */
function byUrgency(found) {
  const order = { bad: 0, warn: 1 };
  return found.sort(([one], [other]) => order[one] - order[other]);
}

/** How long a certificate still counts, in whole days; the last two in hours. */
function leftOf({ daysLeft }) {
  return daysLeft >= 2 ? count(Math.floor(daysLeft), "day") : count(Math.max(0, Math.floor(daysLeft * 24)), "hour");
}

/** Of "waiting for 9 s: no route to host; last sign of life …" the reason alone, if there is one. */
function reasonOf(sentence) {
  const [how] = sentence.split("; ");
  const at = how.indexOf(": ");
  const reason = at < 0 ? "" : how.slice(at + 2);
  return reason && `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`;
}

function need([tone, head, text]) {
  return banner(tone, h("strong", {}, head, " "), text);
}

function tile(name, href, value, under, extra = null) {
  return h("a", { class: "card tile", href }, h("span", { class: "name" }, name), h("span", { class: "value" }, value), extra, h("span", { class: "under" }, under));
}

function tilesOf({ counts, rates, store }) {
  const waiting = store.queues.reduce((sum, { messages }) => sum + messages, 0);
  const share = store.maxBytes ? store.bytes / store.maxBytes : 0;
  return [
    tile("Devices connected", "#/devices", [number(counts.connected), h("small", {}, ` of ${number(counts.devices)}`)], counts.connected === 0 ? "None is here now" : `${count(counts.routes, "route")} in force`, meter(counts.connected, counts.devices, "Devices connected")),
    tile("Messages/s", "#/flow", number(counts.messagesPerSecond), `At most ${number(Math.max(...rates, 0))} in the last minute`, sparkline(rates, "Messages per second in the last minute")),
    tile("Waiting in the store", "#/", number(waiting), store.maxBytes ? `${bytes(store.bytes)} of ${bytes(store.maxBytes)}` : bytes(store.bytes), meter(store.bytes, store.maxBytes ?? 0, "Store in use", share >= TIGHT ? "warn" : "")),
    tile("Refused per minute", "#/events", h("span", { class: counts.refusedPerMinute > 0 ? "warn-text" : null }, number(counts.refusedPerMinute)), counts.refusedPerMinute > 0 ? "The events say why" : "Logins and messages"),
  ];
}

function linkLine({ name, kind, state, sentence, since: at }) {
  return h(
    "li",
    {},
    h("div", { class: "line-head one" }, icon("cloud"), h("div", { class: "grow" }, h("span", { class: "strong break" }, name), h("span", { class: "soft" }, ` ${kind}`)), pill(state, LINK_TONES[state] ?? "")),
    h("p", { class: "soft break under-icon" }, sentence.includes(": ") || state !== "connected" ? sentence : ["Connected ", since(at), `; ${sentence.split("; ").slice(1).join("; ")}`]),
  );
}

function storeOf({ state, bytes: used, maxBytes }) {
  const [tone, words] = STORE_WORDS[state] ?? ["", "Unknown"];
  const share = maxBytes ? used / maxBytes : 0;
  return [
    h(
      "div",
      { class: "stack tight" },
      h("div", { class: "line-head" }, h("span", { class: "strong" }, bytes(used)), maxBytes ? h("span", { class: "soft" }, `of ${bytes(maxBytes)} on disk`) : null, h("span", { class: "grow" }), pill(words, tone)),
      meter(used, maxBytes ?? 0, "Store in use", tone === "bad" ? "bad" : share >= TIGHT ? "warn" : ""),
    ),
  ];
}

function queueTable() {
  const heaviest = { bytes: 1 };
  const made = table({
    label: "What waits, by endpoint and priority",
    columns: [
      { name: "Endpoint", value: (row) => row.endpoint, draw: (row) => h("code", { class: "break" }, endpointName(row.endpoint)), headline: true },
      { name: "Priority", value: (row) => row.priority, draw: (row) => (row.priority === DEFAULT_PRIORITY ? h("span", { class: "soft" }, "default") : number(row.priority)), right: true },
      { name: "Messages", value: (row) => row.messages, draw: (row) => number(row.messages), right: true },
      { name: "Bytes", value: (row) => row.bytes, said: () => heaviest.bytes, draw: (row) => h("span", { class: "bar-cell" }, h("span", {}, bytes(row.bytes)), row.bytes > 0 ? meter(row.bytes, heaviest.bytes, `Share of ${row.endpoint}`) : null), right: true },
      { name: "Oldest", value: (row) => row.oldestAgeSecs, draw: (row) => (row.oldestAgeSecs === null ? absent() : duration(row.oldestAgeSecs)), right: true },
    ],
    key: (row) => `${row.endpoint} ${row.priority}`,
    blank: h("p", { class: "soft nothing-waits" }, "Nothing waits: all that came has gone on."),
    rows: 20,
  });
  return {
    element: h("div", { class: "bleed" }, made.element),
    show(rows) {
      heaviest.bytes = Math.max(...rows.map((row) => row.bytes), 1);
      made.show(rows);
    },
  };
}

function certificateLine(one) {
  const left = one.state === "ended" ? "ended" : `${leftOf(one)} left`;
  return h(
    "li",
    {},
    h("div", { class: "line-head one" }, icon("certificate"), h("span", { class: "strong break grow" }, one.name), pill(left, CERTIFICATE_TONES[one.state] ?? "")),
    h("p", { class: "soft break under-icon" }, `${one.subject}, from ${one.issuer}, until ${day(one.notAfter)}`),
    one.advice && one.state !== "good" ? h("p", { class: "break under-icon" }, one.advice) : null,
  );
}

function settingsOf({ version, source, good, problems, moreProblems, warnings, moreWarnings }) {
  return [
    facts([
      ["State", good ? pill("in force", "good") : pill("the latest were refused", "bad")],
      ["Version", version === null ? "none yet" : chip(String(version))],
      ["From", source],
    ]),
    problems.map((problem) => banner("bad", problem)),
    moreProblems > 0 ? h("p", { class: "soft" }, `And ${count(moreProblems, "problem")} more: gateway check tells all.`) : null,
    warnings.map((warning) => banner("warn", warning)),
    moreWarnings > 0 ? h("p", { class: "soft" }, `And ${count(moreWarnings, "warning")} more: gateway check tells all.`) : null,
  ];
}

function eventLine({ at, level, sentence }) {
  return h("li", { class: "event-line" }, h("span", { class: "dot", data: { tone: LEVEL_TONES[level] || null }, title: level }), h("span", { class: "break grow" }, sentence), h("time", { class: "soft small nowrap", datetime: at }, timeOfDay(at)));
}
