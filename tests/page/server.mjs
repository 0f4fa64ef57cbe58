// Serves the page's own files with made-up views, under the same policy as the service.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { files, history } from "./views.mjs";

const SRC = fileURLToPath(new URL("../../src/rest/", import.meta.url));
const TYPES = { html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8", svg: "image/svg+xml" };
const POLICY = /POLICY: &str = "([^"]+)"/.exec(readFileSync(`${SRC}page.rs`, "utf8"))[1];

/** `made` makes the view of a moment. */
export async function serve(made, { token = null, readOnly = false } = {}) {
  const state = { made, readOnly, posts: [], operations: 0 };
  const streams = new Set();
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const json = (status, body) => {
      response.writeHead(status, { "Content-Type": "application/json" });
      response.end(JSON.stringify(body));
    };
    response.setHeader("Content-Security-Policy", POLICY);
    if (pathname.startsWith("/lineage/") && token && request.headers.authorization !== `Bearer ${token}`) {
      return json(401, { errors: ["this control plane has a REST_TOKEN"] });
    }
    if (request.method === "POST") {
      let body = "";
      for await (const chunk of request) body += chunk;
      state.posts.push({ path: pathname, body });
      if (state.refusal) return json(409, { errors: [state.refusal] });
      return json(202, pathname.endsWith("savepoint") ? { accepted: "savepoint", trigger: "0".repeat(32) } : { accepted: pathname.split("/").at(-1) });
    }
    if (pathname === "/lineage/events") {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      const send = () => state.silent || response.write(`event: view\ndata: ${JSON.stringify(state.made(Date.now()))}\n\n`);
      send();
      const every = setInterval(send, 200);
      streams.add(response);
      response.on("close", () => {
        clearInterval(every);
        streams.delete(response);
      });
      return undefined;
    }
    if (pathname === "/config") return json(200, { features: { "web-cancel": !state.readOnly } });
    if (pathname === "/lineage/view") return json(200, state.made(Date.now()));
    if (pathname === "/lineage/history") return json(200, state.history ?? history());
    const id = /^\/lineage\/checkpoints\/(\d+)\/files$/.exec(pathname);
    if (id) return json(200, { checkpoint: Number(id[1]), files: files(Number(id[1])) });
    if (pathname.startsWith("/lineage/operations/")) {
      state.operations += 1;
      return json(200, state.operations < 2 ? { status: "in progress" } : { status: "completed", location: "s3://flink-data/savepoints/savepoint-0f3c-205" });
    }
    try {
      const file = pathname === "/" ? "page/index.html" : pathname.slice(1);
      const body = readFileSync(`${SRC}${file}`);
      response.writeHead(200, { "Content-Type": TYPES[file.split(".").at(-1)] });
      return response.end(body);
    } catch {
      return json(404, { errors: ["Not found."] });
    }
  });
  const listening = (port) => new Promise((done) => server.listen(port, "127.0.0.1", done));
  await listening(0);
  const { port } = server.address();
  const stop = () => {
    for (const stream of streams) stream.destroy();
    return new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    });
  };
  return { url: `http://127.0.0.1:${port}/`, state, stop, start: () => listening(port) };
}
