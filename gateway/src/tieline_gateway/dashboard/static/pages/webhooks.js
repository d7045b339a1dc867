// What do others send us, and what do we send them? Did it arrive?
import { ask } from "../core/api.js";
import { count } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment } from "../core/router.js";
import { html } from "../core/view.js";
import { Badge, Topic } from "../parts/badge.js";
import { Done, useDoing } from "../parts/doing.js";
import { Head } from "../parts/head.js";
import { Command, Empty, Loaded } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { FromNow } from "../parts/time.js";

export function Webhooks() {
  const found = useLoad("/v1/webhooks", {}, { every: 3 });
  const [state, run] = useDoing();
  const resume = (name) =>
    run(
      async () => {
        await ask("POST", `/v1/webhooks/deliveries/${segment(name)}/resume`);
        found.reload();
      },
      () => `${name} goes on at this gateway.`,
    );
  return html`<${Head} title="Webhooks" about="Signed deliveries from others, published as events; and events that are delivered to others. Counted by this gateway since its start." />
    <${Done} state=${state} />
    <${Loaded} from=${found}>${(told) => html`<${Told} told=${told} resume=${resume} />`}<//>`;
}

function Told({ told: { sources, deliveries }, resume }) {
  return html`<h2>From others</h2>
    ${
      sources.length
        ? html`<${Sources} rows=${sources} /><p class="below"><${Command} text=${trial(sources[0])} /></p>`
        : html`<${Empty} title="No source is set up" command="tieline up --webhook github=secret.txt">Or in the settings file, in a section <code>[webhooks.github]</code>.<//>`
    }
    <h2 class="below">To others</h2>
    ${
      deliveries.length
        ? html`<${Deliveries} rows=${deliveries} resume=${resume} />`
        : html`<${Empty} title="Nothing is delivered to others">What is sent to an address is said in the settings file, in a section <code>[deliveries.NAME]</code>.<//>`
    }`;
}

/** A command that sends a test delivery. */
function trial({ kind, path, events }) {
  const event = events.find((each) => !/[*>]/.test(each)) ?? (kind === "github" ? "push" : "invoice.paid");
  return `tieline webhook send ${kind} ${event} --secret-file FILE --url ${location.origin}${path}`;
}

const refusals = ({ refused }) => Object.values(refused).reduce((all, each) => all + each, 0);
const told = ({ refused }) =>
  Object.entries(refused)
    .map(([reason, times]) => `${reason}: ${times}`)
    .join("\n");

const SOURCES = [
  { head: "Source", cell: ({ name, path }) => html`<strong>${name}</strong> <span class="id faint">${path}</span>` },
  { head: "Kind", cell: ({ kind }) => html`<${Badge}>${kind}<//>` },
  {
    head: "Published as",
    wide: true,
    cell: ({ topics }) => html`<a href=${address("/tap", { topic: topics })}><${Topic} name=${topics} /></a>`,
  },
  { head: "Accepted", number: true, cell: ({ accepted }) => count(accepted) },
  { head: "Duplicates", number: true, cell: ({ duplicate }) => count(duplicate) },
  { head: "Ignored", number: true, cell: ({ ignored }) => count(ignored) },
  {
    head: "Refused",
    number: true,
    cell: (row) =>
      html`<span title=${told(row)}>${refusals(row) ? html`<${Badge} kind="bad">${count(refusals(row))}<//>` : "0"}</span>`,
  },
  { head: "Last", cell: ({ last }) => html`<${FromNow} at=${last} />` },
];

const Sources = ({ rows }) =>
  html`<${Table} label="Sources" columns=${SOURCES} rows=${rows} name=${({ name }) => name}
    below=${({ last_error: why, last_refused: at }) => why && html`<span class="faint">Refused last, <${FromNow} at=${at} />:</span> ${why}`} />`;

const DELIVERIES = [
  { head: "Delivery", cell: ({ name }) => html`<strong>${name}</strong>` },
  {
    head: "Events of",
    cell: ({ topic }) => html`<a href=${address(`/groups/${segment(topic)}`)}><${Topic} name=${topic} /></a>`,
  },
  { head: "To", wide: true, cell: ({ url }) => html`<span class="id">${url}</span>` },
  { head: "State", cell: ({ state }) => html`<${Badge} kind=${state === "running" ? "good" : "bad"}>${state}<//>` },
  {
    head: "Waiting",
    number: true,
    cell: ({ topic, waiting }) => html`<a href=${address(`/groups/${segment(topic)}`)}>${count(waiting)}</a>`,
  },
  { head: "Delivered", number: true, cell: ({ delivered }) => count(delivered) },
  { head: "Failed tries", number: true, cell: ({ failed }) => count(failed) },
  {
    head: "Last",
    cell: ({ last, last_status: status }) =>
      html`<${FromNow} at=${last} /> ${status ? html`<span class="faint">HTTP ${status}</span>` : ""}`,
  },
];

/** A delivery that stopped goes on when somebody says so. */
const resuming = (resume) => ({
  head: "",
  cell: ({ name, state }) =>
    state === "stopped" &&
    html`<button type="button" onClick=${() => resume(name)} aria-label=${`Resume ${name}`}>Resume</button>`,
});

const Deliveries = ({ rows, resume }) =>
  html`<${Table} label="Deliveries" columns=${[...DELIVERIES, resuming(resume)]} rows=${rows} name=${({ name }) => name}
    below=${({ last_error: why }) => why && html`<span class="faint">Failed last:</span> ${why}`} />`;
