// Tables that stay readable on a narrow window, where each row becomes a small card with the names of its cells.
import { html } from "../core/view.js";

/**
 * `columns`: `{head, cell(row), number, wide}`; `name(row)` is what a row is known by.
 * `chosen` (a Set of names) and `choose(names)` add boxes; `open(row)` returns what is shown below an unfolded row.
 */
export function Table({ label, columns, rows, name, chosen, choose, below, marked }) {
  const all = rows.length > 0 && rows.every((row) => chosen?.has(name(row)));
  const turn = (names, on) => {
    const next = new Set(chosen);
    for (const each of names) on ? next.add(each) : next.delete(each);
    choose(next);
  };
  const box = (text, checked, names) => html`<input
    type="checkbox"
    aria-label=${text}
    checked=${checked}
    onChange=${(event) => turn(names, event.target.checked)}
  />`;
  return html`<div class="table-room">
    <table aria-label=${label}>
      <thead>
        <tr>
          ${choose && html`<th class="box" scope="col">${box("Select all", all, rows.map(name))}</th>`}
          ${columns.map(({ head, number }) => html`<th scope="col" class=${number ? "number" : ""}>${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) => {
          const key = name(row);
          const more = below?.(row);
          return html`<tr key=${key} class=${marked?.(row) ? "marked" : ""}>
              ${choose && html`<td class="box">${box(`Select ${key}`, chosen.has(key), [key])}</td>`}
              ${columns.map((column) => cell(column, row))}
            </tr>
            ${
              more &&
              html`<tr key=${`${key} more`} class="more">
                <td colspan=${columns.length + (choose ? 1 : 0)}>${more}</td>
              </tr>`
            }`;
        })}
      </tbody>
    </table>
  </div>`;
}

function cell({ head, cell: content, number, wide }, row) {
  const kind = [number && "number", wide && "wide"].filter(Boolean).join(" ");
  return html`<td class=${kind} data-head=${head}><div>${content(row)}</div></td>`;
}

/** Goes to the next page of a list, and back to the first one. */
export function Pages({ cursor, next, change }) {
  if (!cursor && !next) return null;
  return html`<nav class="pages" aria-label="Pages">
    <button type="button" disabled=${!cursor} onClick=${() => change({ cursor: "" })}>First page</button>
    <button type="button" disabled=${!next} onClick=${() => change({ cursor: next })}>Next page</button>
  </nav>`;
}
