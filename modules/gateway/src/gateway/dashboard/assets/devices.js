// All devices, and one of them.

import { absent, banner, button, card, chip, codeBlock, count, empty, facts, fill, h, icon, jsonEditor, mergePatch, number, pill, readNow, refill, searchBox, segments, since, table, toast } from "/assets/parts/parts.js";
import { openCall, openSend } from "./deeds.js";
import { messageRow } from "./message.js";

const MOST = 1_000;
const LATEST = 15;
const TONES = { connected: "good", away: "", disabled: "warn", unknown: "" };
const STATES = [["all", "All"], ["connected", "Connected"], ["away", "Away"], ["trouble", "In trouble"]];

const WORDS = { unknown: "never seen" };

const statePill = (state) => pill(WORDS[state] ?? state, TONES[state]);
const limitedPill = () => pill("held back", "warn");
const nameOf = (device) => (device.module ? `${device.id}/${device.module}` : device.id);

export function openDevices(page) {
  const wanted = { text: "", shown: "all" };
  const about = h("p", {}, "Asking …");
  const list = table({
    label: "Devices",
    opens: true,
    sortBy: 0,
    columns: [
      { name: "Device", value: nameOf, draw: (row) => h("a", { class: "whole-row", href: `#/devices/${encodeURIComponent(nameOf(row))}` }, nameOf(row)), headline: true },
      { name: "State", value: (row) => row.state, said: (row) => row.limited, draw: (row) => [statePill(row.state), row.limited ? [" ", limitedPill()] : null], aside: true },
      { name: "Protocol", value: (row) => row.protocol },
      { name: "Last seen", value: (row) => row.lastSeenAt, draw: (row) => since(row.lastSeenAt) },
      { name: "Messages", value: (row) => row.messages, draw: (row) => number(row.messages), right: true },
      { name: "Per minute", value: (row) => row.messagesPerMinute, draw: (row) => number(row.messagesPerMinute), right: true },
      { name: "Last error", value: (row) => row.lastError?.sentence, draw: (row) => (row.lastError ? h("span", { class: "two-lines soft", title: row.lastError.sentence }, row.lastError.sentence) : absent()) },
    ],
    key: nameOf,
    blank: h("div", {}, empty({ icon: "devices", title: "No device fits", text: "Devices are added with gateway devices add, come by a code, or are known to the hub." })),
  });

  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Devices"), about), h("a", { class: "button wide-only", href: "/claims" }, icon("codes"), "Codes for new boards")),
    h(
      "div",
      { class: "toolbar" },
      searchBox("Search devices", (value) => {
        wanted.text = value;
        asking.now();
      }),
      segments("State", STATES, wanted.shown, (value) => {
        wanted.shown = value;
        asking.now();
      }),
    ),
    h("section", { class: "card", "aria-label": "List of devices" }, list.element),
  );
  const asking = page.poll(() => `/api/devices?${new URLSearchParams({ search: wanted.text, shown: wanted.shown, limit: String(MOST) })}`, 3, ({ devices, known, connected, more }) => {
    about.textContent = `${count(known, "device")}, ${number(connected)} connected${more ? `; ${number(more)} more are found by searching` : ""}`;
    list.show(devices);
  });
}

export function openDevice(page) {
  const name = page.path.join("/");
  page.title(name);
  const path = `/api/devices/${encodeURIComponent(name)}`;
  const state = h("span", {});
  const known = h("div", {});
  const trouble = h("div", {});
  const messages = h("ol", { class: "live", "aria-label": `Latest messages of ${name}` });
  const noMessages = h("div", {});
  const twin = twinCard(page, path);
  let drawnMessages = null;

  page.draw(
    h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "#/devices" }, "Devices"), icon("next"), h("span", { class: "one-line" }, name)),
    h(
      "div",
      { class: "page-head" },
      h("h1", { class: "break" }, name),
      state,
      h("span", { class: "grow" }),
      h("div", { class: "buttons" }, button("Send a message", () => openSend(page, name), { icon: "send" }), button("Invoke a method", () => openCall(page, name), { icon: "call" })),
    ),
    h(
      "div",
      { class: "stack" },
      trouble,
      h(
        "div",
        { class: "columns" },
        h("div", { class: "third stack" }, card("Connection", known)),
        h("div", { class: "two-thirds stack" }, twin.element, card("Latest messages", [messages, noMessages], { flush: true, tools: h("a", { class: "small", href: `#/flow?${new URLSearchParams({ device: name })}` }, "Watch live") })),
      ),
    ),
  );

  let drawnKnown = "";
  page.poll(path, 3, (device) => {
    const now = JSON.stringify(device);
    if (now === drawnKnown) {
      return;
    }
    drawnKnown = now;
    fill(state, statePill(device.state), device.limited ? [" ", limitedPill()] : null);
    fill(known, factsOf(device));
    fill(trouble, device.lastError ? banner("warn", h("strong", {}, "Last error, "), since(device.lastError.at), h("strong", {}, ": "), device.lastError.sentence) : null);
  }, (error) => {
    if (error.status === 404) {
      fill(known, h("p", { class: "soft" }, error.message));
      fill(state, pill("not known"));
    }
  });

  page.poll(`/api/messages?${new URLSearchParams({ last: String(LATEST), device: name })}`, 3, (said) => {
    const own = said.messages.reverse();
    const now = own.map(({ n }) => n).join();
    // Somebody reads a row that is open: it stays as it is.
    if (now === drawnMessages || messages.querySelector("details[open]") !== null) {
      return;
    }
    drawnMessages = now;
    refill(messages, own.map((message) => h("li", {}, messageRow(message, { isNamed: false }))));
    fill(noMessages, own.length ? null : empty({ icon: "flow", title: "None of its messages is kept", text: `The last ${number(said.kept)} messages that were seen hold none of this device.`, slim: true }));
  });
  twin.load();
}

function factsOf(device) {
  const listens = device.subscriptions ? [device.subscriptions.messages && "messages", device.subscriptions.methods && "methods"].filter(Boolean).join(" and ") : "";
  return facts([
    ["Protocol", device.protocol ?? "–"],
    ["Connected", device.connectedAt ? since(device.connectedAt) : "–"],
    ["Last seen", since(device.lastSeenAt)],
    ["Messages", number(device.messages)],
    ["Per minute", number(device.messagesPerMinute)],
    ["Listens for", listens || "nothing"],
    ["Credential", device.credential],
    ...Object.entries(device.properties ?? {}).map(([key, value]) => [key, chip(String(value))]),
  ]);
}

/** The twin: what is reported, what is desired; the latter can be changed. */
function twinCard(page, path) {
  const body = h("div", {}, h("p", { class: "soft" }, "Asking …"));
  const from = h("span", {});
  const element = card("Twin", body, { tools: [from, button("", () => load(), { icon: "again", kind: "small quiet", label: "Read the twin again" })] });

  async function load() {
    try {
      draw(await page.ask("GET", `${path}/twin`));
    } catch (error) {
      if (!page.signal.aborted) {
        fill(from);
        fill(body, empty({ icon: "settings", title: "No twin to show", text: error.message, slim: true }));
      }
    }
  }

  function draw(twin) {
    const versions = twin.versions ?? {};
    fill(from, pill(twin.from === "hub" ? "as the hub has it" : "as last heard", twin.from === "hub" ? "good" : ""));
    const willSend = h("p", { class: "soft small", "aria-live": "polite" });
    const save = button("Save", () => change(), { kind: "primary small", disabled: true });
    const editor = jsonEditor({
      label: versionOf("Desired", versions.desired),
      value: JSON.stringify(twin.desired ?? {}, null, 2),
      rows: Math.min(16, Math.max(6, JSON.stringify(twin.desired ?? {}, null, 2).split("\n").length + 1)),
      changed: (value) => {
        const patch = mergePatch(twin.desired ?? {}, value);
        const isSame = Object.keys(patch).length === 0;
        save.disabled = isSame;
        willSend.textContent = isSame ? "" : `Sends ${JSON.stringify(patch).slice(0, 200)}`;
      },
    });

    async function change() {
      if (!editor.isGood()) {
        return;
      }
      save.disabled = true;
      const said = await page.attempt(() => page.ask("PATCH", `${path}/twin`, { desired: mergePatch(twin.desired ?? {}, editor.value()), ...(twin.etag ? { etag: twin.etag } : {}) }));
      if (said === null) {
        save.disabled = false;
        return;
      }
      toast("The desired properties are changed.");
      if (said.desired) {
        draw(said);
      } else {
        load();
      }
    }

    fill(
      body,
      twin.problem ? banner("warn", twin.problem) : null,
      h("div", { class: "twin" }, h("div", { class: "stack tight" }, editor.element, h("div", { class: "line-head" }, h("span", { class: "grow" }, willSend), save)), h("div", { class: "stack tight" }, h("div", { class: "line-head twin-head" }, h("h3", { class: "grow" }, versionOf("Reported", versions.reported)), readNow()), codeBlock(JSON.stringify(twin.reported ?? {}, null, 2), "reported properties"))),
    );
  }

  return { element, load };
}

function versionOf(name, version) {
  return version === null || version === undefined ? name : `${name}, version ${version}`;
}
