// Asking the server, and knowing whether it is there: one state for the whole page.

const PATIENCE_MS = 45_000;
const UNSEEN_MS = 60_000;
const SILENT_MS = 20_000;
const SKEW_MS = 5_000;

/** Why something was not done, in the server's words. */
export class AskError extends Error {
  constructor(message, status, more = {}) {
    super(message);
    this.status = status;
    this.more = more;
  }
}

/** Whether the server answers: "here", "away" (no answer), "ended" (the login counts no more). */
export const link = {
  state: "unknown",
  /** By how much the server's clock is ahead of this one, in ms; 0 as long as they agree within seconds. */
  aheadMs: 0,
  problems: new Map(),
  listeners: new Set(),
  /** What is asked again and again and refused, by what it is; an empty sentence takes it back. */
  complain(what, sentence) {
    if ((this.problems.get(what) ?? "") === sentence) {
      return;
    }
    if (sentence) {
      this.problems.set(what, sentence);
    } else {
      this.problems.delete(what);
    }
    for (const listener of this.listeners) {
      listener(this.state, this.state);
    }
  },
  set(state) {
    if (state !== this.state) {
      const before = this.state;
      this.state = state;
      for (const listener of this.listeners) {
        listener(state, before);
      }
    }
  },
};

/** What the server's clock says: its times are compared with that, since a small computer's clock may be far off. */
export function serverNow() {
  return Date.now() + link.aheadMs;
}

function compareClocks(answer) {
  const ahead = Date.parse(answer.headers.get("date") ?? "") + 500 - Date.now(); // it tells whole seconds
  link.aheadMs = Math.abs(ahead) > SKEW_MS ? ahead : 0;
}

/** JSON of `url`. Throws AskError; an AbortError passes through. */
export async function ask(method, url, body = null, signal = null, patienceMs = PATIENCE_MS) {
  const patience = AbortSignal.timeout(patienceMs);
  const asked = { method, signal: signal ? AbortSignal.any([signal, patience]) : patience, headers: { accept: "application/json" } };
  if (body !== null) {
    asked.body = JSON.stringify(body);
    asked.headers["content-type"] = "application/json";
  }
  const answer = await sent(url, asked, signal);
  compareClocks(answer);
  const said = await told(answer);
  if (answer.status === 401) {
    link.set("ended");
  } else {
    link.set("here");
  }
  if (!answer.ok) {
    throw new AskError(said?.error?.message || `The server answered ${answer.status}.`, answer.status, said?.error ?? {});
  }
  return said;
}

async function sent(url, asked, signal) {
  try {
    return await fetch(url, asked);
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    if (error.name === "TimeoutError") {
      if (asked.method === "GET") {
        link.set("away"); // it hangs, or the line does; what is done to a device may take long
      }
      throw new AskError("There was no answer in time. Try again.", 0);
    }
    link.set("away");
    throw new AskError("The server does not answer. Is it running?", 0);
  }
}

async function told(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

/** Resolves after some time, or at once when `signal` is aborted. */
export function pause(ms, signal = null) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done); // a page is open for weeks, and so is its signal
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Resolves when somebody looks at the page. */
export function seen(signal) {
  if (!document.hidden) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const done = () => {
      document.removeEventListener("visibilitychange", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    document.addEventListener("visibilitychange", done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Asks `url()` again and again and shows each answer, until `signal` is aborted; rests while nobody looks.

    A refusal is told to `failed`, or else above the page. Returns {now()}: ask at once. */
export function poll(url, seconds, show, signal, failed = null) {
  let wake = () => {};
  let isWanted = false;
  const name = {};
  signal.addEventListener("abort", () => {
    link.complain(name, "");
    wake();
  }, { once: true });
  const run = async () => {
    let failures = 0;
    while (!signal.aborted) {
      await seen(signal);
      isWanted = false;
      try {
        const said = await ask("GET", typeof url === "function" ? url() : url, null, signal);
        failures = 0;
        if (!signal.aborted) {
          link.complain(name, "");
          show(said);
        }
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        if (!(error instanceof AskError)) {
          throw error;
        }
        failures += 1;
        if (failed !== null) {
          failed(error);
        } else if (link.state === "here") {
          link.complain(name, error.message);
        }
      }
      if (isWanted || signal.aborted) {
        continue; // asked for while the last answer was on its way, or ended then
      }
      const rest = link.state === "ended" ? 15_000 : Math.min(seconds * 1000 * 2 ** Math.min(failures, 3), Math.max(8_000, seconds * 1000));
      const woken = new AbortController();
      wake = () => woken.abort();
      await pause(rest, woken.signal);
    }
  };
  run();
  return {
    now() {
      isWanted = true;
      wake();
    },
  };
}

/** Server-sent events of `url`, each to its function by name; opened again whenever it breaks, until `signal` is aborted,
    and closed while nobody has looked for a minute.

    One of `handlers` has to be for what the server says all the time: a server that has lost its power says no goodbye,
    so that what is silent is taken for broken.

    `state` hears "open", "broken", and with "refused" why. */
export function stream(url, handlers, signal, state = () => {}) {
  let failures = 0;

  function open() {
    if (signal.aborted) {
      return;
    }
    const source = new EventSource(url);
    const closing = new AbortController();
    const close = () => {
      source.close();
      closing.abort();
    };
    signal.addEventListener("abort", close, { signal: closing.signal });
    leaveUnseen(closing.signal, async () => {
      close();
      state("broken");
      await seen(signal);
      open();
    });
    source.onopen = () => {
      failures = 0;
      link.set("here");
      state("open");
    };
    const lost = async (isRefused) => {
      close();
      state("broken");
      failures += 1;
      const why = isRefused ? await refusal(url, signal) : "";
      if (why) {
        state("refused", why);
      }
      await pause(Math.min(1000 * 2 ** (failures - 1), 8_000), signal);
      await seen(signal);
      open();
    };
    source.onerror = () => lost(source.readyState === EventSource.CLOSED);
    const heard = watchSilence(closing.signal, () => lost(false));
    for (const [name, call] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        if (!signal.aborted) {
          heard();
          call(JSON.parse(event.data));
        }
      });
    }
  }

  open();
}

/** Why a stream is refused, which an EventSource does not tell. */
async function refusal(url, signal) {
  const enough = new AbortController();
  try {
    const answer = await fetch(url, { signal: AbortSignal.any([signal, enough.signal]) });
    if (answer.ok) {
      return "";
    }
    if (answer.status === 401) {
      link.set("ended");
    }
    return (await told(answer))?.error?.message ?? "";
  } catch {
    return ""; // it is away, or nobody waits any more
  } finally {
    enough.abort();
  }
}

/** Calls `leave` once nobody has looked at the page for a minute, until `signal` is aborted. */
function leaveUnseen(signal, leave) {
  let timer = 0;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(leave, UNSEEN_MS);
    }
  };
  document.addEventListener("visibilitychange", look, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  look();
}

/** Calls `lose` when nothing was heard for a while, until `signal` is aborted. Returns what is called with each word. */
function watchSilence(signal, lose) {
  let timer = 0;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(lose, SILENT_MS);
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  heard();
  return heard;
}

/** What changes `from` into `to` as IoT Hub's twins are changed: members that go are null (RFC 7396). */
export function mergePatch(from, to) {
  const patch = {};
  for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
    if (!Object.hasOwn(to, name)) {
      patch[name] = null;
    } else if (Object.hasOwn(from, name) && isObject(from[name]) && isObject(to[name])) {
      const inner = mergePatch(from[name], to[name]);
      if (Object.keys(inner).length > 0) {
        patch[name] = inner;
      }
    } else if (!Object.hasOwn(from, name) || JSON.stringify(from[name]) !== JSON.stringify(to[name])) {
      patch[name] = to[name];
    }
  }
  return patch;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
