// Small words with a colour: states, and names of things that can be followed.
import { brief } from "../core/format.js";
import { address, segment } from "../core/router.js";
import { html } from "../core/view.js";

/** A state; `kind` is good, warn, bad, or nothing. The colour only repeats what the word says. */
export const Badge = ({ kind = "", children }) => html`<span class=${`badge ${kind}`}>${children}</span>`;

/** A link to where an event or call went. */
export const Trail = ({ id, whole }) =>
  id
    ? html`<a class="id" title=${id} href=${address(`/calls/${segment(id)}`)}>${whole ? id : brief(id)}</a>`
    : html`<span class="faint">–</span>`;

/** A topic, which may be broken after its dots. */
export const Topic = ({ name }) =>
  html`<span class=${`topic ${name?.length > 30 ? "" : "short"}`}>${String(name ?? "")
    .split(/(?<=\.)/)
    .map((part, at) => (at ? [html`<wbr />`, part] : part))}</span>`;
