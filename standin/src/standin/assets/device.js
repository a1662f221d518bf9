// One device: its connection string, its twin, messages and methods.

import { banner, button, card, codeBlock, copyButton, count, empty, facts, faultOfJson, fill, formDialog, h, icon, jsonEditor, mergePatch, number, openDialog, pill, readNow, since, toast } from "/assets/parts/parts.js";
import { AUTHENTICATIONS, stateOf } from "./devices.js";
import { hubPath, isoOf } from "./words.js";

export function openDevice(page) {
  const name = page.path.join("/");
  page.title(name);
  const state = h("span", {});
  const known = h("div", {});
  const toggle = button("Disable", () => enable(), { kind: "small" });
  const twin = twinCard(page, name);
  let now = null;
  let drawn = "";
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
      { class: "columns" },
      h("div", { class: "third stack" }, card("Identity", known, { foot: h("div", { class: "buttons" }, toggle, button("Purge messages", () => purge(), { kind: "small" }), button("Remove", () => askRemove(), { kind: "small danger", icon: "bin" })) })),
      h("div", { class: "two-thirds stack" }, twin.element),
    ),
  );

  const asking = page.poll("/api/devices", 2, ({ devices }) => {
    now = devices.find(({ identity }) => identity === name) ?? null;
    const text = JSON.stringify(now);
    if (text === drawn) {
      return;
    }
    drawn = text;
    if (now === null) {
      fill(state, pill("not there", "bad"));
      fill(known, empty({ icon: "devices", title: "There is no such device", text: "It was removed, or never added.", slim: true }));
      return;
    }
    fill(state, pill(...stateOf(now)));
    fill(toggle, h("span", {}, now.enabled ? "Disable" : "Enable"));
    fill(known, factsOf(now));
  });

  async function enable() {
    if (now === null) {
      return;
    }
    await page.attempt(() => page.ask("PATCH", hubPath("devices", { identity: name }), { enabled: !now.enabled }));
    asking.now();
  }

  async function purge() {
    const said = await page.attempt(() => page.ask("DELETE", hubPath("c2d", { identity: name })));
    if (said !== null) {
      toast(`${count(said.purged, "message")} purged.`);
      asking.now();
    }
  }

  function askRemove() {
    const dialog = openDialog(`Remove ${name}?`, h("p", {}, "Its keys count no more, and its twin and what waits for it are gone."), {
      foot: [button("Keep it", () => dialog.close()), button("Remove", remove, { kind: "primary" })],
    });
    async function remove() {
      const said = await page.attempt(() => page.ask("DELETE", hubPath("devices", { identity: name })));
      dialog.close();
      if (said !== null) {
        location.hash = "#/devices";
      }
    }
  }
  twin.load();
}

function factsOf(device) {
  const secret = (text, what) => (text ? h("span", { class: "line-head" }, h("code", { class: "one-line grow" }, `${text.slice(0, 12)}…`), copyButton(() => text, { label: `Copy ${what}` })) : null);
  return facts([
    ["Proves itself by", AUTHENTICATIONS[device.authentication] ?? device.authentication],
    ["Came or went", since(isoOf(device.changedAt))],
    ["Messages waiting", number(device.waiting)],
    ["Connection string", secret(device.connectionString, "the connection string")],
    ["Primary key", secret(device.primaryKey, "the primary key")],
    ...device.thumbprints.map((thumbprint) => ["Thumbprint", h("span", { class: "break mono small" }, thumbprint)]),
  ]);
}

function openSend(page, name) {
  formDialog({
    title: `Send a message to ${name}`,
    about: "It waits in the hub until the device takes it, for an hour at most.",
    deed: "Send",
    fields: [
      { name: "body", label: "Body", kind: "area", value: "on" },
      { name: "properties", label: "Properties", kind: "area", value: "{}", rows: "2", hint: "A JSON object of texts", check: faultOfJson },
    ],
    submit: async ({ body, properties }) => {
      const said = await page.ask("POST", hubPath("c2d", { identity: name }), { body, properties: JSON.parse(properties), lifeSecs: 3600 });
      return banner("good", `Message ${said.sequence} waits for ${said.identity}. When it has been taken, it waits no more: see "Messages waiting".`);
    },
  });
}

function openCall(page, name) {
  formDialog({
    title: `Invoke a method of ${name}`,
    deed: "Invoke",
    fields: [
      { name: "method", label: "Method", placeholder: "blink", check: (text) => (text.trim() ? "" : "Write the method's name.") },
      { name: "payload", label: "Payload", kind: "area", value: "null", check: faultOfJson },
    ],
    submit: async ({ method, payload }) => {
      const said = await page.ask("POST", hubPath("method", { identity: name }), { methodName: method.trim(), payload: JSON.parse(payload), responseTimeoutInSeconds: 20 });
      return h("div", { class: "stack" }, banner(said.status < 300 ? "good" : "warn", `The device answered ${said.status}.`), codeBlock(JSON.stringify(said.payload, null, 2), "answer"));
    },
  });
}

/** The twin: what is desired can be changed, what is reported is shown. */
function twinCard(page, name) {
  const body = h("div", {}, h("p", { class: "soft" }, "Asking …"));
  const element = card("Twin", body, { tools: [button("", () => load(), { icon: "again", kind: "small quiet", label: "Read the twin again" })] });
  const path = hubPath("twin", { identity: name });

  async function load() {
    const said = await page.attempt(() => page.ask("GET", path));
    if (said === null) {
      fill(body, empty({ icon: "settings", title: "No twin to show", slim: true }));
    } else {
      draw(said.properties);
    }
  }

  function draw({ desired, reported }) {
    const { $version: wanted, ...before } = desired;
    const { $version: told, ...said } = reported;
    const patchOf = (value) => mergePatch(before, value);
    const save = button("Save", () => change(), { kind: "primary small", disabled: true });
    const editor = jsonEditor({ label: `Desired, version ${wanted}`, value: JSON.stringify(before, null, 2), rows: 10, changed: (value) => (save.disabled = Object.keys(patchOf(value)).length === 0) });

    async function change() {
      if (!editor.isGood()) {
        return;
      }
      save.disabled = true; // pressed twice, it is done once
      if ((await page.attempt(() => page.ask("PATCH", path, patchOf(editor.value())))) !== null) {
        toast("The desired properties are changed, and whoever listens is told.");
        load();
      } else {
        save.disabled = false;
      }
    }

    fill(body, h("div", { class: "twin" }, h("div", { class: "stack tight" }, editor.element, h("div", { class: "line-head" }, h("span", { class: "grow" }), save)), h("div", { class: "stack tight" }, h("div", { class: "line-head" }, h("h3", { class: "grow" }, `Reported, version ${told}`), readNow()), codeBlock(JSON.stringify(said, null, 2), "reported properties"))));
  }

  return { element, load };
}
