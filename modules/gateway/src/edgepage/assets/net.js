// Asking the server, and knowing whether it is there: one state for the whole page.

const PATIENCE_MS = 30_000;

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
  listeners: new Set(),
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

/** JSON of `url`. Throws AskError; an AbortError passes through. */
export async function ask(method, url, body = null, signal = null) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const asked = { method, signal: signal ? AbortSignal.any([signal, patience]) : patience, headers: { accept: "application/json" } };
  if (body !== null) {
    asked.body = JSON.stringify(body);
    asked.headers["content-type"] = "application/json";
  }
  const answer = await sent(url, asked, signal);
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
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
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
      resolve();
    };
    document.addEventListener("visibilitychange", done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Asks `url()` again and again and shows each answer, until `signal` is aborted; rests while nobody looks.

    Returns {now()}: ask at once. */
export function poll(url, seconds, show, signal, failed = null) {
  let wake = () => {};
  const run = async () => {
    let failures = 0;
    while (!signal.aborted) {
      await seen(signal);
      try {
        const said = await ask("GET", typeof url === "function" ? url() : url, null, signal);
        failures = 0;
        if (!signal.aborted) {
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
        failed?.(error);
      }
      const rest = link.state === "ended" ? 15_000 : Math.min(seconds * 1000 * 2 ** Math.min(failures, 3), Math.max(8_000, seconds * 1000));
      const woken = new AbortController();
      wake = () => woken.abort();
      await pause(rest, AbortSignal.any([signal, woken.signal]));
    }
  };
  run();
  return { now: () => wake() };
}

/** Server-sent events of `url`, each to its function by name; opened again whenever it breaks, until `signal` is aborted.

    `state` hears "open" and "broken". */
export function stream(url, handlers, signal, state = () => {}) {
  let failures = 0;
  const open = () => {
    if (signal.aborted) {
      return;
    }
    const source = new EventSource(url);
    const stop = () => source.close();
    signal.addEventListener("abort", stop, { once: true });
    source.onopen = () => {
      failures = 0;
      link.set("here");
      state("open");
    };
    source.onerror = async () => {
      source.close();
      signal.removeEventListener("abort", stop);
      state("broken");
      failures += 1;
      await pause(Math.min(1000 * 2 ** (failures - 1), 8_000), signal);
      await seen(signal);
      open();
    };
    for (const [name, call] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        if (!signal.aborted) {
          call(JSON.parse(event.data));
        }
      });
    }
  };
  open();
}

/** What changes `from` into `to` as IoT Hub's twins are changed: members that go are null (RFC 7396). */
export function mergePatch(from, to) {
  const patch = {};
  for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
    if (!(name in to)) {
      patch[name] = null;
    } else if (isObject(from[name]) && isObject(to[name])) {
      const inner = mergePatch(from[name], to[name]);
      if (Object.keys(inner).length > 0) {
        patch[name] = inner;
      }
    } else if (JSON.stringify(from[name]) !== JSON.stringify(to[name])) {
      patch[name] = to[name];
    }
  }
  return patch;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
