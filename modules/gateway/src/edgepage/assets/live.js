// Rows that arrive all the time: a bounded number is kept, fewer are shown, and nothing moves while it is paused.

import { fill, h } from "./dom.js";

const DRAW_MS = 200;

/** `draw(row)` gives a row's element, `matches(row)` says whether it is shown now, `key(row)` is a text that tells rows
    apart and puts them in order.

    Keeps the newest `keep` rows and shows the newest `most` of those that match, newest first. `heard` is called after
    each change with {seen, kept, shown, waiting, isPaused}; `seen` and `waiting` count those that were let go, too. */
export function liveList({ label, draw, key = () => "", matches = () => true, keep = 2_000, most = 200, heard = () => {} }) {
  const element = h("ol", { class: "live", "aria-label": label });
  let rows = []; // the oldest first
  let fresh = []; // arrived since the last drawing
  let merged = new Set();
  let isPaused = false;
  let seen = 0;
  let waiting = 0;
  let timer = 0;

  function add(row) {
    if (merged.delete(key(row))) {
      return; // it came by both ways
    }
    fresh.push(row);
    waiting += 1;
    if (fresh.length > keep) {
      fresh = fresh.slice(-keep);
    }
    if (timer === 0) {
      timer = setTimeout(flush, DRAW_MS);
    }
  }

  function flush() {
    timer = 0;
    if (!isPaused && fresh.length > 0) {
      const came = fresh;
      fresh = [];
      seen += waiting;
      waiting = 0;
      rows = rows.concat(came).slice(-keep);
      const visible = came.filter(matches).slice(-most).reverse();
      element.prepend(...visible.map(item));
      while (element.children.length > most) {
        element.lastChild.remove();
      }
    }
    tell();
  }

  const byKey = (one, other) => (key(one) < key(other) ? -1 : 1);
  const item = (row) => h("li", {}, draw(row));

  function redraw() {
    fill(element, ...rows.filter(matches).slice(-most).reverse().map(item));
    tell();
  }

  function tell() {
    heard({ seen, kept: rows.length, shown: element.children.length, waiting, isPaused });
  }

  return {
    element,
    add,
    redraw,
    /** In place of what was kept; the oldest first. */
    reset(list) {
      rows = list.slice(-keep);
      seen = list.length;
      fresh = [];
      waiting = 0;
      redraw();
    },
    /** Puts rows that are not here yet into their places; while it is paused, those that are newer wait. */
    merge(list) {
      const known = new Set([...rows, ...fresh].map(key));
      merged = new Set(list.map(key).filter((one) => !known.has(one)));
      const unknown = list.filter((row) => !known.has(key(row)));
      if (unknown.length === 0) {
        return;
      }
      if (isPaused) {
        const last = rows.length > 0 ? key(rows[rows.length - 1]) : "";
        const newer = unknown.filter((row) => key(row) > last);
        fresh = [...fresh, ...newer].sort(byKey);
        waiting += newer.length;
        tell();
        return;
      }
      seen += waiting + unknown.length;
      waiting = 0;
      rows = [...rows, ...fresh, ...unknown].sort(byKey).slice(-keep);
      fresh = [];
      redraw();
    },
    setPaused(value) {
      isPaused = value;
      flush();
    },
    get isPaused() {
      return isPaused;
    },
    get rows() {
      return rows;
    },
  };
}
