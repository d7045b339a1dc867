// A question in the middle of the page; Esc and the backdrop say no.
import { html, useEffect, useRef, useState } from "../core/view.js";
import { Trouble } from "./notice.js";

/** A dialog; `close` is called when it is left. */
export function Dialog({ title, close, children }) {
  const room = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    room.current.showModal();
    return () => before?.focus?.();
  }, []);
  const outside = (event) => event.target === room.current && close();
  return html`<dialog ref=${room} aria-label=${title} onClose=${close} onClick=${outside}>
    <div class="dialog">
      <h2>${title}</h2>
      ${children}
    </div>
  </dialog>`;
}

/** Asks before something that cannot be taken back; `act` does it, and what it throws is shown. */
export function Confirm({ title, action, danger, act, close, children }) {
  const [state, setState] = useState({ busy: false, problem: null });
  const send = async (event) => {
    event.preventDefault();
    setState({ busy: true, problem: null });
    try {
      await act();
      close();
    } catch (problem) {
      setState({ busy: false, problem });
    }
  };
  return html`<${Dialog} title=${title} close=${close}>
    <form onSubmit=${send}>
      ${children}
      <${Trouble} problem=${state.problem} />
      <div class="actions end">
        <button type="button" onClick=${close}>Cancel</button>
        <button type="submit" class=${danger ? "danger" : "primary"} disabled=${state.busy}>${action}</button>
      </div>
    </form>
  <//>`;
}
