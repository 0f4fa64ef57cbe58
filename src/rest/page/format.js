// Numbers and times for people. The exact value goes into a title beside each.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const NOT_KNOWN = "–";

export function exact(n) {
  return n === null || n === undefined ? "not known" : whole.format(n);
}

function scaled(n, base, units) {
  let value = n;
  let unit = 0;
  while (Math.abs(value) >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`.trim();
}

/** 9,876, then 12.3 k, 1.24 M. */
export function count(n) {
  if (n === null || n === undefined) return NOT_KNOWN;
  return Math.abs(n) < 10_000 ? whole.format(n) : scaled(n, 1000, ["", "k", "M", "G", "T"]);
}

/** For the marks of an axis: without zeros behind the point. */
export function mark(n) {
  return count(n).replace(/\.0+ /, " ").replace(/(\.[1-9])0 /, "$1 ");
}

export function bytes(n) {
  if (n === null || n === undefined) return NOT_KNOWN;
  return scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
}

/** Of milliseconds. */
export function duration(ms) {
  if (ms === null || ms === undefined) return NOT_KNOWN;
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return parts(minutes, "min", Math.floor(seconds % 60), "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return parts(hours, "h", minutes % 60, "min");
  return parts(Math.floor(hours / 24), "d", hours % 24, "h");
}

function parts(large, of, small, with_) {
  return small === 0 ? `${large} ${of}` : `${large} ${of} ${small} ${with_}`;
}

/** In whole seconds, for what changes each second. */
export function span(ms) {
  return ms < 10_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : duration(ms);
}

export function age(ms) {
  return ms < 1000 ? "now" : `${span(ms)} ago`;
}

export function exactMs(ms) {
  return ms === null || ms === undefined ? "not known" : `${whole.format(ms)} ms`;
}

const clockOf = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayOf = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/** Local time; with the day when it is another one. */
export function moment(at, now) {
  if (at === null || at === undefined) return NOT_KNOWN;
  const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
  return (sameDay ? clockOf : dayOf).format(at);
}

export function clock(at) {
  return clockOf.format(at);
}

export function iso(at) {
  return at === null || at === undefined ? "not known" : new Date(at).toISOString();
}

export function percent(part, of) {
  if (!of) return "0%";
  const value = (part / of) * 100;
  if (part > 0 && value < 0.01) return "< 0.01%";
  return `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)}%`;
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
