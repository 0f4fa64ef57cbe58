// The partitions: a table while they are few; many are a grid of squares, one of which is told in full.

import { cells, follow, h, row, set, show, table, text } from "./dom.js";
import { lagOfSplit } from "./figures.js";
import { count, exact, NOT_KNOWN, plural } from "./format.js";

const FEW = 24;
const PAGE = 50;
const SHADES = 6;

const COLUMNS = [
  ["Partition", ""],
  ["Subtask", "narrow-hide"],
  ["Lag", "num"],
  ["Compared", "wide narrow-hide"],
  ["Consumed", "num"],
  ["Durable", "num"],
  ["Committed", "num"],
  ["End in Kafka", "num narrow-hide"],
];
const BAR = 3;

export function partitions() {
  const root = document.getElementById("partitions");
  const summary = document.getElementById("partitions-summary");
  const asTable = h("button", { type: "button", class: "quiet small", "aria-pressed": "false" }, "Show as a table");
  const grid = new Grid();
  const list = new List();
  root.append(h("p", { class: "section-tools" }, asTable), grid.node, list.node);
  let wanted = false;
  let last = null;
  asTable.addEventListener("click", () => {
    wanted = !wanted;
    set(asTable, { "aria-pressed": wanted });
    update(last);
  });

  function update(view) {
    last = view;
    const many = view.splits.length > FEW;
    show(asTable.parentElement, many);
    show(grid.node, many && !wanted);
    show(list.node, !many || wanted);
    const lags = view.splits.map((split) => lagOfSplit(split) ?? 0);
    const most = lags.reduce((top, lag) => Math.max(top, lag), 0);
    const behind = lags.filter((lag) => lag > 0).length;
    const name = namer(view.splits);
    const furthest = most > 0 ? `, furthest partition ${name(view.splits[lags.indexOf(most)])} with ${count(most)}` : "";
    text(summary, `${plural(view.splits.length, "partition")}, ${count(behind)} behind${furthest}`, most > 0 ? `${exact(most)} records` : null);
    if (many && !wanted) grid.update(view, most);
    else list.update(view, most);
  }
  return update;
}

/** What a partition is called: its number, with the topic where there are several. */
function namer(splits) {
  const several = splits.some((split) => split.split.topic !== splits[0].split.topic);
  return ({ split }) => (several ? `${split.topic}-${split.partition}` : split.partition);
}

function offsets(split) {
  const lag = lagOfSplit(split);
  return {
    lag,
    consumed: exact(split.consumed),
    durable: exact(split.durable),
    committed: split.committed === null ? NOT_KNOWN : exact(split.committed),
    end: split.end === null ? NOT_KNOWN : exact(split.end),
  };
}

class List {
  constructor() {
    const { node, body } = table("Partitions: next offsets consumed, durable and committed", COLUMNS);
    this.body = body;
    this.first = 0;
    this.place = h("span", { class: "aside" });
    this.before = h("button", { type: "button", class: "quiet small" }, "Earlier");
    this.after = h("button", { type: "button", class: "quiet small" }, "Later");
    this.pager = h("p", { class: "section-tools" }, this.before, this.after, this.place);
    const none = h("p", { class: "empty" }, "No partition is read yet.");
    this.node = h("div", {}, h("div", { class: "scroll" }, node), none, this.pager);
    this.before.addEventListener("click", () => this.turn(-PAGE));
    this.after.addEventListener("click", () => this.turn(PAGE));
  }

  turn(by) {
    this.first = Math.max(0, this.first + by);
    this.update(...this.last);
  }

  update(view, most) {
    this.last = [view, most];
    const all = view.splits;
    const name = namer(all);
    if (this.first >= all.length) this.first = 0;
    const shown = all.slice(this.first, this.first + PAGE);
    show(this.pager, all.length > PAGE);
    this.before.disabled = this.first === 0;
    this.after.disabled = this.first + PAGE >= all.length;
    text(this.place, `${this.first + 1} to ${this.first + shown.length} of ${all.length}`);
    follow(
      this.body,
      shown,
      name,
      () => {
        const tr = row(COLUMNS, "th");
        tr.cells[BAR].append(h("div", { class: "bar", "aria-hidden": "true" }, h("i")));
        return tr;
      },
      (tr, split) => {
        const { lag, consumed, durable, committed, end } = offsets(split);
        const shownLag = lag === null ? [NOT_KNOWN, "not known yet"] : [count(lag), `${exact(lag)} records`];
        cells(tr, [name(split), split.subtask, shownLag, undefined, consumed, durable, committed, end]);
        tr.cells[BAR].firstChild.firstChild.style.setProperty("width", `${most > 0 ? ((lag ?? 0) / most) * 100 : 0}%`);
      },
    );
  }
}

/** One stop for the keyboard; arrows go from square to square. */
class Grid {
  constructor() {
    this.squares = h("div", {
      class: "heat",
      role: "listbox",
      tabindex: 0,
      "aria-label": "Partitions by lag; arrow keys go from one to the next",
    });
    this.told = h("dl", { class: "told" });
    for (const name of ["Partition", "Subtask", "Consumed", "Durable", "Committed", "End in Kafka", "Lag"]) {
      this.told.append(h("div", {}, h("dt", {}, name), h("dd")));
    }
    const legend = [...Array(SHADES).keys()].map((shade) => h("i", { class: "square", "data-shade": shade }));
    this.legend = h("p", { class: "legend" }, "no lag ", ...legend, " most; on a logarithmic scale");
    this.node = h("div", {}, this.squares, this.told, this.legend);
    this.chosen = 0;
    this.pinned = 0;
    this.splits = [];
    this.name = namer([]);
    this.squares.addEventListener("pointerover", (event) => this.choose(this.placeOf(event)));
    this.squares.addEventListener("pointerleave", () => this.choose(this.pinned));
    this.squares.addEventListener("click", (event) => this.pin(this.placeOf(event)));
    this.squares.addEventListener("keydown", (event) => this.key(event));
  }

  placeOf(event) {
    const place = event.target.dataset?.place;
    return place === undefined ? this.chosen : Number(place);
  }

  pin(place) {
    this.pinned = place;
    this.choose(place);
    this.squares.children[place]?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const inRow = this.inRow();
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: inRow, ArrowUp: -inRow }[event.key];
    const to = { Home: 0, End: this.splits.length - 1 }[event.key] ?? (step === undefined ? undefined : this.chosen + step);
    if (to === undefined) return;
    event.preventDefault();
    if (to >= 0 && to < this.splits.length) this.pin(to);
  }

  inRow() {
    const nodes = this.squares.children;
    const top = nodes[0]?.offsetTop;
    let n = 0;
    while (n < nodes.length && nodes[n].offsetTop === top) n += 1;
    return Math.max(1, n);
  }

  choose(place) {
    if (place >= this.splits.length) return;
    const nodes = this.squares.children;
    set(nodes[this.chosen] ?? nodes[0], { "aria-selected": "false" });
    this.chosen = place;
    const split = this.splits[place];
    set(nodes[place], { "aria-selected": "true", "aria-label": `partition ${this.name(split)}, lag ${exact(lagOfSplit(split))}` });
    set(this.squares, { "aria-activedescendant": nodes[place].id });
    this.tell();
  }

  tell() {
    const split = this.splits[this.chosen];
    if (!split) return;
    const { lag, consumed, durable, committed, end } = offsets(split);
    const values = [this.name(split), split.subtask, consumed, durable, committed, end, lag === null ? NOT_KNOWN : exact(lag)];
    values.forEach((value, n) => text(this.told.children[n].lastChild, value));
  }

  update(view, most) {
    this.splits = view.splits;
    this.name = namer(view.splits);
    const nodes = this.squares.children;
    while (nodes.length > view.splits.length) nodes[nodes.length - 1].remove();
    while (nodes.length < view.splits.length) {
      const place = nodes.length;
      this.squares.append(h("span", { class: "square", role: "option", id: `partition-${place}`, "data-place": place, "aria-selected": "false" }));
    }
    view.splits.forEach((split, place) => {
      const lag = lagOfSplit(split) ?? 0;
      const shade = most === 0 || lag === 0 ? 0 : Math.max(1, Math.ceil((Math.log1p(lag) / Math.log1p(most)) * (SHADES - 1)));
      const node = nodes[place];
      if (node.dataset.shade !== String(shade)) node.dataset.shade = shade;
    });
    if (this.chosen >= this.splits.length) [this.chosen, this.pinned] = [0, 0];
    if (nodes[this.chosen]?.getAttribute("aria-selected") !== "true") this.choose(this.chosen);
    this.tell();
  }
}
