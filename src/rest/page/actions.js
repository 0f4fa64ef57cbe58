// What a person can ask of the job, each with a confirmation that says what will happen.

import { copyButton, h, set, show, text } from "./dom.js";
import { get, post } from "./stream.js";

const RUNS = ["RUNNING"];
const ENDED = ["FINISHED", "CANCELED"];

const ACTIONS = {
  savepoint: {
    in: RUNS,
    title: "Take a savepoint?",
    text: () => "A checkpoint is taken now. Its slot is kept from pruning and copied to the target. The job goes on.",
    yes: "Take the savepoint",
  },
  stop: {
    in: RUNS,
    title: "Stop the job?",
    text: () => "A last checkpoint is taken, and the job ends. This page stays; Resume goes on from there.",
    yes: "Stop the job",
  },
  cancel: {
    in: ["CREATED", "RUNNING", "STOPPING"],
    title: "Cancel the job?",
    text: (view) => {
      const last = view?.checkpoints.history.find((one) => one.state === "COMPLETED");
      const since = last ? `since chk-${last.id}` : "that were read";
      return `The job ends as it is, without a last checkpoint. No record is lost: Resume reads those ${since} again.`;
    },
    yes: "Cancel the job",
  },
  resume: {
    in: ENDED,
    title: "Resume the job?",
    text: () => "The job starts again, from its newest checkpoint.",
    yes: "Resume the job",
  },
};

export function actions() {
  const group = document.getElementById("actions");
  const buttons = [...group.querySelectorAll("button")];
  const outcome = document.getElementById("outcome");
  let view = null;
  let busy = false;
  let asked = false;

  /** Without buttons where nothing may be changed, as a JobManager says it to its own page. */
  async function hideWhatIsRefused() {
    if (asked) return;
    asked = true;
    try {
      const { features } = await get("config");
      show(group, features["web-cancel"]);
    } catch {
      // The next view asks again.
      asked = false;
    }
  }

  function update() {
    if (!view) return;
    const live = document.body.dataset.connection === "live";
    const ended = ENDED.includes(view.state);
    for (const button of buttons) {
      const { action } = button.dataset;
      show(button, action === "resume" ? ended : !ended);
      set(button, { disabled: busy || !live || !ACTIONS[action].in.includes(view.state) });
    }
  }

  async function act(action) {
    const target = await confirmed(action, view);
    if (target === null) return;
    busy = true;
    update();
    try {
      const body = action === "savepoint" && target ? { target } : undefined;
      const { trigger } = await post(`lineage/${action}`, body);
      tell("", `Asked for: ${action}.`);
      // Beside it: while a savepoint waits for the store, the job can be stopped.
      if (trigger) end(trigger);
    } catch (error) {
      tell("bad", `${action} was refused: ${error.message}`);
    }
    busy = false;
    update();
  }

  async function end(trigger) {
    for (;;) {
      let operation;
      try {
        operation = await get(`lineage/operations/${trigger}`);
      } catch (error) {
        tell("bad", `What became of the savepoint is not known: ${error.message}`);
        return;
      }
      const { status, location, cause } = operation;
      if (status === "completed") {
        tell("", `The savepoint is at ${location ?? "its checkpoint"}. `, location);
        return;
      }
      if (status === "failed") {
        tell("bad", `The savepoint failed: ${cause}`);
        return;
      }
      await new Promise((wake) => setTimeout(wake, 500));
    }
  }

  function tell(tone, message, copied) {
    const close = h("button", { type: "button", class: "quiet small", "aria-label": "Close this message" }, "Close");
    close.addEventListener("click", () => show(outcome, false));
    const tools = copied ? [copyButton("the location", () => copied), close] : [close];
    outcome.className = `banner ${tone}`;
    outcome.replaceChildren(h("span", {}, message), ...tools);
    show(outcome, true);
  }

  for (const button of buttons) button.addEventListener("click", () => act(button.dataset.action));
  new MutationObserver(update).observe(document.body, { attributeFilter: ["data-connection"] });
  return (one) => {
    view = one;
    hideWhatIsRefused();
    update();
  };
}

/** The target, which may be empty; null for no. */
function confirmed(action, view) {
  const dialog = document.getElementById("confirm");
  const label = document.getElementById("confirm-target-label");
  const input = document.getElementById("confirm-target");
  const { title, text: told, yes } = ACTIONS[action];
  text(document.getElementById("confirm-title"), title);
  text(document.getElementById("confirm-text"), told(view));
  text(document.getElementById("confirm-yes"), yes);
  show(label, action === "savepoint");
  input.value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes" ? input.value.trim() : null), { once: true });
  });
}
