// Fields with their labels.
import { html, useEffect, useState } from "../core/view.js";

/** A field; `children` is its control. */
export const Field = ({ label, hint, children, grow }) =>
  html`<label class=${`field ${grow ? "grow" : ""}`}>
    <span class="field-label">${label}</span>
    ${children} ${hint && html`<span class="faint">${hint}</span>`}
  </label>`;

/** Text that is told with a little pause after the last key, and at once with Enter. */
export function Typed({ value, change, pause = 350, ...rest }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return undefined;
    const timer = setTimeout(() => change(text), pause);
    return () => clearTimeout(timer);
  }, [text]);
  const enter = (event) => event.key === "Enter" && change(text);
  return html`<input value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${enter} spellcheck="false" autocomplete="off" ...${rest} />`;
}

/** One of a few: `options` are values, or `[value, text]`. */
export const Choice = ({ value, change, options, ...rest }) =>
  html`<select value=${value} onChange=${(event) => change(event.target.value)} ...${rest}>
    ${options.map((each) => {
      const [told, text] = [each].flat().length > 1 ? each : [each, each];
      return html`<option value=${told} selected=${told === value}>${text}</option>`;
    })}
  </select>`;

/** Names and values in two columns: `[name, value]`; empty ones are left out. */
export const Facts = ({ facts }) =>
  html`<dl class="fact-list">
    ${facts
      .filter(([, value]) => value !== "" && value !== null && value !== undefined)
      .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
