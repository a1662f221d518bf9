// A page of views: the part of the address after # says which one is shown, and with what.

import { fill, h } from "./dom.js";
import { AskError, ask, poll, stream } from "./net.js";
import { startShell, toast } from "./shell.js";

/** Starts the page. `views` maps the first word after `#/` ("" at the start) to {title, open(page)}.

    `open` draws into `page.root` and may start polls and streams, which end when another view comes. */
export function startApp({ product, views }) {
  startShell();
  let leave = new AbortController();
  let first = true;

  function show() {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
    const [name, ...rest] = path.split("/");
    const view = views[name] ?? views[""];
    leave.abort();
    leave = new AbortController();
    mark(name);
    const main = document.getElementById("main");
    const page = new Page(leave.signal, rest.map(decoded), new URLSearchParams(query), product);
    page.title(view.title);
    fill(main, page.root);
    view.open(page);
    window.scrollTo(0, 0);
    if (!first) {
      // A reader hears where it is, as after the load of a page.
      main.focus({ preventScroll: true });
    }
    first = false;
  }

  window.addEventListener("hashchange", show);
  show();
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function mark(name) {
  for (const line of document.querySelectorAll(".nav a")) {
    const is = line.getAttribute("href") === (name ? `/#/${name}` : "/#/");
    if (is) {
      line.setAttribute("aria-current", "page");
    } else {
      line.removeAttribute("aria-current");
    }
  }
}

/** What a view draws on; everything that it starts here ends with it. */
class Page {
  constructor(signal, path, query, product) {
    this.signal = signal;
    this.path = path;
    this.query = query;
    this.product = product;
    this.root = h("div", { class: "view" });
  }

  /** The title of the window. */
  title(text) {
    document.title = `${text} · ${this.product}`;
  }

  draw(...children) {
    fill(this.root, ...children);
  }

  /** `patienceMs`: how long the answer may take, if it is more than is usual. */
  ask(method, url, body = null, patienceMs = undefined) {
    return ask(method, url, body, this.signal, patienceMs);
  }

  poll(url, seconds, show, failed = null) {
    return poll(url, seconds, show, this.signal, failed);
  }

  stream(url, handlers, state, signal = null) {
    stream(url, handlers, signal ? AbortSignal.any([this.signal, signal]) : this.signal, state);
  }

  /** Runs `deed`; a refusal is told in the server's words. Returns what it gives, or null. */
  async attempt(deed) {
    try {
      return await deed();
    } catch (error) {
      if (error instanceof AskError) {
        toast(error.message, "bad");
        return null;
      }
      if (this.signal.aborted) {
        return null;
      }
      throw error;
    }
  }
}
