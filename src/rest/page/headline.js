// At a glance: is it running, how far behind, when was the last checkpoint, is anything lost.

import { follow, h, set, text } from "./dom.js";
import { age, count, duration, exact, exactMs, iso, moment, NOT_KNOWN, percent, plural, span } from "./format.js";
import { lagOf, rateOf } from "./figures.js";

const STATES = {
  CREATED: ["Starting", "reading what earlier starts have left"],
  RUNNING: ["Running", ""],
  STOPPING: ["Stopping", "taking a last checkpoint"],
  CANCELLING: ["Cancelling", ""],
  FINISHED: ["Finished", "stopped with a last checkpoint"],
  CANCELED: ["Canceled", "ended without a last checkpoint"],
  FAILED: ["Failed", "the newest exception says why"],
};

function fact(id) {
  const node = document.getElementById(id);
  const [figure, note] = [node.querySelector(".figure"), node.querySelector(".note")];
  return (tone, [shown, title], [small, smallTitle]) => {
    set(node, { "data-tone": tone });
    text(figure, shown, title);
    text(note, small || "\u00a0", smallTitle);
  };
}

export function headline() {
  const [state, lag, checkpoint, dropped] = ["state", "lag", "checkpoint", "dropped"].map((id) => fact(`fact-${id}`));
  const troubles = document.getElementById("troubles");
  const [topic, output] = [document.getElementById("topic"), document.getElementById("output")];
  return (view) => {
    text(topic, view.topic);
    text(output, view.identity?.output ?? view.settings.OUTPUT_PATH ?? "…");
    state(...stateFact(view));
    lag(...lagFact(view));
    checkpoint(...checkpointFact(view));
    dropped(...droppedFact(view));
    follow(troubles, Object.entries(view.troubles), ([concern]) => concern, makeTrouble, (node, [concern, { since, message }]) => {
      text(node.children[0], concern);
      text(node.children[1], message);
      text(node.children[2], `for ${span(view.now - since)}`, iso(since));
    });
  };
}

function makeTrouble() {
  return h("li", {}, h("strong"), h("span"), h("span", { class: "since" }));
}

function stateFact(view) {
  const [name, note] = STATES[view.state] ?? [view.state, ""];
  const wrong = Object.keys(view.troubles).length;
  if (view.state === "RUNNING" && wrong > 0) {
    return ["warn", ["Degraded", "running, with trouble"], [`${plural(wrong, "trouble")}, see above; it goes on by itself`, null]];
  }
  const since = view.ended_at ?? view.entered[view.state] ?? view.started_at;
  const tone = view.state === "FAILED" ? "bad" : view.state === "RUNNING" ? "good" : "calm";
  const how = view.ended_at === null ? `for ${span(view.now - since)}` : `since ${moment(since, view.now)}`;
  const generation = view.generation === null ? "" : `, start ${view.generation}`;
  return [tone, [name, view.state], [note ? `${note}, ${how}` : how + generation, iso(since)]];
}

function lagFact(view) {
  const lag = lagOf(view);
  if (lag.total === null) {
    const some = view.splits.length === 0 ? "no partition is read yet" : `not known yet of ${plural(lag.unknown, "partition")}`;
    return ["calm", [NOT_KNOWN, "not known"], [some, null]];
  }
  const rate = rateOf(view);
  let note = lag.total === 0 ? "nothing in Kafka that was not read" : "records in Kafka that were not read";
  if (rate > 0 && lag.total > rate) note = `records; ${duration((lag.total / rate) * 1000)} of work at this speed`;
  return [lag.total === 0 ? "good" : "calm", [count(lag.total), `${exact(lag.total)} records`], [note, null]];
}

function checkpointFact(view) {
  const [newest] = view.checkpoints.history;
  const open = newest?.state === "IN_PROGRESS" ? newest : null;
  const last = view.checkpoints.history.find((one) => one.state === "COMPLETED");
  const shown = last ? [age(view.now - last.completed_at), iso(last.completed_at)] : ["None yet", null];
  if (open?.late) {
    const taken = span(view.now - open.triggered_at);
    const timeout = duration(view.rhythm.timeout_ms);
    return ["bad", shown, [`chk-${open.id} is late: ${taken}, over ${timeout}`, null]];
  }
  if (open) return ["calm", shown, [`chk-${open.id} is being taken, for ${span(view.now - open.triggered_at)}`, null]];
  const every = `every ${duration(view.rhythm.interval_ms)}`;
  if (!last) return ["calm", shown, [every, exactMs(view.rhythm.interval_ms)]];
  return ["good", shown, [`chk-${last.id}, ${plural(last.rows, "row")}, ${every}`, `${exact(last.rows)} rows`]];
}

function droppedFact(view) {
  const total = Object.values(view.dropped.by_reason).reduce((sum, n) => sum + n, 0);
  if (total === 0) return ["good", ["0", null], ["every record of this start could be decoded", null]];
  const read = view.subtasks.reduce((sum, one) => sum + one.records_in, 0);
  const reasons = plural(Object.keys(view.dropped.by_reason).length, "reason");
  return ["warn", [count(total), exact(total)], [`${percent(total, read)} of this start's records, ${reasons}; kept in the dropped output`, null]];
}
