// The page: one view a second goes to every part of it.

import { actions } from "./actions.js";
import { charts } from "./charts.js";
import { checkpoints } from "./checkpoints.js";
import { h, set, show, text } from "./dom.js";
import { dropped } from "./dropped.js";
import { clock, iso, span } from "./format.js";
import { headline } from "./headline.js";
import { partitions } from "./partitions.js";
import { settings } from "./settings.js";
import { starts } from "./starts.js";
import { follow } from "./stream.js";
import { subtasks } from "./subtasks.js";
import { themeButton } from "./themes.js";

const parts = [headline(), charts(), subtasks(), partitions(), checkpoints(), dropped(), starts(), settings(), actions()];

const connection = document.getElementById("connection");
const banner = document.getElementById("lost");
// What is said once, and apart from it what changes each second: that is not read out.
const [said, since] = [h("span"), h("span", { class: "since", "aria-hidden": "true" })];
banner.append(said, since);
let seenAt = null;
let lostSince = null;

function connected(state) {
  if (document.body.dataset.connection !== state) document.body.dataset.connection = state;
}

function view(one) {
  seenAt = Date.now();
  lostSince = null;
  connected("live");
  text(connection, "Live", `newest view ${iso(one.now)}`);
  show(banner, false);
  const state = one.state.charAt(0) + one.state.slice(1).toLowerCase();
  document.title = `${state}: ${one.topic} – lineage`;
  for (const part of parts) part(one);
}

function lost(why) {
  lostSince ??= seenAt ?? Date.now();
  connected("lost");
  text(connection, `No connection since ${clock(lostSince)}`, iso(lostSince));
  const stale = seenAt === null ? "Nothing was seen yet." : "What is below is as it was then.";
  text(said, `No connection since ${clock(lostSince)}: ${why}. ${stale} Trying again.`);
  tell();
  show(banner, true);
}

function tell() {
  if (lostSince !== null) text(since, `for ${span(Date.now() - lostSince)}`);
}

function wantsToken() {
  const dialog = document.getElementById("ask-token");
  const input = document.getElementById("token");
  connected("lost");
  text(connection, "A token is needed");
  input.value = "";
  return new Promise((given) => {
    const closed = () => {
      if (!input.value) {
        dialog.showModal();
        return;
      }
      dialog.removeEventListener("close", closed);
      given(input.value);
    };
    dialog.addEventListener("close", closed);
    dialog.showModal();
  });
}

themeButton();
set(document.body, { "data-connection": "connecting" });
setInterval(tell, 1000);
follow({ view, lost, wantsToken });
