// The head of a page: its name, what it answers, and what can be done there.
import { html } from "../core/view.js";

export const Head = ({ title, about, children }) =>
  html`<div class="head">
    <div><h1>${title}</h1>${about && html`<p>${about}</p>`}</div>
    ${children && html`<div class="actions">${children}</div>`}
  </div>`;
