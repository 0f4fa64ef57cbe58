// The settings as a person set them, and what the job is.

import { cells, follow, row, table, text } from "./dom.js";

const COLUMNS = [
  ["Setting", ""],
  ["Value", "wide"],
];

export function settings() {
  const root = document.getElementById("settings");
  const identity = document.getElementById("identity");
  const { node, body } = table("Settings", COLUMNS);
  node.classList.add("settings", "stacks");
  root.append(node);
  return (view) => {
    follow(
      body,
      Object.entries(view.settings),
      ([name]) => name,
      () => row(COLUMNS, "th"),
      (tr, setting) => cells(tr, setting),
    );
    const cluster = view.identity ? `, Kafka cluster ${view.identity.cluster}` : "";
    text(identity, view.job ? `Job ${view.job}${cluster}` : "");
  };
}
