// What is said instead of data: nothing there yet, an error, a missing permission, still loading.
import { html } from "../core/view.js";

/** Nothing to show, and the command that would change it. */
export function Empty({ title, children, command }) {
  return html`<div class="empty">
    <p class="empty-title">${title}</p>
    ${children && html`<p>${children}</p>`}
    ${command && html`<${Command} text=${command} />`}
  </div>`;
}

/** A command for a terminal, with a button that copies it. */
export function Command({ text }) {
  return html`<p class="command"><code>${text}</code><${Copy} text=${text} what="the command" /></p>`;
}

/** Copies a text; says so. */
export function Copy({ text, what = "this" }) {
  const copy = async (event) => {
    const button = event.currentTarget;
    button.textContent = (await copied(text)) ? "Copied" : "Cannot copy";
    setTimeout(() => (button.textContent = "Copy"), 1_500);
  };
  return html`<button type="button" class="quiet small" aria-label=${`Copy ${what}`} onClick=${copy}>Copy</button>`;
}

async function copied(text) {
  if (navigator.clipboard)
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  const field = document.createElement("textarea"); // without TLS, elsewhere than on loopback
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

/** An error as it is: what it says, its code, and whether anything happened. */
export function Trouble({ problem, again }) {
  if (!problem) return null;
  if (problem.status === 403) return html`<${Forbidden} problem=${problem} />`;
  const facts = [problem.code, problem.handler_error, OUTCOMES[problem.outcome], problem.retryable && "try again"];
  return html`<div class="notice bad" role="alert">
    <p class="notice-title">${problem.message}</p>
    <p class="facts">
      ${facts.filter(Boolean).join(" · ")} ${problem.status ? html`<span class="faint">HTTP ${problem.status}</span>` : ""}
    </p>
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

const OUTCOMES = {
  NOT_DELIVERED: "nothing was delivered",
  MAY_HAVE_RUN: "it may have run",
  RAN: "it ran",
};

function Forbidden({ problem }) {
  return html`<div class="notice" role="alert">
    <p class="notice-title">You are not allowed to see or do this</p>
    <p>${problem.message}. Whoever runs the gateway can grant it: <code>tieline token</code>.</p>
  </div>`;
}

/** What a loader found: an error, or a place that keeps its room while data is on its way; else the children. */
export function Loaded({ from, children }) {
  if (from.data !== null) {
    const told = from.problem?.status; // that the gateway is away is said for the whole page
    return html`${told && html`<${Trouble} problem=${from.problem} again=${from.reload} />`}${children(from.data)}`;
  }
  if (from.problem) return html`<${Trouble} problem=${from.problem} again=${from.reload} />`;
  return html`<div class="waiting" aria-busy="true"><span class="hidden">Loading</span></div>`;
}
