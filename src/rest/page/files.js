// The lines of one checkpoint in the commit log, as they stand in its CSV files.

import { copyButton, h, show, text } from "./dom.js";
import { bytes, exact, plural } from "./format.js";
import { get } from "./stream.js";

/** A page of a thousand lines helps nobody. */
const MOST = 200;

export function files(checkpoint) {
  const state = h("p", { class: "aside", role: "status" });
  const list = h("ul", { class: "files" });
  const node = h("div", {}, state, list);
  async function load() {
    text(state, "Reading the commit log …");
    try {
      const { files: lines } = await get(`lineage/checkpoints/${checkpoint}/files`);
      list.replaceChildren(...lines.slice(0, MOST).map((line) => item(checkpoint, line)));
      text(state, told(lines.length));
      show(list, lines.length > 0);
    } catch (error) {
      text(state, `The commit log cannot be read: ${error.message}`);
    }
  }
  load();
  return { node, load };
}

function told(n) {
  if (n === 0) return "The commit log has no lines of it: no file was closed.";
  const more = n > MOST ? `, of which ${MOST} are shown` : "";
  return `${plural(n, "line")} of the commit log${more}`;
}

function item(checkpoint, line) {
  const csv = `chk-${checkpoint}/${line.dropped ? "dropped" : "subtask"}-${line.subtask}.csv`;
  const facts = [csv];
  if (line.rows !== null) facts.push(plural(line.rows, "row"));
  if (line.bytes !== null) facts.push(bytes(line.bytes));
  const title = `${exact(line.rows)} rows, ${exact(line.bytes)} bytes`;
  return h(
    "li",
    {},
    h("div", {}, h("code", {}, `${checkpoint},${line.s3_key},${line.commit_timestamp}`), h("span", { class: "aside", title }, facts.join(" · "))),
    copyButton(`the key of file ${line.s3_key.split("/").at(-1)}`, () => line.s3_key),
  );
}
