// A table that sorts, in pages of rows: however many there are, the document stays small.

import { absent, button, fill, h, icon, refill } from "./dom.js";
import { number } from "./format.js";

const ROWS = 100;

/** A table of `columns`: {name, value(row) (to sort by and to know changes), draw(row) (default: the value), right, sort,
    headline, aside, bare (on a phone: above the rest, at its right, over the whole width), said(row) (what else the drawing depends on)}.

    `key(row)` tells rows apart, `phoneColumns` is how many values stand side by side on a phone (2 to 4), `blank` stands where there are none. Returns {element, show(rows)}. */
export function table({ label, columns, key, blank, rows: most = ROWS, sortBy = 0, descending = false, opens = false, phoneColumns = 4 }) {
  const order = { column: sortBy, down: descending };
  const kept = new Map();
  let all = [];
  let at = 0;

  const heads = columns.map((column, index) =>
    h("th", { scope: "col", role: "columnheader", class: column.right ? "right" : null }, column.sort === false ? column.name : h("button", { type: "button", on: { click: () => sort(index) } }, column.name, icon("down"))),
  );
  const body = h("tbody", { role: "rowgroup" });
  const element = h("div", {});
  const whole = h("table", { class: opens ? "list opens" : "list", role: "table", "aria-label": label, data: { phoneColumns: String(phoneColumns) } }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), body);
  const pager = h("div", { class: "pager", hidden: true });
  const nothing = h("div", {}, blank);
  fill(element, whole, pager, nothing);

  function sort(index) {
    order.down = order.column === index ? !order.down : Boolean(columns[index].right);
    order.column = index;
    at = 0;
    draw();
  }

  function sorted() {
    const { value } = columns[order.column];
    const sign = order.down ? -1 : 1;
    return [...all].sort((one, other) => sign * compare(value(one), value(other)) || compare(key(one), key(other)));
  }

  function draw() {
    heads.forEach((head, index) => {
      if (index === order.column) {
        head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      } else {
        head.removeAttribute("aria-sort");
      }
    });
    const pages = Math.max(1, Math.ceil(all.length / most));
    at = Math.min(at, pages - 1);
    const shown = sorted().slice(at * most, (at + 1) * most);
    const wanted = shown.map((row) => lineOf(row));
    forget(new Set(shown.map(key)));
    if (wanted.length !== body.children.length || wanted.some((line, index) => line !== body.children[index])) {
      const focused = body.contains(document.activeElement) ? document.activeElement : null;
      body.replaceChildren(...wanted);
      focused?.focus({ preventScroll: true }); // a row that has moved was taken out for a moment
    }
    whole.hidden = all.length === 0;
    nothing.hidden = all.length > 0;
    drawPager(pages);
  }

  function lineOf(row) {
    const name = key(row);
    let line = kept.get(name);
    if (line === undefined) {
      line = { element: h("tr", { role: "row" }, columns.map((column) => h("td", { role: "cell", class: [column.right && "right", column.headline && "headline", column.aside && "aside", column.bare && "bare"].filter(Boolean).join(" ") || null, data: { name: column.name } }))), said: [] };
      kept.set(name, line);
    }
    columns.forEach((column, index) => {
      const said = JSON.stringify([column.value(row), column.said?.(row)]);
      if (line.said[index] !== said) {
        line.said[index] = said;
        fill(line.element.children[index], column.draw ? column.draw(row) : (column.value(row) ?? absent()));
      }
    });
    return line.element;
  }

  function forget(still) {
    for (const name of kept.keys()) {
      if (!still.has(name)) {
        kept.delete(name);
      }
    }
  }

  function drawPager(pages) {
    pager.hidden = pages === 1;
    if (pages === 1) {
      fill(pager);
      return;
    }
    const turn = (by) => () => {
      at += by;
      draw();
    };
    refill(
      pager,
      h("span", { class: "grow" }, `${number(at * most + 1)}–${number(Math.min((at + 1) * most, all.length))} of ${number(all.length)}`),
      button("", turn(-1), { icon: "back", kind: "small quiet", label: "Previous rows", disabled: at === 0 }),
      button("", turn(1), { icon: "next", kind: "small quiet", label: "Next rows", disabled: at === pages - 1 }),
    );
  }

  draw();
  return {
    element,
    show(rows) {
      all = rows;
      draw();
    },
  };
}

function compare(one, other) {
  if (one === other) {
    return 0;
  }
  // What is not there stands last, whichever way.
  if (one === null || one === undefined) {
    return 1;
  }
  if (other === null || other === undefined) {
    return -1;
  }
  return typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
}
