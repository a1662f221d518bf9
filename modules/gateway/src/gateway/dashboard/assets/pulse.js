// The gateway's state at a glance, asked once for all who show it.

import { poll } from "/assets/parts/parts.js";

const SECONDS = 2;

/** Asks from now on. Returns {last, hear(show, signal)}: `show` gets what was said last at once, and all that follows. */
export function startPulse() {
  const hearers = new Set();
  const pulse = {
    last: null,
    hear(show, signal = null) {
      hearers.add(show);
      signal?.addEventListener("abort", () => hearers.delete(show), { once: true });
      if (pulse.last !== null) {
        show(pulse.last);
      }
    },
  };
  poll("/api/overview", SECONDS, (said) => {
    pulse.last = said;
    for (const show of hearers) {
      show(said);
    }
  }, new AbortController().signal);
  return pulse;
}
