// A message as a row that opens: when, from whom, by which routes, where to; and all of it below.

import { bytes, chip, clock, codeBlock, facts, h, icon, moment, pretty } from "/assets/parts/parts.js";

const PREVIEW = 160;
const SHOWN_ROUTES = 3;

/** The sender's name. */
export function senderOf(message) {
  return message.module ? `${message.device}/${message.module}` : message.device;
}

/** An endpoint as people call it: archive for Endpoint("archive"). */
export function endpointName(endpoint) {
  return /^Endpoint\("(.*)"\)$/.exec(endpoint)?.[1] ?? endpoint;
}

/** A row; `opened` is called when somebody opens it. The whole is drawn only then. */
export function messageRow(message, { opened = () => {}, isNamed = true } = {}) {
  const sender = senderOf(message);
  const summary = h(
    "summary",
    { class: "flow-row" },
    h("span", { class: "flow-time soft mono" }, clock(message.at)),
    h("span", { class: "flow-path" }, isNamed ? [h("span", { class: "strong one-line", title: sender }, sender), icon("arrow", "tiny soft")] : null, routesOf(message), message.endpoints.length ? icon("arrow", "tiny soft") : null, message.endpoints.map((endpoint) => chip(endpointName(endpoint)))),
    h("span", { class: "flow-body soft mono one-line" }, preview(message)),
  );
  const details = h("details", {}, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      details.append(whole(message));
      opened(message);
    }
  });
  return details;
}

function routesOf({ routes }) {
  if (routes.length === 0) {
    return h("span", { class: "pill bare" }, "no route");
  }
  const more = routes.length - SHOWN_ROUTES;
  return [
    routes.slice(0, SHOWN_ROUTES).map((name) => h("span", { class: "pill bare", data: { tone: "deed" }, title: `Route ${name}` }, name)),
    more > 0 ? h("span", { class: "soft small nowrap", title: routes.slice(SHOWN_ROUTES).join(", ") }, `+${more}`) : null,
  ];
}

function preview({ body, bodyBase64, bytes: size }) {
  if (body === null || body === undefined) {
    return bodyBase64 ? `${bytes(size)}, no text` : "empty";
  }
  return body === "" ? "empty" : body.slice(0, PREVIEW).replace(/\s+/g, " ");
}

function whole(message) {
  const named = (values) => Object.entries(values ?? {}).map(([name, value]) => [name, value === null ? h("span", { class: "soft" }, "null") : h("span", { class: "break" }, String(value))]);
  const body = message.body ?? (message.bodyBase64 ? `base64: ${message.bodyBase64}` : "");
  return h(
    "div",
    { class: "opened" },
    codeBlock(pretty(body) || "(empty)", "body"),
    message.bodyCut ? h("p", { class: "soft small" }, `Cut: the whole body has ${bytes(message.bytes)}.`) : null,
    facts([
      ["Arrived", moment(message.at)],
      ["Size", bytes(message.bytes)],
      ["Content", [message.contentType, message.contentEncoding].filter(Boolean).join(", ") || null],
      ["Topic", message.topic],
      ["Routes", message.routes.join(", ")],
      ...named(message.properties),
      ...named(message.system).filter(([name]) => name !== "contentType" && name !== "contentEncoding"),
    ]),
    h("div", { class: "buttons" }, h("a", { class: "button small", href: `#/routes/try?n=${message.n}` }, icon("routes"), "Try routes on it"), h("a", { class: "button small", href: `#/devices/${encodeURIComponent(senderOf(message))}` }, icon("devices"), "Device")),
  );
}
