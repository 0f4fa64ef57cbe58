// One line over time, in SVG: colours come from the style sheet, so themes need no redraw.

import { h, set, text } from "./dom.js";
import { clock, mark, NOT_KNOWN } from "./format.js";

const NS = "http://www.w3.org/2000/svg";
const EDGE = { top: 8, right: 8, bottom: 20, left: 46 };
const HEIGHT = 168;
/** Where the line is broken: nobody looked in between. */
const GAP = 30_000;
const STEPS = [15, 30, 60, 120, 300, 600, 900, 1800].map((seconds) => seconds * 1000);

function svg(tag, attributes = {}) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export class Chart {
  constructor(figure, { title, unit, shown, exact }) {
    this.shown = shown;
    this.exact = exact;
    this.title = title;
    this.value = h("span", { class: "chart-value" });
    this.when = h("span", { class: "chart-when" });
    figure.append(
      h("figcaption", {}, h("h2", {}, title), h("span", { class: "chart-unit" }, unit), this.when, this.value),
    );
    this.root = svg("svg", { height: HEIGHT, role: "img", class: "chart-plot" });
    this.grid = svg("g", { class: "chart-grid" });
    this.area = svg("path", { class: "chart-area" });
    this.line = svg("path", { class: "chart-line" });
    this.cross = svg("line", { class: "chart-cross", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
    this.dot = svg("circle", { class: "chart-dot", r: 3.5, visibility: "hidden" });
    this.root.append(this.grid, this.area, this.line, this.cross, this.dot);
    figure.append(this.root);
    this.points = [];
    this.pointed = null;
    this.root.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.root.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.redraw()).observe(this.root);
  }

  draw(points, now) {
    this.points = points;
    this.now = now;
    this.redraw();
  }

  point(x) {
    this.pointed = x;
    this.redraw();
  }

  redraw() {
    const width = this.root.clientWidth;
    if (!width || this.now === undefined) return;
    const known = this.points.filter(([, value]) => value !== null);
    // Not shorter than five minutes, so that the first minutes do not race by.
    const begin = Math.min(this.now - 300_000, this.points[0]?.[0] ?? this.now);
    const most = niceAbove(known.reduce((top, [, value]) => Math.max(top, value), 0));
    const right = width - EDGE.right;
    const bottom = HEIGHT - EDGE.bottom;
    const x = (at) => EDGE.left + ((at - begin) / (this.now - begin)) * (right - EDGE.left);
    const y = (value) => bottom - (value / most) * (bottom - EDGE.top);

    const runs = [];
    let last = null;
    for (const [at, value] of this.points) {
      if (value !== null) {
        if (last === null || at - last > GAP) runs.push([]);
        runs.at(-1).push(`${x(at).toFixed(1)},${y(value).toFixed(1)}`);
        last = at;
      } else last = null;
    }
    this.line.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
    const foot = (point) => `${point.split(",")[0]},${bottom}`;
    this.area.setAttribute("d", runs.map((run) => `M${foot(run[0])}L${run.join("L")}L${foot(run.at(-1))}Z`).join(""));
    this.drawGrid({ x, y, most, begin, right, bottom });
    this.read(known, x, y);
  }

  drawGrid({ x, y, most, begin, right, bottom }) {
    const nodes = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(most * share);
      nodes.push(svg("line", { x1: EDGE.left, x2: right, y1: at, y2: at }));
      const label = svg("text", { x: EDGE.left - 8, y: at + 4, "text-anchor": "end" });
      label.textContent = mark(most * share);
      nodes.push(label);
    }
    const places = Math.max(2, Math.floor((right - EDGE.left) / 90));
    const step = STEPS.find((one) => (this.now - begin) / one <= places) ?? STEPS.at(-1);
    for (let at = Math.ceil(begin / step) * step; at <= this.now; at += step) {
      if (x(at) > right - 20 || x(at) < EDGE.left + 12) continue;
      const label = svg("text", { x: x(at), y: bottom + 15, "text-anchor": "middle" });
      label.textContent = step < 60_000 ? clock(at) : clock(at).slice(0, 5);
      nodes.push(label);
    }
    this.grid.replaceChildren(...nodes);
  }

  read(known, x, y) {
    // What is not known now is not what it was last.
    const newest = this.points.at(-1)?.[1] === null ? undefined : known.at(-1);
    let chosen = newest;
    const pointed = this.pointed !== null && known.length > 0;
    if (pointed) {
      const far = ([at]) => Math.abs(x(at) - this.pointed);
      chosen = known.reduce((best, one) => (far(one) < far(best) ? one : best));
      set(this.cross, { x1: x(chosen[0]), x2: x(chosen[0]) });
      set(this.dot, { cx: x(chosen[0]), cy: y(chosen[1]) });
    }
    set(this.cross, { visibility: pointed ? "visible" : "hidden" });
    set(this.dot, { visibility: pointed ? "visible" : "hidden" });
    text(this.when, pointed ? `at ${clock(chosen[0])}` : "");
    text(this.value, chosen ? this.shown(chosen[1]) : NOT_KNOWN, chosen ? this.exact(chosen[1]) : "not known");
    const most = known.reduce((top, [, value]) => Math.max(top, value), 0);
    const now = newest ? this.shown(newest[1]) : "not known";
    set(this.root, { "aria-label": `${this.title}, now ${now}, at most ${this.shown(most)} in the time shown` });
  }
}

/** The next of 1, 2, 5, 10, 20, 50, … */
function niceAbove(value) {
  if (value <= 0) return 10;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value);
}
