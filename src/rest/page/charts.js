// Throughput and lag over the last hour.

import { Chart } from "./chart.js";
import { lagOf, rateOf } from "./figures.js";
import { count, exact } from "./format.js";
import { get } from "./stream.js";

const KEPT = 3_600_000;

export function charts() {
  const throughput = new Chart(document.getElementById("chart-throughput"), {
    title: "Throughput",
    unit: "records/s",
    shown: (n) => `${count(Math.round(n))}/s`,
    exact: (n) => `${exact(n)} records a second`,
  });
  const lag = new Chart(document.getElementById("chart-lag"), {
    title: "Lag",
    unit: "records",
    shown: count,
    exact: (n) => `${exact(n)} records`,
  });
  let samples = [];
  let interval = 5_000;
  let asked = false;
  let seen = 0;

  async function load(now) {
    asked = true;
    try {
      const history = await get("lineage/history");
      interval = history.interval_ms;
      const known = history.samples.map((one) => ({ at: one.at, rate: one.records_per_second, lag: one.lag }));
      const newest = known.at(-1)?.at ?? 0;
      samples = [...known, ...samples.filter((one) => one.at > newest)];
    } catch {
      // The charts begin now; the next connection asks again.
      asked = false;
    }
    draw(now);
  }

  function draw(now) {
    samples = samples.filter((one) => now - one.at <= KEPT);
    throughput.draw(samples.map(({ at, rate }) => [at, rate]), now);
    lag.draw(samples.map((one) => [one.at, one.lag]), now);
  }

  return (view) => {
    // After a gap the service knows what this page does not.
    if (!asked || view.now - seen > 3 * interval) load(view.now);
    seen = view.now;
    const one = { at: view.now, rate: rateOf(view), lag: lagOf(view).total };
    // The newest point moves with each view, and stays when its time is over.
    const before = samples.at(-2);
    if (before && one.at - before.at < interval) samples[samples.length - 1] = one;
    else samples.push(one);
    draw(view.now);
  };
}
