// Dialogs: the browser keeps the focus inside, Escape closes, and who opened it has the focus again after.

import { banner, button, fill, h } from "./dom.js";
import { AskError } from "./net.js";

/** A dialog with a heading; `foot` are buttons. Returns {element, close()}. */
export function openDialog(title, body, { foot = null, wide = false, closed = () => {} } = {}) {
  const before = document.activeElement;
  const element = h("dialog", { class: wide ? "wide" : null, "aria-label": title });
  const close = () => element.close();
  fill(
    element,
    h(
      "div",
      { class: "dialog" },
      h("header", {}, h("h2", {}, title), button("", close, { icon: "close", kind: "quiet small", label: "Close" })),
      h("div", { class: "inside" }, body),
      foot ? h("footer", {}, foot) : null,
    ),
  );
  element.addEventListener("close", () => {
    element.remove();
    closed();
    before?.focus?.();
  });
  // A press beside the dialog is one on the dialog's own box, outside of its content.
  element.addEventListener("click", (event) => event.target === element && close());
  window.addEventListener("hashchange", close, { once: true });
  document.body.append(element);
  element.showModal();
  return { element, close };
}

/** A form in a dialog. `fields` are {name, label, kind: "text" | "area" | "select" | "number", value, hint, options, check}.

    `submit(values)` does it: what it returns is shown below and the dialog stays, nothing closes it; an AskError is told
    inside. `check(value)` gives what is wrong with a value, or "". */
export function formDialog({ title, about = "", fields, deed, submit, wide = false }) {
  const inputs = new Map();
  const said = h("div", { "aria-live": "polite" });
  const send = button(deed, null, { kind: "primary", type: "submit" });
  const form = h("form", { novalidate: true, class: "stack" }, about ? h("p", { class: "soft" }, about) : null, fields.map((field) => fieldOf(field, inputs)), said);
  form.id = `form-${Math.random().toString(36).slice(2)}`;
  send.setAttribute("form", form.id);
  const tell = (what) => fill(said, what).scrollIntoView({ block: "nearest" }); // on a phone it is below the fields
  let isOpen = true;
  const dialog = openDialog(title, form, { wide, foot: [button("Close", () => dialog.close()), send], closed: () => (isOpen = false) });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled || !areGood(fields, inputs)) {
      return;
    }
    send.disabled = true;
    fill(said);
    try {
      const values = Object.fromEntries([...inputs].map(([name, { input }]) => [name, input.value]));
      const answer = await submit(values);
      if (!isOpen) {
        return;
      }
      if (answer === null || answer === undefined) {
        dialog.close();
      } else {
        tell(answer);
      }
    } catch (error) {
      if (!(error instanceof AskError)) {
        throw error;
      }
      tell(banner("bad", error.message));
    } finally {
      send.disabled = false;
    }
  });
  form.querySelector(".input")?.focus();
  return dialog;
}

function fieldOf(field, inputs) {
  const id = `field-${field.name}`;
  const common = { class: "input", id, name: field.name, autocomplete: "off", spellcheck: "false" };
  let input;
  if (field.kind === "select") {
    input = h("select", common, field.options.map(([value, text]) => h("option", { value }, text)));
    input.value = field.value ?? field.options[0][0];
  } else if (field.kind === "area") {
    input = h("textarea", { ...common, rows: field.rows ?? "5", value: field.value ?? "" });
  } else {
    input = h("input", { ...common, type: "text", inputmode: field.kind === "number" ? "numeric" : null, value: field.value ?? "", placeholder: field.placeholder ?? null });
  }
  const wrong = h("span", { class: "wrong", id: `${id}-wrong`, role: "alert" });
  input.setAttribute("aria-describedby", wrong.id);
  input.addEventListener("input", () => judge(field, input, wrong));
  inputs.set(field.name, { input, wrong });
  return h("div", { class: "field" }, h("label", { for: id }, field.label), input, field.hint ? h("span", { class: "hint" }, field.hint) : null, wrong);
}

function judge(field, input, wrong) {
  const fault = field.check?.(input.value) ?? "";
  wrong.textContent = fault;
  input.setAttribute("aria-invalid", String(fault !== ""));
  return fault === "";
}

function areGood(fields, inputs) {
  const wrong = fields.filter((field) => {
    const { input, wrong: place } = inputs.get(field.name);
    return !judge(field, input, place);
  });
  if (wrong.length > 0) {
    inputs.get(wrong[0].name).input.focus();
  }
  return wrong.length === 0;
}
