// The page of a service that runs: it shows the numbers of that service, and goes on with them.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";

const URL_OF_PAGE = process.env.LINEAGE_PAGE_URL;
const SHOTS = process.env.LINEAGE_PAGE_SHOTS;
// What the service was brought into: flowing, degraded, late or restarted. Not given: whatever it is in.
const STATE = process.env.LINEAGE_PAGE_STATE;
const TOKEN = process.env.REST_TOKEN;
if (!URL_OF_PAGE) throw new Error("LINEAGE_PAGE_URL does not name a running service: run scripts/page.sh URL");

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

async function opened(t, options) {
  const all = await open(browser, URL_OF_PAGE, options);
  t.after(() => all.context.close());
  if (TOKEN) {
    await all.page.getByRole("textbox", { name: "Token" }).fill(TOKEN);
    await all.page.keyboard.press("Enter");
  }
  await all.page.locator("body[data-connection=live]").waitFor();
  return all;
}

// The page may be a moment behind the service, and shows the older checkpoints when it is asked for more.
async function show(page, wanted) {
  const more = page.getByRole("button", { name: "Show more" });
  while (!(await wanted.isVisible())) {
    if (await more.isVisible()) await more.click();
    else await page.waitForTimeout(100);
  }
}

async function asked(path) {
  const headers = TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {};
  return (await fetch(new URL(path, URL_OF_PAGE), { headers })).json();
}

const number = (text) => Number(text.replaceAll(",", ""));

/** What is said of each partition, by its number. */
async function partitions(page) {
  const table = page.getByRole("button", { name: "Show as a table" });
  if ((await table.isVisible()) && (await table.getAttribute("aria-pressed")) === "false") await table.click();
  const rows = await page.locator("#partitions tbody tr").evaluateAll((all) =>
    // A lag is shortened, and whole in its title.
    all.map((row) => [...row.cells].map((cell, place) => (place === 2 ? cell.title.split(" ")[0] : cell.innerText))),
  );
  return new Map(
    rows.map(([partition, , lag, , consumed, durable, committed, end]) => [Number(partition), { lag, consumed, durable, committed, end }]),
  );
}

test("its offsets lie between those that the service tells before and after", async (t) => {
  const { page, complaints, elsewhere } = await opened(t);
  const before = await asked("lineage/view");
  await page.waitForFunction((now) => Date.parse(document.getElementById("connection").title.split(" ").at(-1)) > now, before.now);
  const shown = await partitions(page);
  const after = await asked("lineage/view");
  assert.ok(shown.size > 0);
  for (const [partition, told] of shown) {
    for (const kind of ["consumed", "durable", "committed", "end"]) {
      const of = (view) => view.splits.find(({ split }) => split.partition === partition)[kind];
      if (of(before) === null) continue;
      const offset = number(told[kind]);
      assert.ok(of(before) <= offset && offset <= of(after), `partition ${partition}: ${kind} ${offset}`);
    }
    if (number(told.end) >= 0) assert.equal(number(told.lag), Math.max(0, number(told.end) - number(told.consumed)));
  }
  assert.deepEqual(complaints, []);
  assert.deepEqual(elsewhere, []);
});

test("state, checkpoint, dropped records and trouble are those of the service", async (t) => {
  const { page } = await opened(t);
  // Anew if a checkpoint or trouble has come in between.
  for (let tries = 0; ; tries += 1) {
    const before = await asked("lineage/view");
    await page.waitForFunction((now) => Date.parse(document.getElementById("connection").title.split(" ").at(-1)) > now, before.now);
    const told = await page.locator(".headline").innerText();
    const troubles = await page.locator("#troubles li strong").allInnerTexts();
    const after = await asked("lineage/view");
    const newest = (view) => view.checkpoints.history.find(({ state }) => state === "COMPLETED")?.id;
    const dropped = (view) => Object.values(view.dropped.by_reason).reduce((sum, n) => sum + n, 0);
    const same = [(view) => view.state, newest, (view) => Object.keys(view.troubles).join()];
    if (same.some((of) => of(before) !== of(after)) && tries < 20) continue;
    assert.deepEqual(troubles.sort(), Object.keys(after.troubles).sort());
    const wanted = after.state === "RUNNING" && troubles.length > 0 ? "degraded" : after.state.toLowerCase();
    assert.match(told.toLowerCase(), new RegExp(wanted === "created" ? "starting" : wanted));
    const list = await page.locator(".checkpoints .row-name").allInnerTexts();
    if (newest(after) !== undefined) assert.ok(list.includes(`chk-${newest(after)}`), list.join(", "));
    const title = await page.locator("#fact-dropped .figure").getAttribute("title");
    if (dropped(after) > 0) assert.ok(dropped(before) <= number(title) && number(title) <= dropped(after), title);
    return;
  }
});

const STATES = {
  async flowing({ page, view }) {
    assert.equal(view.state, "RUNNING");
    const read = async () => [...(await partitions(page)).values()].reduce((sum, { consumed }) => sum + number(consumed), 0);
    const before = await read();
    while ((await read()) === before) await page.waitForTimeout(100);
  },
  async degraded({ page, view }) {
    assert.notDeepEqual(view.troubles, {});
    await page.locator("#fact-state").filter({ hasText: "Degraded" }).waitFor();
    await page.locator("#troubles li").first().waitFor();
  },
  async late({ page, view }) {
    const late = view.checkpoints.history.find((one) => one.late && one.state === "COMPLETED");
    await page.locator(".timeline [data-tone=late]").first().waitFor();
    const one = page.locator(".checkpoints tbody").filter({ has: page.getByRole("button", { name: `chk-${late.id}`, exact: true }) });
    await show(page, one);
    assert.match(await one.innerText(), /late/);
    await page.locator("#fact-state").filter({ hasText: "Running" }).waitFor();
  },
  async restarted({ page, view }) {
    const [now, before] = view.starts;
    assert.equal(now.generation, before.generation + 1);
    await page.locator("#fact-state").filter({ hasText: `start ${now.generation}` }).waitFor();
    const rows = page.locator("#starts tr");
    await rows.filter({ hasText: `start ${before.generation}` }).first().waitFor();
  },
};

// A page that never shows it is a failure, not a wait without end.
test("it shows what the service was brought into", { timeout: 300_000 }, async (t) => {
  if (!STATE) return t.skip("LINEAGE_PAGE_STATE was not given");
  const { page, complaints } = await opened(t);
  await STATES[STATE]({ page, view: await asked("lineage/view") });
  assert.deepEqual(complaints, []);
});

test("the files of the newest checkpoint are the lines of its commit log", { timeout: 300_000 }, async (t) => {
  if (STATE === "degraded") return t.skip("the store that holds them does not answer");
  const { page } = await opened(t);
  let one;
  for (let tries = 0; !one && tries < 240; tries += 1) {
    const { checkpoints } = await asked("lineage/view");
    one = checkpoints.history.find(({ state, files }) => state === "COMPLETED" && files > 0);
    if (!one) await new Promise((wake) => setTimeout(wake, 500));
  }
  assert.ok(one, "a checkpoint with files");
  const name = page.getByRole("button", { name: `chk-${one.id}`, exact: true });
  await show(page, name);
  await name.click();
  const { files } = await asked(`lineage/checkpoints/${one.id}/files`);
  await page.locator(".files li").first().waitFor();
  const lines = await page.locator(".files code").allInnerTexts();
  assert.deepEqual(lines, files.slice(0, 200).map(({ s3_key, commit_timestamp }) => `${one.id},${s3_key},${commit_timestamp}`));
});

test("it looks as it should", async (t) => {
  if (!SHOTS) return t.skip("no folder for screenshots was given");
  mkdirSync(SHOTS, { recursive: true });
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { width: 360, height: 780 }],
  ]) {
    const { page } = await opened(t, options);
    // Long enough for a speed, which takes two views.
    await page.waitForFunction(() => document.querySelector("#chart-throughput .chart-value").innerText !== "–");
    await page.screenshot({ path: join(SHOTS, `${name}.png`) });
    await page.screenshot({ path: join(SHOTS, `${name}-whole.png`), fullPage: true });
  }
});
