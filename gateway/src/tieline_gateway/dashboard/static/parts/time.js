// Moments: short to read, exact in the title.
import { exact, fromNow, moment, momentMs } from "../core/format.js";
import { html } from "../core/view.js";

const iso = (at) => (at ? new Date(at).toISOString() : "");

/** A moment in the zone of whoever looks; `fine` shows milliseconds. */
export const Moment = ({ at, fine }) =>
  html`<time datetime=${iso(at)} title=${exact(at)}>${fine ? momentMs(at) : moment(at)}</time>`;

/** How far a moment is from now. */
export const FromNow = ({ at }) => html`<time datetime=${iso(at)} title=${exact(at)}>${fromNow(at)}</time>`;
