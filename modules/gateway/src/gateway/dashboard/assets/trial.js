// Routes tried on a message, edited, and played over the latest messages: nothing here changes what is in force.

import { AskError, button, card, copyButton, count, empty, faultOfObject, fill, formDialog, h, icon, jsonEditor, number, openDialog, pill, refill, searchBox, toast } from "/assets/parts/parts.js";
import { markedRoute, reason, verdict } from "./decision.js";
import { endpointName, messageRow } from "./message.js";

const REST_MS = 300;
const SHOWN_ROUTES = 30;
const SHOWN_MESSAGES = 60;
const EXAMPLE = { device: "greenhouse", body: { temperature: 31.5, humidity: 60 }, properties: { kind: "climate" } };
const EXAMPLE_TEXT = JSON.stringify(EXAMPLE, null, 2);
const NEW_ROUTE = "FROM /messages/* WHERE $body.temperature > 30 INTO $upstream";

export function openTrial(page) {
  const state = { document: {}, inForce: {}, routes: {}, filter: page.query.get("route") ?? "", sample: page.query.get("n") };
  const blocks = new Map();
  const outcome = h("div", { class: "outcome", "aria-live": "polite" });
  const list = h("div", { class: "route-blocks" });
  const hidden = h("p", { class: "soft small" });
  const replayed = h("div", {});
  const json = h("pre", { tabindex: "0", role: "region", "aria-label": "Settings as JSON" });

  const message = jsonEditor({ label: "Message as JSON", value: EXAMPLE_TEXT, rows: 14, changed: () => soon(), check: faultOfObject, hint: "As gateway explain reads it: device, body, properties, systemProperties." });
  const trying = oneAtATime(tryAll);
  let timer = 0;
  let tried = new Map();
  function soon() {
    clearTimeout(timer);
    timer = setTimeout(trying, REST_MS);
  }

  async function tryAll() {
    if (faultOfObject(message.area.value)) {
      return;
    }
    try {
      show(await page.ask("POST", "/api/try", { message: message.value(), routes: state.routes }));
    } catch (error) {
      if (page.signal.aborted || !(error instanceof AskError)) {
        return;
      }
      if (error.status === 429) {
        soon();
        return;
      }
      fill(outcome, icon("bad"), h("span", { class: "bad-text break" }, error.message));
    }
  }

  function show(said) {
    tried = new Map(said.routes.map((row) => [row.name, row]));
    showBlocks();
    const taken = said.routes.filter(({ matches }) => matches).length;
    fill(
      outcome,
      icon(said.endpoints.length ? "good" : "info"),
      said.endpoints.length
        ? h("span", { class: "break" }, "This message goes to ", said.endpoints.map((endpoint, index) => [index ? ", " : "", h("strong", {}, endpointName(endpoint))]), `, by ${count(taken, "route")}.`)
        : h("span", {}, "No route takes this message: it goes nowhere."),
    );
    outcome.dataset.tone = said.endpoints.length ? "good" : "";
  }

  function showBlocks() {
    for (const [name, block] of blocks) {
      if (tried.has(name)) {
        block.show(tried.get(name));
      }
    }
  }

  // --- the routes

  function drawRoutes() {
    const names = Object.keys(state.routes);
    const shown = names.filter((name) => name.toLowerCase().includes(state.filter.toLowerCase())).slice(0, SHOWN_ROUTES);
    blocks.clear();
    refill(
      list,
      shown.map((name) => {
        const block = routeBlock(name, state, { changed, renamed: () => rename(name), removed: () => remove(name) });
        blocks.set(name, block);
        return block.element;
      }),
      names.length === 0 ? empty({ icon: "routes", title: "No route", text: "Add one to try it.", slim: true }) : null,
    );
    showBlocks(); // as it was tried last, until it is tried anew
    hidden.textContent = shown.length < names.length ? `${count(names.length - shown.length, "more route")} not shown here, and tried all the same.` : "";
    drawJson();
  }

  function changed() {
    drawJson();
    soon();
  }

  function remove(name) {
    delete state.routes[name];
    drawRoutes();
    soon();
  }

  function rename(name) {
    formDialog({
      title: `Rename ${name}`,
      deed: "Rename",
      fields: [{ name: "name", label: "Name", value: name, check: (text) => (text.trim() === "" ? "Write a name." : text.trim() !== name && text.trim() in state.routes ? "There is a route of this name." : "") }],
      submit: async (values) => {
        // In its place: the order is the one in which routes are judged.
        state.routes = Object.fromEntries(Object.entries(state.routes).map(([one, route]) => [one === name ? values.name.trim() : one, route]));
        drawRoutes();
        soon();
      },
    });
  }

  function add() {
    let at = 1;
    while (`new-route-${at}` in state.routes) {
      at += 1;
    }
    state.routes[`new-route-${at}`] = NEW_ROUTE;
    state.filter = "";
    filter.querySelector("input").value = "";
    drawRoutes();
    soon();
    blocks.get(`new-route-${at}`)?.focus();
  }

  const settings = () => ({ ...state.document, routes: state.routes });
  function drawJson() {
    json.textContent = JSON.stringify(settings(), null, 2);
  }

  // --- the latest messages

  async function replay() {
    again.disabled = true;
    const said = await page.attempt(() => page.ask("POST", "/api/replay", { routes: state.routes }));
    const kept = said && (await page.attempt(() => page.ask("GET", "/api/messages?last=500")));
    again.disabled = false;
    if (said) {
      fill(replayed, outcomeOf(said, new Map((kept?.messages ?? []).map((one) => [one.n, one]))));
      replayed.scrollIntoView({ block: "nearest" });
    }
  }

  async function pick() {
    const said = await page.attempt(() => page.ask("GET", `/api/messages?last=${SHOWN_MESSAGES}`));
    if (said === null) {
      return;
    }
    const rows = [...said.messages].reverse();
    const dialog = openDialog(
      "Pick a message",
      rows.length
        ? h("ul", { class: "pick" }, rows.map((one) => h("li", {}, h("button", { type: "button", class: "pick-row", on: { click: () => take(one.n, dialog) } }, pickText(one)))))
        : empty({ icon: "flow", title: "No message is kept yet", text: "Messages are kept as they pass, a few of each second.", slim: true }),
      { wide: true },
    );
  }

  /** Puts a kept message into the field; one that was not asked for gives way to what somebody has typed meanwhile. */
  async function take(n, dialog, isAskedFor = true) {
    const said = await page.attempt(() => page.ask("GET", `/api/messages/${n}`));
    if (said !== null && (isAskedFor || message.area.value === EXAMPLE_TEXT)) {
      message.set(JSON.stringify(readable(said.sample), null, 2));
      expand(message);
      dialog?.close();
    }
  }

  const again = button("Replay", replay, { icon: "again", kind: "primary" });
  const filter = searchBox("Find a route", (value) => {
    state.filter = value;
    drawRoutes();
    soon();
  }, { value: state.filter });
  const reset = button("Start again", () => {
    state.routes = structuredClone(state.inForce);
    fill(replayed);
    drawRoutes();
    soon();
    toast("These are the routes in force again.");
  }, { kind: "quiet" });

  page.title("Try routes");
  page.draw(
    h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "#/routes" }, "Routes"), icon("next"), h("span", {}, "Try and edit")),
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Try routes"), h("p", {}, "Nothing here changes what is in force.")), h("div", { class: "buttons" }, reset, copyButton(() => JSON.stringify(settings(), null, 2), { words: "Copy JSON", kind: "", label: "Copy JSON of the settings" }))),
    h(
      "div",
      { class: "columns" },
      h("div", { class: "trial-message" }, card("Message", message.element, { tools: button("Pick a recent one", pick, { icon: "inbox", kind: "small" }) })),
      h(
        "div",
        { class: "trial-routes stack" },
        h("section", { class: "card", "aria-label": "Routes" }, h("header", { class: "with-search" }, h("h2", {}, "Routes"), filter, button("Add", add, { icon: "plus", kind: "small" })), h("div", { class: "inside stack" }, outcome, list, hidden)),
        card("On the latest messages", [h("div", { class: "line-head" }, h("p", { class: "soft grow" }, "What these routes would have made of the messages that passed lately, beside those in force."), again), replayed]),
        h("section", { class: "card", "aria-label": "Settings" }, h("details", { class: "fold" }, h("summary", {}, icon("next", "tiny"), "Settings with these routes, as JSON"), h("div", { class: "inside" }, h("p", { class: "soft small" }, "Put it into the desired properties of the module's twin, or into the settings file."), h("div", { class: "code-block" }, json, copyButton(() => json.textContent, { label: "Copy the JSON below" }))))),
      ),
    ),
  );

  page.attempt(async () => {
    const said = await page.ask("GET", "/api/routes");
    state.document = said.document ?? {};
    state.inForce = state.document.routes ?? Object.fromEntries(said.routes.map(({ name, route, priority }) => [name, priority === null ? route : { route, priority }]));
    state.routes = structuredClone(state.inForce);
    drawRoutes();
    soon();
  });
  if (state.sample !== null) {
    take(Number(state.sample), null);
  } else {
    page.attempt(async () => {
      const said = await page.ask("GET", "/api/messages?last=1");
      if (said.messages.length > 0) {
        await take(said.messages[0].n, null, false);
      }
    });
  }
}

/** A route that can be edited, and what it makes of the message. */
function routeBlock(name, state, { changed, renamed, removed }) {
  const id = `route-${Math.random().toString(36).slice(2)}`;
  const text = () => (typeof state.routes[name] === "string" ? state.routes[name] : (state.routes[name].route ?? ""));
  const others = () => (typeof state.routes[name] === "string" ? [] : Object.entries(state.routes[name]).filter(([key]) => key !== "route"));
  const said = h("span", {});
  const edited = h("span", {});
  const shown = h("div", { class: "decision" });
  const area = h("textarea", { class: "input route-area", id, rows: "1", spellcheck: "false", autocomplete: "off", autocapitalize: "off", value: text() });
  area.addEventListener("input", () => {
    state.routes[name] = typeof state.routes[name] === "string" ? area.value : { ...state.routes[name], route: area.value };
    grow();
    drawEdited();
    changed();
  });

  function grow() {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  }

  function drawEdited() {
    const before = state.inForce[name];
    const word = before === undefined ? "new" : JSON.stringify(before) === JSON.stringify(state.routes[name]) ? "" : "edited";
    fill(edited, word ? pill(word, "deed") : null);
  }

  drawEdited();
  requestAnimationFrame(grow);
  return {
    element: h(
      "div",
      { class: "route-block", data: { name } },
      h("div", { class: "line-head" }, h("label", { class: "strong break", for: id }, name), others().map(([key, value]) => h("span", { class: "soft small" }, `${key} ${typeof value === "object" ? "…" : value}`)), edited, h("span", { class: "grow" }), said, button("", renamed, { icon: "edit", kind: "small quiet", label: `Rename ${name}` }), button("", removed, { icon: "bin", kind: "small quiet", label: `Remove ${name}` })),
      area,
      shown,
    ),
    focus: () => area.focus(),
    show(row) {
      fill(said, pill(...verdict(row)));
      const isWrong = Boolean(row.problem);
      area.setAttribute("aria-invalid", String(isWrong));
      fill(shown, row.expression || row.problem ? markedRoute(row) : null, h("p", { class: isWrong ? "bad-text break small" : "soft break small" }, reason(row)));
    },
  };
}

/** What a replay gave: per route the hits in force and then, and the messages that change sides. */
function outcomeOf(said, messages) {
  if (said.tried === 0) {
    return empty({ icon: "flow", title: "No message is kept yet", text: "As soon as devices send, routes can be played over what they sent.", slim: true });
  }
  const moved = said.routes.filter(({ gained, lost }) => gained.length + lost.length > 0).length;
  return h(
    "div",
    { class: "replayed" },
    h("p", { class: "strong" }, `${count(said.tried, "message")} replayed: ${moved ? `${count(moved, "route")} would take others than now.` : "nothing would change."}`),
    h(
      "ul",
      { class: "lines" },
      said.routes.map((row) =>
        h(
          "li",
          {},
          h("div", { class: "line-head" }, h("span", { class: "strong break" }, row.name), h("span", { class: "grow" }), h("span", { class: "soft" }, `${number(row.now)} now, ${number(row.then)} then`), row.gained.length ? pill(`${number(row.gained.length)}${row.gained.length >= 20 ? "+" : ""} gained`, "good") : null, row.lost.length ? pill(`${number(row.lost.length)}${row.lost.length >= 20 ? "+" : ""} lost`, "bad") : null),
          sides(row, messages),
        ),
      ),
    ),
    said.problems.map(({ name, message }) => h("p", { class: "bad-text break small" }, `${name}: ${message}`)),
  );
}

function sides({ gained, lost }, messages) {
  return [
    ["gain", gained],
    ["lose", lost],
  ]
    .filter(([, numbers]) => numbers.length > 0)
    .map(([words, numbers]) => h("details", { class: "fold" }, h("summary", {}, icon("next", "tiny"), `${count(numbers.length, "message")} that it would ${words}`), h("ol", { class: "live" }, numbers.map((n) => h("li", {}, messages.has(n) ? messageRow(messages.get(n)) : h("p", { class: "soft small" }, `Message ${n} is not kept any more.`))))));
}

/** A body that is a JSON object as one, and not as a text with strokes before each quote. */
function readable(sample) {
  if (typeof sample.body !== "string" || faultOfObject(sample.body) || !hasExactNumbers(sample.body)) {
    return sample;
  }
  return { ...sample, body: JSON.parse(sample.body) };
}

/** Whether JavaScript's numbers hold those of a text, which has more digits where ids are numbers. */
function hasExactNumbers(text) {
  const long = (text.match(/-?\d[\d.]*(?:[eE][+-]?\d+)?/g) ?? []).filter((one) => one.length > 15 || /[eE]/.test(one));
  return long.every((one) => String(Number(one)) === one);
}

function pickText(message) {
  return [h("span", { class: "strong one-line" }, message.module ? `${message.device}/${message.module}` : message.device), h("span", { class: "soft small nowrap" }, message.routes.join(", ") || "no route"), h("span", { class: "soft mono one-line" }, message.body ?? "no text")];
}

/** The tallest that a person reads without scrolling twice. */
function expand(editor) {
  editor.area.rows = Math.min(24, Math.max(8, editor.area.value.split("\n").length + 1));
}

/** `deed` again and again as it is asked for, but never twice at once. */
function oneAtATime(deed) {
  let isRunning = false;
  let isWanted = false;
  return async () => {
    isWanted = true;
    if (isRunning) {
      return;
    }
    isRunning = true;
    try {
      while (isWanted) {
        isWanted = false;
        await deed();
      }
    } finally {
      isRunning = false;
    }
  };
}
