// The checkpoints: how long each took, in which phase, and the files that it has closed.

import { follow, h, set, show, text } from "./dom.js";
import { files } from "./files.js";
import { bytes, count, duration, exact, exactMs, iso, moment, NOT_KNOWN, plural } from "./format.js";

const ROWS = 10;
export const PHASES = [
  ["barrier", "barrier"],
  ["upload", "uploads"],
  ["commit_log", "commit log"],
  ["slot", "slot"],
  ["finalize", "files made visible"],
];
const COLUMNS = [
  ["Checkpoint", ""],
  ["At", "narrow-hide"],
  ["Phases", "wide"],
  ["Took", "num"],
  ["Rows", "num"],
  ["Dropped", "num narrow-hide"],
  ["Files", "num narrow-hide"],
  ["Size", "num narrow-hide"],
];

/** From its barrier; null of checkpoints of which only the end is known. */
function took(one, now) {
  return one.triggered_at === null ? null : (one.completed_at ?? now) - one.triggered_at;
}

/** What fills a bar: few that took much longer must not press all others flat, and are cut. */
function scale(history, now) {
  const all = history.map((one) => took(one, now)).filter((ms) => ms !== null);
  all.sort((a, b) => a - b);
  const median = all[Math.floor(all.length / 2)] ?? 1;
  return Math.max(1, Math.min(all.at(-1) ?? 1, 4 * median));
}

export function checkpoints() {
  const root = document.getElementById("checkpoints");
  const summary = document.getElementById("checkpoints-summary");
  const timeline = h("ol", { class: "timeline", "aria-hidden": "true" });
  const legend = h("p", { class: "legend" }, ...PHASES.map(([kind, name]) => h("span", {}, h("i", { class: `swatch ${kind}` }), name)));
  const head = COLUMNS.map(([title, kind]) => h("th", { scope: "col", class: kind }, title));
  const rows = h("table", { class: "checkpoints" }, h("caption", { class: "unseen" }, "Checkpoints, the newest first"), h("thead", {}, h("tr", {}, ...head)));
  const more = h("button", { type: "button", class: "quiet small" }, "Show more");
  const none = h("p", { class: "empty" }, "No checkpoint yet.");
  root.append(timeline, legend, h("div", { class: "scroll" }, rows), h("p", { class: "section-tools" }, more), none);
  let shown = ROWS;
  let last = null;
  more.addEventListener("click", () => {
    shown += 3 * ROWS;
    update(last);
  });

  function update(view) {
    last = view;
    const { history, completed, late } = view.checkpoints;
    const ofThem = late > 0 ? `, ${count(late)} late` : completed > 0 ? ", none late" : "";
    text(summary, `${plural(completed, "checkpoint")} of this start${ofThem}; one every ${duration(view.rhythm.interval_ms)}`);
    show(none, history.length === 0);
    for (const part of [timeline, legend, rows.parentElement]) show(part, history.length > 0);
    show(more.parentElement, history.length > shown);
    const most = scale(history, view.now);
    drawTimeline(timeline, history, most, view.now);
    // A body for each, so that a row and what opens below it stay together.
    if (!rows.known) rows.known = new Map();
    follow(rowsOf(rows), history.slice(0, shown), (one) => one.id, makeCheckpoint, (body, one) => updateCheckpoint(body, one, most, view.now));
  }
  return update;
}

/** The bodies of a table, apart from its head. */
function rowsOf(node) {
  return {
    get known() {
      return node.known;
    },
    get firstElementChild() {
      return node.tBodies[0] ?? null;
    },
    insertBefore: (body, place) => node.insertBefore(body, place),
  };
}

function drawTimeline(node, history, most, now) {
  const oldestFirst = [...history].reverse();
  follow(
    node,
    oldestFirst,
    (one) => one.id,
    () => h("li", {}, h("i")),
    (item, one) => {
      const ms = took(one, now);
      const tone = one.late ? "late" : one.state === "IN_PROGRESS" ? "open" : one.is_savepoint ? "savepoint" : "";
      set(item, { "data-tone": tone, title: `chk-${one.id}: ${ms === null ? "not known" : duration(ms)}${one.late ? ", late" : ""}` });
      set(item, { "data-cut": ms > most });
      item.firstChild.style.setProperty("height", `${ms === null ? 4 : Math.min(100, Math.max(4, (ms / most) * 100))}%`);
    },
  );
}

function makeCheckpoint(one) {
  const name = h("button", { type: "button", class: "row-name", "aria-expanded": "false" });
  const badge = h("span", { class: "badge" });
  const bar = h("div", { class: "stack", role: "img" }, ...PHASES.map(([kind]) => h("i", { class: kind })));
  const cells = COLUMNS.map(([, kind], n) => (n === 0 ? h("th", { scope: "row" }, name, badge) : h("td", { class: kind })));
  cells[2].append(bar);
  const detail = h("td", { colspan: COLUMNS.length });
  const below = h("tr", { class: "below", hidden: true }, detail);
  const body = h("tbody", {}, h("tr", {}, ...cells), below);
  name.addEventListener("click", () => {
    const open = below.hidden;
    show(below, open);
    set(name, { "aria-expanded": open });
    if (open && !body.files) {
      body.files = files(one.id);
      body.acks = h("p", { class: "acks" });
      detail.append(body.acks, body.files.node);
      updateAcks(body, body.one);
    } else if (open) body.files.load();
  });
  return body;
}

function updateCheckpoint(body, one, most, now) {
  body.one = one;
  const [tr] = body.rows;
  const [name, badge] = tr.cells[0].children;
  text(name, `chk-${one.id}`);
  const kinds = [one.late && "late", one.state === "IN_PROGRESS" && "in progress", one.is_savepoint && "savepoint"].filter(Boolean);
  text(badge, kinds.join(", "));
  set(badge, { "data-tone": one.late ? "bad" : "calm", hidden: kinds.length === 0 });
  const at = one.completed_at ?? one.triggered_at;
  text(tr.cells[1], moment(at, now), iso(at));
  drawPhases(tr.cells[2].firstChild, one, most, now);
  const ms = took(one, now);
  text(tr.cells[3], ms === null ? NOT_KNOWN : duration(ms), ms === null ? "not known: only its slot tells of it" : exactMs(ms));
  text(tr.cells[4], count(one.rows), exact(one.rows));
  text(tr.cells[5], count(one.dropped), exact(one.dropped));
  text(tr.cells[6], count(one.files), exact(one.files));
  text(tr.cells[7], bytes(one.bytes), `${exact(one.bytes)} bytes`);
  if (body.acks) updateAcks(body, one);
}

function drawPhases(bar, one, most, now) {
  const widths = PHASES.map(([kind]) => one.phases?.[kind] ?? 0);
  if (!one.phases && one.state === "IN_PROGRESS") widths[0] = took(one, now);
  const all = widths.reduce((sum, ms) => sum + ms, 0);
  const full = Math.max(all, most);
  widths.forEach((ms, n) => bar.children[n].style.setProperty("width", `${(ms / full) * 100}%`));
  set(bar, { "data-cut": all > most });
  const told = one.phases
    ? PHASES.map(([kind, name]) => `${name} ${duration(one.phases[kind])}`).join(", ")
    : one.state === "IN_PROGRESS"
      ? "being taken"
      : "its phases are not known: only its slot tells of it";
  set(bar, { "aria-label": told, title: told });
}

function updateAcks(body, one) {
  const acks = one.acks.map((ack) => {
    const after = one.triggered_at === null ? "" : ` after ${duration(ack.acked_at - one.triggered_at)}`;
    return `subtask ${ack.subtask} acknowledged${after} (${plural(ack.files, "file")}, ${bytes(ack.bytes)})`;
  });
  text(body.acks, [one.location, ...acks].filter(Boolean).join(" · "));
}
