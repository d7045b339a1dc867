// Payloads and schemas: JSON, indented and faintly coloured. All of it is text.
import { html } from "../core/view.js";
import { Copy } from "./notice.js";

const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;
const MOST = 100_000;

/** JSON as text; what is none is shown as it is. */
export const written = (value) => (value === undefined ? "" : (JSON.stringify(value, null, 2) ?? String(value)));

/** One line of it. */
export function line(value, length = 120) {
  const text = value === undefined ? "" : (JSON.stringify(value) ?? String(value));
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

/** A value, to be looked at. */
export function Json({ value, label = "payload" }) {
  const text = written(value);
  const shown = text.slice(0, MOST);
  return html`<div class="json">
    <${Copy} text=${text} what=${`the ${label}`} />
    <pre tabindex="0" aria-label=${label}><code>${coloured(shown)}</code></pre>
    ${text.length > MOST && html`<p class="faint">${text.length - MOST} more characters; Copy takes all of it.</p>`}
  </div>`;
}

function coloured(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(TOKENS)) {
    const [all, string, colon, word] = found;
    parts.push(text.slice(done, found.index));
    parts.push(
      html`<span class=${string ? (colon ? "json-name" : "json-text") : word ? "json-word" : "json-number"}>${string ?? all}</span>`,
    );
    if (colon) parts.push(colon);
    done = found.index + all.length;
  }
  parts.push(text.slice(done));
  return parts;
}
