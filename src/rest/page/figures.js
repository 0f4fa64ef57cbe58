// What follows from views: lag, and speed from two of them.

/** Of all partitions; null unless it is known of every one. */
export function lagOf(view) {
  let total = 0;
  let unknown = 0;
  for (const split of view.splits) {
    if (split.end === null) unknown += 1;
    else total += Math.max(0, split.end - split.consumed);
  }
  return { total: unknown > 0 || view.splits.length === 0 ? null : total, unknown };
}

export function lagOfSplit(split) {
  return split.end === null ? null : Math.max(0, split.end - split.consumed);
}

function read(view) {
  return view.subtasks.reduce((sum, one) => sum + one.records_in, 0);
}

const WINDOW = 5_000;
let looks = [];

/** Records a second over the last seconds; null when only one view of this start was seen. */
export function rateOf(view) {
  const newest = looks.at(-1);
  if (newest?.at !== view.now) {
    const look = { at: view.now, generation: view.generation, read: read(view) };
    const isOther = newest && (newest.generation !== look.generation || newest.read > look.read || newest.at > look.at);
    looks = isOther ? [look] : [...looks.filter((one) => look.at - one.at <= WINDOW), look];
  }
  const [oldest, last] = [looks[0], looks.at(-1)];
  return last.at > oldest.at ? ((last.read - oldest.read) / (last.at - oldest.at)) * 1000 : null;
}
