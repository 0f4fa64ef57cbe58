// What went wrong, and the starts of the job.

import { cells, follow, h, row, show, table, text } from "./dom.js";
import { duration, iso, moment, plural } from "./format.js";

const COLUMNS = [
  ["Start", ""],
  ["From", ""],
  ["Ran for", "num"],
  ["End", "wide"],
];
const MOST = 20;

export function starts() {
  const root = document.getElementById("starts");
  const summary = document.getElementById("starts-summary");
  const none = h("p", { class: "empty" }, "No exceptions.");
  const exceptions = h("ol", { class: "exceptions" });
  const { node, body } = table("Starts of the job, the newest first", COLUMNS);
  node.classList.add("stacks");
  root.append(none, exceptions, h("div", { class: "scroll" }, node));
  return (view) => {
    show(none, view.exceptions.length === 0);
    show(exceptions, view.exceptions.length > 0);
    const restarts = Math.max(0, view.starts.length - 1);
    text(summary, `${plural(view.exceptions.length, "exception")}, ${plural(restarts, "restart")} that the logs still tell of`);
    follow(
      exceptions,
      view.exceptions.slice(0, MOST),
      (one) => `${one.at} ${one.concern} ${one.message}`,
      () => h("li", {}, h("p", {}, h("time"), h("strong"), h("span")), h("pre")),
      (item, one) => {
        const [when, concern, generation] = item.firstChild.children;
        text(when, moment(one.at, view.now), iso(one.at));
        text(concern, one.concern);
        text(generation, one.generation === null ? "" : `start ${one.generation}`);
        text(item.lastChild, one.message);
      },
    );
    follow(
      body,
      view.starts.slice(0, MOST),
      (one) => one.generation,
      () => row(COLUMNS, "th"),
      (tr, one) => {
        const runs = one.generation === view.generation && view.ended_at === null;
        const end = one.ended_at ?? (runs ? view.now : null);
        const ran = end === null ? "not known" : duration(end - one.started_at);
        const how = one.ended ?? (runs ? "runs" : "ended without a word");
        cells(tr, [`start ${one.generation}`, [moment(one.started_at, view.now), iso(one.started_at)], ran, [how, iso(one.ended_at)]]);
      },
    );
  };
}
