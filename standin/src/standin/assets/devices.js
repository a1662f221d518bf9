// The registry: who there is, who is connected; add, disable, remove.

import { button, codeBlock, count, empty, fill, formDialog, h, number, pill, searchBox, since, table } from "/assets/parts/parts.js";
import { hubPath, isoOf } from "./words.js";

export const AUTHENTICATIONS = { sas: "Symmetric key", selfSigned: "Certificate, by thumbprint", certificateAuthority: "Certificate of the CA" };

/** A device's state: a word and its colour. */
export function stateOf({ enabled, connected }) {
  return enabled ? (connected ? ["connected", "good"] : ["away", ""]) : ["disabled", "bad"];
}

export function openDevices(page) {
  let wanted = "";
  let all = [];
  const about = h("p", {}, "Asking …");
  const list = table({
    label: "Devices and modules",
    opens: true,
    columns: [
      { name: "Device", value: (row) => row.identity, draw: (row) => h("a", { class: "whole-row", href: `#/devices/${encodeURIComponent(row.identity)}` }, row.identity), headline: true },
      { name: "State", value: (row) => stateOf(row)[0], draw: (row) => pill(...stateOf(row)) },
      { name: "Came or went", value: (row) => row.changedAt, draw: (row) => since(isoOf(row.changedAt)) },
      { name: "Proves itself by", value: (row) => AUTHENTICATIONS[row.authentication] ?? row.authentication },
      { name: "Messages waiting", value: (row) => row.waiting, draw: (row) => number(row.waiting), right: true },
    ],
    key: (row) => row.identity,
    blank: empty({ icon: "devices", title: "No device fits", text: "Add one, or search for something else." }),
  });

  function draw() {
    const shown = all.filter(({ identity }) => identity.toLowerCase().includes(wanted.toLowerCase()));
    about.textContent = `${count(all.length, "identity", "identities")}, ${number(all.filter(({ connected }) => connected).length)} connected`;
    list.show(shown);
  }

  page.draw(
    h("div", { class: "page-head" }, h("div", { class: "grow" }, h("h1", {}, "Devices"), about), button("Add a device", () => openAdd(page, asking), { icon: "plus", kind: "primary" })),
    h("div", { class: "toolbar" }, searchBox("Search devices", (value) => {
      wanted = value;
      draw();
    })),
    h("section", { class: "card", "aria-label": "List of devices" }, list.element),
  );
  const asking = page.poll("/api/devices", 2, (said) => {
    all = said.devices;
    draw();
  });
}

function openAdd(page, asking) {
  formDialog({
    title: "Add a device",
    about: "A name alone is a device; device/module is a module of a device that is there.",
    deed: "Add",
    fields: [
      { name: "identity", label: "Name", placeholder: "board-1", check: (text) => (text.trim() ? "" : "Write the device's name.") },
      { name: "kind", label: "It proves itself by", kind: "select", options: [["sas", "a symmetric key, made here"], ["ca", "a certificate of the CA"], ["thumbprint", "a certificate with this thumbprint"]] },
      { name: "thumbprint", label: "Thumbprint, for the last of these", placeholder: "40 or 64 hexadecimal digits" },
    ],
    submit: async ({ identity, kind, thumbprint }) => {
      const asked = { identity: identity.trim() };
      if (kind !== "sas") {
        asked.x509 = true;
        asked.thumbprints = kind === "thumbprint" ? [thumbprint.trim()] : [];
      }
      const added = await page.ask("POST", hubPath("devices"), asked);
      asking.now();
      return h("div", { class: "stack" }, h("p", {}, `${added.identity} is there. It is configured with:`), codeBlock(added.connectionString, "connection string"));
    },
  });
}
