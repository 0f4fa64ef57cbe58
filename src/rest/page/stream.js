// What the page asks of the service: its views once a second, and single requests. All addresses are
// relative, so that a proxy may serve the page below a prefix.

const SILENCE = 6_000;
const PAUSES = [500, 1_000, 2_000, 4_000, 8_000];

let token = null;
try {
  token = sessionStorage.getItem("token");
} catch {
  // Storage may be forbidden; then the token is asked for at each load.
}

function headers() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function asked(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers }, cache: "no-store" });
  if (response.ok) return response;
  let why = response.statusText;
  try {
    const body = await response.json();
    why = body.errors?.join("; ") ?? body.error ?? why;
  } catch {
    // Not every refusal is JSON, such as that of a proxy.
  }
  throw new Refused(response.status, why || `status ${response.status}`);
}

export async function get(path) {
  return (await asked(path)).json();
}

export async function post(path, body) {
  const options = { method: "POST" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  return (await asked(path, options)).json();
}

/**
 * Calls `view` with each view, and `lost` when there are none any more; tries again for ever.
 * Not by EventSource, which can send no token and tells no reason.
 */
export async function follow({ view, lost, wantsToken }) {
  let failures = 0;
  for (;;) {
    let why = "the connection was closed";
    try {
      await events((one) => {
        failures = 0;
        view(one);
      });
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        token = await wantsToken();
        try {
          sessionStorage.setItem("token", token);
        } catch {
          // Then only for this load.
        }
        continue;
      }
      why = error instanceof Refused ? error.message : "the service does not answer";
    }
    lost(why);
    await new Promise((wake) => setTimeout(wake, PAUSES[Math.min(failures, PAUSES.length - 1)]));
    failures += 1;
  }
}

async function events(take) {
  const stop = new AbortController();
  let silence = setTimeout(() => stop.abort(), SILENCE);
  try {
    const response = await asked("lineage/events", {
      signal: stop.signal,
      headers: { Accept: "text/event-stream" },
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n").filter((line) => line.startsWith("data:"));
        if (lines.length === 0) continue;
        clearTimeout(silence);
        silence = setTimeout(() => stop.abort(), SILENCE);
        take(JSON.parse(lines.map((line) => line.slice(5).trimStart()).join("\n")));
      }
    }
  } finally {
    clearTimeout(silence);
    stop.abort();
  }
}
