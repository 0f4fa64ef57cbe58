// What each subtask does, and what takes memory.

import { cells, follow, h, row, set, table, text } from "./dom.js";
import { bytes, count, exact, percent } from "./format.js";

const COLUMNS = [
  ["Subtask", ""],
  ["Time", "wide"],
  ["Read", "num"],
  ["Rows", "num narrow-hide"],
  ["Dropped", "num"],
  ["Written", "num narrow-hide"],
  ["Open files", "num narrow-hide"],
];
const KINDS = ["busy", "idle", "backpressured"];

export function subtasks() {
  const root = document.getElementById("subtasks");
  const memory = document.getElementById("memory");
  const { node, body } = table("Subtasks of this start", COLUMNS);
  root.append(node);
  const legend = KINDS.map((kind) => h("span", {}, h("i", { class: `swatch ${kind}` }), kind));
  root.after(h("p", { class: "empty" }, "No subtask runs yet."), h("p", { class: "legend" }, ...legend));
  let last = null;
  return (view) => {
    const times = spent(last, view);
    last = view;
    follow(
      body,
      view.subtasks,
      (one) => one.index,
      () => {
        const tr = row(COLUMNS, "th");
        tr.cells[1].append(h("div", { class: "stack", role: "img" }, ...KINDS.map((kind) => h("i", { class: kind }))));
        return tr;
      },
      (tr, one) => {
        const share = times.get(one.index);
        const bar = tr.cells[1].firstChild;
        const total = KINDS.reduce((sum, kind) => sum + share[kind], 0) || 1;
        KINDS.forEach((kind, n) => bar.children[n].style.setProperty("width", `${(share[kind] / total) * 100}%`));
        const told = KINDS.map((kind) => `${percent(share[kind], total)} ${kind}`).join(", ");
        set(bar, { "aria-label": told, title: told });
        cells(tr, [
          one.index,
          undefined,
          [count(one.records_in), `${exact(one.records_in)} records, ${bytes(one.bytes_in)}`],
          [count(one.rows_out), exact(one.rows_out)],
          [count(one.rows_dropped), exact(one.rows_dropped)],
          [bytes(one.bytes_out), `${exact(one.bytes_out)} bytes`],
          exact(one.open_files),
        ]);
      },
    );
    const { budget, queues, open_files, in_flight } = view.memory;
    const used = open_files + in_flight;
    text(
      memory,
      `Memory: ${bytes(used)} of ${bytes(budget - queues)} in files and uploads`,
      `open files ${exact(open_files)}, on their way ${exact(in_flight)}, set apart for queues ${exact(queues)}, budget ${exact(budget)} bytes`,
    );
  };
}

/** Since the last view; since the start at the first. */
function spent(last, view) {
  const times = new Map();
  for (const one of view.subtasks) {
    const before = last?.generation === view.generation ? last.subtasks.find((other) => other.index === one.index) : undefined;
    const share = {};
    for (const kind of KINDS) share[kind] = Math.max(0, one[`${kind}_ms`] - (before?.[`${kind}_ms`] ?? 0));
    times.set(one.index, share);
  }
  return times;
}
