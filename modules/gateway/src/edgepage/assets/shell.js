// What every page has of the frame: the theme's switch, toasts, the notice that the server is gone, tips, times.

import { banner, button, fill, h, icon } from "./dom.js";
import { keepTimes } from "./format.js";
import { link } from "./net.js";

const THEMES = [
  ["system", "system", "Theme: as the system"],
  ["light", "sun", "Theme: light"],
  ["dark", "moon", "Theme: dark"],
];
const TOAST_MS = 5_000;
const MOST_TOASTS = 4;

function chosenTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

function chooseTheme(theme) {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = theme;
  }
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Kept for as long as the page is open.
  }
}

function themeSwitch() {
  const element = button("", () => {
    const at = THEMES.findIndex(([theme]) => theme === chosenTheme());
    chooseTheme(THEMES[(at + 1) % THEMES.length][0]);
    show();
  }, { icon: "system", kind: "quiet", label: "Theme" });
  function show() {
    const [, picture, label] = THEMES.find(([theme]) => theme === chosenTheme());
    fill(element, icon(picture));
    element.setAttribute("aria-label", label);
    element.title = label;
  }
  show();
  return element;
}

/** Says shortly that something was done, or why it was not. */
export function toast(text, tone = "good") {
  const room = toastRoom();
  const one = h("div", { class: "toast", data: { tone } }, icon(tone === "bad" ? "bad" : "good"), h("div", {}, text));
  room.append(one);
  while (room.children.length > MOST_TOASTS) {
    room.firstChild.remove();
  }
  setTimeout(() => one.remove(), tone === "bad" ? 2 * TOAST_MS : TOAST_MS);
}

function toastRoom() {
  let room = document.querySelector(".toasts");
  if (room === null) {
    room = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(room);
  }
  return room;
}

/** Puts a text on the clipboard, also where the browser gives no clipboard to pages (plain HTTP from elsewhere). */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "unseen", "aria-hidden": "true", value: text });
    // A modal dialog makes everything outside of it inert.
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** A button that copies what `text()` gives. */
export function copyButton(text, { label = "Copy", kind = "small", words = "" } = {}) {
  const element = button(words, async () => {
    if (await copyText(text())) {
      fill(element, icon("check"), words ? h("span", {}, "Copied") : null);
      element.setAttribute("aria-label", "Copied");
      setTimeout(() => {
        fill(element, icon("copy"), words ? h("span", {}, words) : null);
        element.setAttribute("aria-label", label);
      }, 1500);
    } else {
      toast("The browser does not let pages copy. Mark the text and copy it yourself.", "bad");
    }
  }, { icon: "copy", kind, label });
  return element;
}

/** A text in the letters of code that can be copied. */
export function codeBlock(text, label) {
  return h("div", { class: "code-block" }, h("pre", { tabindex: "0", role: "region", "aria-label": label }, text), copyButton(() => text, { label: `Copy ${label}` }));
}

function showLink(state) {
  const notice = document.getElementById("notice");
  if (notice === null) {
    return;
  }
  if (state === "away") {
    fill(notice, banner("bad", h("strong", {}, "No answer."), " The program behind this page does not answer. What you see may be old; this page goes on by itself as soon as it is back."));
  } else if (state === "ended") {
    fill(notice, banner("warn", h("strong", {}, "Your login has ended."), " Nothing new is shown until you log in again. ", h("a", { href: "/" }, "Log in")));
  } else if (link.problems.size > 0) {
    fill(notice, banner("warn", [...link.problems.values()][0]));
  } else {
    fill(notice);
  }
}

/** A tip at whatever has data-tip, for the pointer and for the keyboard. */
function watchTips() {
  const tip = h("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
  document.body.append(tip);
  let at = null;
  const hide = () => {
    tip.hidden = true;
    at?.removeAttribute("aria-describedby");
    at = null;
  };
  const show = (target) => {
    const owner = target instanceof Element ? target.closest("[data-tip]") : null;
    if (owner === at) {
      return;
    }
    hide();
    if (owner === null) {
      return;
    }
    at = owner;
    tip.textContent = owner.dataset.tip;
    owner.setAttribute("aria-describedby", "tip");
    (owner.closest("dialog") ?? document.body).append(tip);
    tip.hidden = false;
    place(tip, owner.getClientRects()[0] ?? owner.getBoundingClientRect());
  };
  document.addEventListener("pointerover", (event) => show(event.target));
  document.addEventListener("focusin", (event) => show(event.target));
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}

function place(tip, box) {
  const room = 8;
  const left = Math.min(Math.max(box.left, room), window.innerWidth - tip.offsetWidth - room);
  const below = box.bottom + room;
  const top = below + tip.offsetHeight > window.innerHeight ? box.top - tip.offsetHeight - room : below;
  tip.style.left = `${Math.max(left, room)}px`;
  tip.style.top = `${Math.max(top, room)}px`;
}

/** Starts the frame; once for each page that is loaded. */
export function startShell() {
  fill(document.getElementById("tools") ?? document.createElement("div"), themeSwitch());
  keepTimes();
  watchTips();
  link.listeners.add((state, before) => {
    showLink(state);
    if (state === "here" && before === "away") {
      toast("It answers again.");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "")) {
      const search = document.querySelector("main input[type=search]");
      if (search !== null) {
        event.preventDefault();
        search.focus();
      }
    }
  });
}
