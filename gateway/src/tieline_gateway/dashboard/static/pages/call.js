// Where did it go? The steps of one call or event: who did what, when.
import { count, counted, ms } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { segment } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic } from "../parts/badge.js";
import { Facts } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { line } from "../parts/json.js";
import { Copy, Empty, Loaded } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { Moment } from "../parts/time.js";
import { KINDS, Timeline } from "../parts/timeline.js";

export function Call({ id }) {
  const found = useLoad(`/v1/explain/${segment(id)}`);
  return html`<${Head} title="Where it went">
      <button type="button" onClick=${found.reload}>Ask again</button>
    <//>
    <p class="call-id"><span class="id">${id}</span> <${Copy} text=${id} what="the id" /></p>
    <${Loaded} from=${found}>${(told) => html`<${Told} told=${told} />`}<//>`;
}

function Told({ told }) {
  const [marked, mark] = useState(-1);
  const { steps, missing } = told;
  const silent =
    missing.length > 0 &&
    html`<p class="notice warn">No answer from ${missing.map(({ service, instance }) => `${service}/${instance}`).join(", ")}: their part may be missing.</p>`;
  if (!steps.length)
    return html`${silent}<${Empty} title="Nobody remembers anything of it">
      Processes remember their last calls and events, and forget them when they end; only what failed is stored. It may be
      too long ago, the processes may be gone, or it is another id: what is looked for is the correlation id.
    <//>`;
  return html`${silent}
    <section class="card" aria-label="In short"><${Short} steps=${steps} /></section>
    <section class="card" aria-label="Timeline"><h2>Timeline</h2><${Timeline} steps=${steps} marked=${marked} mark=${mark} /></section>
    <section class="card" aria-label="Steps"><h2>Steps</h2><${Steps} steps=${steps} marked=${marked} mark=${mark} /></section>`;
}

function Short({ steps }) {
  const [first, last] = [steps[0], steps.at(-1)];
  const bad = steps.filter(({ name }) => KINDS[name] === "bad");
  const end = bad.length
    ? html`<${Badge} kind="bad">${bad[0].name.replaceAll("_", " ")}<//>`
    : html`<${Badge} kind="good">no failure<//>`;
  return html`<${Facts}
    facts=${[
      ["Topic", html`<${Topic} name=${first.topic} />`],
      ["Began", html`<${Moment} at=${first.time} fine />`],
      ["From the first step to the last", ms(last.time - first.time)],
      ["Steps", `${count(steps.length)} in ${counted(new Set(steps.map(source)).size, "instance")}`],
      ["Outcome", end],
    ]}
  />`;
}

const source = ({ service, instance }) => `${service}/${instance}`;

function Steps({ steps, marked, mark }) {
  const numbered = steps.map((step, at) => ({ ...step, at }));
  const columns = [
    {
      head: "After",
      number: true,
      cell: (step) =>
        html`<button type="button" class="quiet small" aria-pressed=${marked === step.at} onClick=${() => mark(marked === step.at ? -1 : step.at)} title="Show on the timeline">+${ms(step.time - steps[0].time)}</button>`,
    },
    { head: "Step", cell: ({ name }) => html`<${Badge} kind=${KINDS[name] ?? ""}>${name.replaceAll("_", " ")}<//>` },
    { head: "Who", cell: (step) => html`<span class="id">${source(step)}</span>` },
    { head: "Topic", cell: ({ topic }) => html`<${Topic} name=${topic} />` },
    { head: "Details", wide: true, cell: ({ detail }) => html`<${Detail} detail=${detail} />` },
  ];
  return html`<${Table} label="Steps" columns=${columns} rows=${numbered} name=${({ at }) => `${at}`} marked=${({ at }) => at === marked} />`;
}

const Detail = ({ detail }) =>
  html`<span class="details">${Object.entries(detail ?? {}).map(([name, value]) => html`<span><span class="faint">${name}</span> ${typeof value === "string" ? value : line(value)}</span> `)}</span>`;
