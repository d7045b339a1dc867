// The keyboard: single keys and two-key jumps ("g o"), never while somebody writes.
import { useEffect } from "./view.js";

const WAIT_MS = 1_200;
const typing = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");

/** Do what `actions` say for keys such as "?", "Escape", "g o", while the component is shown. */
export function useKeys(actions) {
  useEffect(() => {
    let first = "";
    let until = 0;
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key !== "Escape" && typing(event.target)) return;
      const pair = Date.now() < until ? `${first} ${event.key}` : "";
      const action = actions[pair] ?? actions[event.key];
      [first, until] = [event.key, Date.now() + WAIT_MS];
      if (!action) return;
      if (action(event) !== false) event.preventDefault();
      until = 0;
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}
