// Records that could not be decoded, by reason, with one of each.

import { cells, copyButton, follow, h, row, show, table, text } from "./dom.js";
import { count, exact, percent, plural } from "./format.js";

const COLUMNS = [
  ["Reason", ""],
  ["Records", "num"],
  ["Share", "num"],
  ["The newest one", "wide"],
];

export function dropped() {
  const root = document.getElementById("dropped");
  const summary = document.getElementById("dropped-summary");
  const none = h("p", { class: "empty" }, "Every record of this start could be decoded.");
  const { node, body } = table("Dropped records by reason", COLUMNS);
  node.classList.add("stacks");
  const scroll = h("div", { class: "scroll" }, node);
  root.append(none, scroll);
  return (view) => {
    const reasons = Object.entries(view.dropped.by_reason).sort(([, a], [, b]) => b - a);
    const total = reasons.reduce((sum, [, n]) => sum + n, 0);
    show(none, total === 0);
    show(scroll, total > 0);
    text(summary, total === 0 ? "" : `${plural(total, "record")} of this start, kept in ${view.identity?.dropped ?? "the dropped output"}`, exact(total));
    follow(
      body,
      reasons,
      ([reason]) => reason,
      () => {
        const tr = row(COLUMNS, "th");
        tr.cells[3].append(h("span"), h("code", { class: "bytes" }), h("span"));
        return tr;
      },
      (tr, [reason, n]) => {
        cells(tr, [reason, [count(n), exact(n)], percent(n, total)]);
        const sample = view.dropped.samples.find((one) => isOf(one.reason, reason));
        if (sample) tr.cells[0].title = sample.reason;
        showSample(tr.cells[3], sample);
      },
    );
  };
}

/** Counted are reasons without what was found in the one record, which is behind a colon. */
function isOf(full, reason) {
  return full === reason || full.startsWith(`${reason}:`);
}

function showSample(cell, sample) {
  const [place, value, tools] = cell.children;
  if (!sample) return;
  text(place, `${sample.split.topic}-${sample.split.partition} offset ${exact(sample.offset)} `);
  text(value, sample.value_hex ? spaced(sample.value_hex) : "no value", `as text: ${readable(sample.value_hex)}`);
  if (!tools.firstChild) tools.append(copyButton("the bytes of this record", () => value.textContent));
}

function spaced(hex) {
  return hex.replace(/../g, "$& ").trim();
}

/** What is not ASCII is a dot. */
function readable(hex) {
  return (hex.match(/../g) ?? []).map((pair) => {
    const code = Number.parseInt(pair, 16);
    return code >= 32 && code < 127 ? String.fromCharCode(code) : "·";
  }).join("");
}
