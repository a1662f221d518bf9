// What is done to a device from here: a message, a method.

import { banner, codeBlock, faultOfJson, formDialog, h } from "/assets/parts/parts.js";

const SETTLED = {
  accepted: ["good", "The device has taken the message."],
  rejected: ["bad", "The device has rejected the message."],
  released: ["warn", "The device has given the message back, or left before it took it. Nothing is stored: send it again."],
  timeout: ["warn", "The device has not said in time whether it took the message. Nothing is stored."],
};

const SLACK_S = 15;

const pathOf = (name) => `/api/devices/${encodeURIComponent(name)}`;

/** A message to a device. */
export function openSend(page, name) {
  formDialog({
    title: `Send a message to ${name}`,
    about: "It goes to the device now, from this gateway. Nothing is stored: the device has to listen.",
    deed: "Send",
    fields: [
      { name: "body", label: "Body", kind: "area", value: '{"led": "on"}' },
      { name: "contentType", label: "Content", kind: "select", options: [["application/json", "JSON (application/json)"], ["text/plain", "Text (text/plain)"], ["", "Not said"]] },
      { name: "properties", label: "Properties", kind: "area", rows: "2", hint: "A line each: name=value", check: (text) => propertiesOf(text).fault },
    ],
    submit: async (values) => {
      const asked = { body: values.body, properties: propertiesOf(values.properties).properties };
      if (values.contentType) {
        asked.contentType = values.contentType;
      }
      const said = await page.ask("POST", `${pathOf(name)}/messages`, asked);
      const [tone, text] = SETTLED[said.settled] ?? ["", said.settled];
      return banner(tone, text);
    },
  });
}

/** A method of a device. */
export function openCall(page, name) {
  formDialog({
    title: `Invoke a method of ${name}`,
    deed: "Invoke",
    fields: [
      { name: "method", label: "Method", placeholder: "getInterval", check: (text) => (text.trim() ? "" : "Write the method's name.") },
      { name: "payload", label: "Payload", kind: "area", value: "null", check: faultOfJson },
      { name: "timeout", label: "Seconds to wait", kind: "number", value: "30", check: (text) => (/^\d+$/.test(text) && Number(text) >= 5 && Number(text) <= 300 ? "" : "Write a number from 5 to 300.") },
    ],
    submit: async (values) => {
      const said = await page.ask("POST", `${pathOf(name)}/methods`, { method: values.method.trim(), payload: JSON.parse(values.payload), timeoutSecs: Number(values.timeout) }, (Number(values.timeout) + SLACK_S) * 1000);
      return h("div", { class: "stack" }, banner(said.status < 300 ? "good" : "warn", `The device answered ${said.status}.`), codeBlock(JSON.stringify(said.payload, null, 2), "answer"));
    },
  });
}

/** Lines of name=value. */
export function propertiesOf(text) {
  const properties = {};
  for (const line of text.split("\n").map((one) => one.trim()).filter(Boolean)) {
    const at = line.indexOf("=");
    if (at < 1) {
      return { fault: `"${line.slice(0, 40)}" is no line name=value.`, properties: {} };
    }
    properties[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return { fault: "", properties };
}
