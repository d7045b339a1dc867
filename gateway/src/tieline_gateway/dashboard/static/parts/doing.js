// Something that is done when a button is pressed: busy meanwhile, and its error or its end told where it happened.
import { html, useState } from "../core/view.js";
import { Trouble } from "./notice.js";

/** `[state, run]`: `run(action, said)` does it; `said(result)` is what is told when it is done. */
export function useDoing() {
  const [state, setState] = useState({ busy: false, problem: null, done: "" });
  const run = async (action, said = () => "") => {
    setState({ busy: true, problem: null, done: "" });
    try {
      const result = await action();
      setState({ busy: false, problem: null, done: said(result) });
      return result;
    } catch (problem) {
      setState({ busy: false, problem, done: "" });
      return undefined;
    }
  };
  return [state, run];
}

/** What became of it, said aloud too. */
export const Done = ({ state }) =>
  html`<div aria-live="polite">
    <${Trouble} problem=${state.problem} />
    ${state.done && html`<p class="notice good">${state.done}</p>`}
  </div>`;
