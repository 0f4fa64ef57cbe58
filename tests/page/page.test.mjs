// What the page shows of views that are made up, and what it sends. In headless Chromium.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";
import * as views from "./views.mjs";

const { running, lateCheckpoint, degraded, manyPartitions, finished, nothingYet } = views;
const EVERY = { running, lateCheckpoint, degraded, manyPartitions, finished, nothingYet };

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Serves views, opens the page and waits for the first one; both end with the test. */
async function shown(t, made, options = {}) {
  const server = await serve(made, options);
  const opened = await open(browser, server.url, options);
  t.after(async () => {
    await opened.context.close();
    await server.stop();
  });
  if (!options.token) await opened.page.locator("body[data-connection=live]").waitFor();
  return { server, ...opened };
}

const fact = (page, id) => page.locator(`#fact-${id}`);

async function says(locator, pattern) {
  await locator.filter({ hasText: pattern }).first().waitFor();
}

/** Two views have come since. */
async function twoViews(page) {
  for (let n = 0; n < 2; n += 1) {
    const before = await page.locator("#connection").getAttribute("title");
    await page.waitForFunction((old) => document.getElementById("connection").title !== old, before);
  }
}

test("the four facts of the first screen are those of the view", async (t) => {
  const { page, complaints } = await shown(t, running);
  await says(fact(page, "state"), /Running.*for 3 h 12 min, start 3/);
  await says(fact(page, "lag"), /227/);
  await says(fact(page, "checkpoint"), /\d+ s ago.*chk-204, 126 k rows, every 1 min/);
  await says(fact(page, "dropped"), /1,240.*2 reasons/);
  assert.equal(await fact(page, "dropped").locator(".figure").getAttribute("title"), "1,240");
  const screen = page.viewportSize();
  for (const id of ["state", "lag", "checkpoint", "dropped"]) {
    const box = await fact(page, id).boundingBox();
    assert.ok(box.y + box.height < screen.height, `${id} is on the first screen`);
  }
  assert.equal(await page.title(), "Running: lineage-input – lineage");
  assert.deepEqual(complaints, []);
});

test("throughput is that of the views, and the charts go back to before the page was opened", async (t) => {
  const { page } = await shown(t, running);
  await says(page.locator("#chart-throughput .chart-value"), /^1,9[67]\d\/s$/);
  await says(page.locator("#chart-lag .chart-value"), /^227$/);
  const drawn = await page.locator("#chart-throughput .chart-line").getAttribute("d");
  assert.ok(drawn.split("L").length > 700);
});

test("a late checkpoint is red at a glance, and in the timeline and the list", async (t) => {
  const { page } = await shown(t, lateCheckpoint);
  await says(page.locator("#troubles li"), /checkpoint.*is late/);
  await says(fact(page, "state"), /Degraded/);
  await says(fact(page, "checkpoint"), /chk-205 is late: 6 min 12 s, over 5 min/);
  assert.equal(await fact(page, "checkpoint").getAttribute("data-tone"), "bad");
  await says(page.locator(".checkpoints tbody").first(), /chk-205.*late, in progress/);
  assert.equal(await page.locator(".timeline [data-tone=late]").count(), 2);
});

test("one checkpoint that takes long does not press the bars of the others flat", async (t) => {
  const { page } = await shown(t, lateCheckpoint);
  assert.equal(await page.locator(".timeline li").last().getAttribute("data-cut"), "true");
  const tall = await page.locator(".timeline li i").evaluateAll((all) => all.filter((one) => one.offsetHeight > 8).length);
  assert.ok(tall > 40, `${tall} bars can be seen`);
});

test("trouble is told with what it concerns, and is gone when it is gone", async (t) => {
  const { page, server } = await shown(t, degraded);
  await says(page.locator("#troubles li"), /uploading part 3.*connection refused/);
  await says(fact(page, "state"), /Degraded.*2 troubles/);
  await says(fact(page, "lag"), /–.*not known yet of 1 partition/);
  await says(page.locator("#chart-lag .chart-value"), /^–$/);
  server.state.made = running;
  await says(fact(page, "state"), /Running/);
  assert.equal(await page.locator("#troubles li").count(), 0);
});

test("ten partitions are a table with all their offsets", async (t) => {
  const { page } = await shown(t, (now) => ({ ...running(now), splits: running(views.FIXED).splits }));
  const cells = await page.locator("#partitions tbody tr").nth(4).locator("th, td").allInnerTexts();
  const { split, subtask, consumed, durable, committed, end } = running(views.FIXED).splits[4];
  const exact = (n) => n.toLocaleString("en-US");
  assert.deepEqual(cells, [`${split.partition}`, `${subtask}`, "122", "", ...[consumed, durable, committed, end].map(exact)]);
});

test("partitions of several topics are told apart by their topics", async (t) => {
  const two = (now) => {
    const view = running(now);
    view.splits.slice(5).forEach((split, partition) => (split.split = { topic: "orders", partition }));
    return view;
  };
  const { page } = await shown(t, two);
  const names = await page.locator("#partitions tbody th").allInnerTexts();
  const numbers = [0, 1, 2, 3, 4];
  assert.deepEqual(names, [...numbers.map((n) => `lineage-input-${n}`), ...numbers.map((n) => `orders-${n}`)]);
  await says(page.locator("#partitions-summary"), /furthest partition lineage-input-4 with/);
});

test("a thousand partitions are a grid, told one by one with the pointer and the keyboard", async (t) => {
  const { page } = await shown(t, manyPartitions);
  const squares = page.locator("#partitions .heat .square");
  assert.equal(await squares.count(), 1_000);
  const told = page.locator(".told dd");
  await squares.nth(13).hover();
  assert.equal(await told.first().innerText(), "13");
  assert.equal(await told.last().innerText(), "250,169");
  await page.locator(".heat").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  const chosen = await page.locator(".heat").getAttribute("aria-activedescendant");
  const place = Number(chosen.split("-")[1]);
  assert.ok(place > 10, "a row further down");
  assert.equal(await told.first().innerText(), `${place}`);
  await page.keyboard.press("End");
  assert.equal(await told.first().innerText(), "999");
  await page.getByRole("button", { name: "Show as a table" }).click();
  assert.equal(await page.locator("#partitions tbody tr").count(), 50);
  await page.getByRole("button", { name: "Later" }).click();
  await says(page.locator("#partitions tbody tr").first(), /^50/);
});

for (const [name, made] of Object.entries(EVERY)) {
  test(`nothing moves while views of '${name}' come in, and nothing reads undefined`, async (t) => {
    const { page, complaints, elsewhere } = await shown(t, made);
    await twoViews(page);
    const places = () =>
      page.locator("main > section, main > section > *").evaluateAll((all) => all.map((one) => [one.offsetTop, one.offsetHeight]));
    const before = await places();
    await twoViews(page);
    assert.deepEqual(await places(), before);
    const text = await page.locator("body").innerText();
    assert.doesNotMatch(text, /undefined|null|NaN|\[object|Infinity/);
    assert.deepEqual(complaints, []);
    assert.deepEqual(elsewhere, []);
  });

  test(`'${name}' fits on a phone, light and dark`, async (t) => {
    for (const colorScheme of ["light", "dark"]) {
      const { page, complaints } = await shown(t, made, { width: 360, height: 740, colorScheme });
      await twoViews(page);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(over, 0);
      assert.deepEqual(complaints, []);
    }
  });
}

test("without a connection it says since when, keeps what it had, and comes back by itself", async (t) => {
  const { page, server } = await shown(t, running);
  await server.stop();
  await says(page.locator("#connection"), /^No connection since \d\d:\d\d:\d\d$/);
  await says(page.locator("#lost"), /No connection since .*Trying again/);
  await says(fact(page, "lag"), /227/);
  assert.ok(await page.getByRole("button", { name: "Stop" }).isDisabled());
  await server.start();
  await page.locator("body[data-connection=live]").waitFor();
  assert.ok(await page.locator("#lost").isHidden());
  assert.ok(await page.getByRole("button", { name: "Stop" }).isEnabled());
});

test("a service that hangs is no connection either", async (t) => {
  const { page, server } = await shown(t, running);
  server.state.silent = true;
  await says(page.locator("#connection"), /^No connection since/);
});

test("a token is asked for once and sent with every request", async (t) => {
  const { page, server } = await shown(t, running, { token: "secret" });
  await page.getByRole("textbox", { name: "Token" }).fill("secret");
  await page.keyboard.press("Enter");
  await page.locator("body[data-connection=live]").waitFor();
  await page.reload();
  await page.locator("body[data-connection=live]").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("button", { name: "Stop the job" }).click();
  await says(page.locator("#outcome"), /Asked for: stop/);
  assert.equal(server.state.posts.length, 1);
});

test("nothing is sent without a confirmation", async (t) => {
  const { page, server } = await shown(t, running);
  for (const name of ["Savepoint", "Stop", "Cancel"]) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.getByRole("button", { name: "Leave it" }).click();
    await page.getByRole("button", { name, exact: true }).click();
    await page.keyboard.press("Escape");
  }
  assert.deepEqual(server.state.posts, []);
});

test("a savepoint goes to its target, and its place is told", async (t) => {
  const { page, server } = await shown(t, running);
  await page.getByRole("button", { name: "Savepoint" }).click();
  await page.getByLabel(/Target/).fill("s3://flink-data/savepoints");
  await page.keyboard.press("Enter");
  await says(page.locator("#outcome"), /The savepoint is at s3:\/\/flink-data\/savepoints\/savepoint-0f3c-205/);
  assert.deepEqual(server.state.posts, [{ path: "/lineage/savepoint", body: '{"target":"s3://flink-data/savepoints"}' }]);
});

test("a job that has ended can be resumed, and not stopped", async (t) => {
  const { page, server } = await shown(t, finished);
  await says(fact(page, "state"), /Finished.*stopped with a last checkpoint, since/);
  assert.ok(await page.locator("[data-action=stop]").isHidden());
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Resume the job" }).click();
  await says(page.locator("#outcome"), /Asked for: resume/);
  assert.deepEqual(server.state.posts, [{ path: "/lineage/resume", body: "" }]);
});

test("a read-only control plane has no buttons", async (t) => {
  const { page, complaints } = await shown(t, running, { readOnly: true });
  await page.locator("#actions").waitFor({ state: "hidden" });
  await twoViews(page);
  assert.equal(await page.locator("#actions").isVisible(), false);
  assert.deepEqual(complaints, []);
});

test("a refusal is told in the words of the service", async (t) => {
  const { page, server } = await shown(t, running);
  server.state.refusal = "this control plane is read-only (REST_READ_ONLY)";
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Cancel the job" }).click();
  await says(page.locator("#outcome"), /cancel was refused: this control plane is read-only/);
});

test("the files of a checkpoint are its lines of the commit log, and their keys can be copied", async (t) => {
  const { page, context } = await shown(t, running);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "chk-203" }).click();
  const lines = page.locator(".files li");
  await lines.nth(4).waitFor();
  const wanted = views.files(203);
  const codes = await lines.locator("code").allInnerTexts();
  assert.deepEqual(codes, wanted.map((one) => `203,${one.s3_key},${one.commit_timestamp}`));
  await says(lines.nth(4), /chk-203\/dropped-0\.csv · 12 rows/);
  await lines.nth(1).getByRole("button").click();
  await says(lines.nth(1), /Copied/);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), wanted[1].s3_key);
  await twoViews(page);
  assert.equal(await lines.count(), 5, "it stays open");
});

test("dropped records are told by reason with a sample, exceptions and starts with their end", async (t) => {
  const { page } = await shown(t, running);
  const [most, other] = await page.locator("#dropped tbody tr").allInnerTexts();
  assert.match(most, /shorter than its schema\s+1,104\s+89%\s+lineage-input-4 offset 7,218,776 48 37 66/);
  assert.match(other, /no value\s+136\s+11%/);
  await says(page.locator(".exceptions li"), /coordinator.*the pending upload is broken/);
  const ends = await page.locator("#starts tbody tr td:last-child").allInnerTexts();
  assert.deepEqual(ends, ["runs", "failed: the store has lost the parts of a file", "stopped"]);
});

test("every control can be reached by the keyboard, and the focus is seen", async (t) => {
  const { page } = await shown(t, manyPartitions);
  const reached = [];
  for (let n = 0; n < 12; n += 1) {
    await page.keyboard.press("Tab");
    reached.push(
      await page.evaluate(() => {
        const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
        const name = document.activeElement.getAttribute("aria-label") ?? document.activeElement.innerText;
        return { name, seen: outlineStyle !== "none" && outlineWidth !== "0px" };
      }),
    );
  }
  const names = reached.map(({ name }) => name);
  assert.deepEqual(names.slice(0, 5), ["Skip to the content", "Savepoint", "Stop", "Cancel", "Theme: system"]);
  assert.ok(names.some((name) => name.startsWith("Partitions by lag")), names.join(", "));
  assert.ok(names.includes("chk-204"), names.join(", "));
  assert.ok(reached.every(({ seen }) => seen), JSON.stringify(reached));
});

test("the theme is the system's until another is chosen, and that is kept", async (t) => {
  const { page } = await shown(t, running, { colorScheme: "dark" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.getByRole("button", { name: "Theme: system" }).click();
  const light = await ground();
  assert.notEqual(light, dark);
  await page.reload();
  await page.locator("body[data-connection=live]").waitFor();
  assert.equal(await ground(), light);
  await page.getByRole("button", { name: "Theme: light" }).click();
  assert.equal(await ground(), dark);
});
