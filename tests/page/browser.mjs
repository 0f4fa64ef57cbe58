// Chromium, and a page in it that notes all that it should not do.

import { chromium } from "playwright-core";

// It looks for nothing on its own.
const QUIET = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu"];

export function launch() {
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new Error("CHROMIUM does not name a browser: run scripts/page.sh");
  const asRoot = process.getuid() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, args: [...QUIET, ...asRoot] });
}

/** `complaints` are errors and warnings of its console, `elsewhere` requests to other hosts. */
export async function open(browser, url, { width = 1280, height = 860, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const complaints = [];
  const elsewhere = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) elsewhere.push(request.url());
  });
  await page.goto(url);
  return { context, page, complaints, elsewhere };
}
