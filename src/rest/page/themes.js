// The button that changes between the system's theme, light and dark.

import { text } from "./dom.js";

const NEXT = { system: "light", light: "dark", dark: "system" };

export function themeButton() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const shown = () => root.dataset.theme ?? "system";
  const label = () => text(button, `Theme: ${shown()}`);
  button.addEventListener("click", () => {
    const next = NEXT[shown()];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // Then only until the page is loaded again.
    }
    label();
  });
  label();
}
