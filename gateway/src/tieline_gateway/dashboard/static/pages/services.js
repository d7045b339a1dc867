// Who is there, and what are they subscribed to? And do they agree about it?
import { count, counted } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment, useQuery } from "../core/router.js";
import { html } from "../core/view.js";
import { Badge, Topic } from "../parts/badge.js";
import { Field, Typed } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Json } from "../parts/json.js";
import { Empty, Loaded } from "../parts/notice.js";
import { shape } from "../parts/shape.js";
import { Table } from "../parts/table.js";

const MOST_WHOLE = 12;

export function Services({ service }) {
  const [query, change] = useQuery();
  const found = useLoad("/v1/services", {}, { every: 5 });
  return html`<${Head} title=${service || "Services"} about=${service ? "" : "Who is there, and what each of them is subscribed to."}>
      ${service && html`<a class="button" href=${address("/services")}>All services</a>`}
    <//>
    <div class="filters">
      <${Field} label="Find" grow><${Typed} type="search" data-search value=${query("q")} change=${(q) => change({ q })} placeholder="service or topic" /><//>
    </div>
    <${Loaded} from=${found}>
      ${(data) => html`<${Differences} differences=${data.differences} />
        <${All} services=${fitting(data.services, service, query("q"))} narrowed=${service || query("q")} open=${query("open")} change=${change} />`}
    <//>`;
}

function fitting(services, only, text) {
  const here = services.filter(({ name }) => !only || name === only);
  if (!text) return here;
  return here
    .map((each) => ({
      ...each,
      subscriptions: each.name.includes(text)
        ? each.subscriptions
        : each.subscriptions.filter(({ topic }) => topic.includes(text)),
    }))
    .filter(({ name, subscriptions }) => name.includes(text) || subscriptions.length);
}

function All({ services, narrowed, open, change }) {
  if (!services.length && narrowed) return html`<${Empty} title="No service fits" />`;
  if (!services.length)
    return html`<${Empty} title="Nobody is there yet" command="python -m tieline run module:app">
      A service shows up here as soon as it starts and reaches the same broker.
    <//>`;
  if (services.length > MOST_WHOLE) return html`<${Brief} services=${services} />`;
  return services.map((each) => html`<${One} key=${each.name} service=${each} open=${open} change=${change} />`);
}

const BRIEF = [
  {
    head: "Service",
    wide: true,
    cell: ({ name }) => html`<a href=${address(`/services/${segment(name)}`)}>${name}</a>`,
  },
  { head: "Instances", number: true, cell: ({ instances }) => count(instances.length) },
  {
    head: "Did not answer",
    number: true,
    cell: ({ instances }) => {
      const silent = instances.filter(({ client }) => !client).length;
      return silent ? html`<${Badge} kind="warn">${count(silent)}<//>` : "0";
    },
  },
  { head: "Subscriptions", number: true, cell: ({ subscriptions }) => count(subscriptions.length) },
  { head: "Clients", cell: ({ instances }) => clients(instances) },
];
const clients = (instances) =>
  [...new Set(instances.map(({ client }) => client).filter(Boolean))].sort().join(", ") || "–";

/** A line for each, where all that there is to say of them would be too much. */
const Brief = ({
  services,
}) => html`<${Table} label="Services" columns=${BRIEF} rows=${services} name=${({ name }) => name} />
  <p class="faint below">${counted(services.length, "service")}. Narrow them down to see their subscriptions here.</p>`;

function One({ service, open, change }) {
  const key = (one) => `${service.name} ${one.topic} ${one.name} ${one.group} ${one.kind}`;
  const turn = (row) => change({ open: open === key(row) ? "" : key(row) });
  const columns = [
    { head: "Topic", cell: (row) => html`<${Topic} name=${row.topic} />` },
    { head: "Kind", cell: (row) => html`<${Badge}>${row.streams ? "stream" : row.kind}<//>` },
    { head: "Group", cell: (row) => row.group || "–" },
    { head: "Version", cell: (row) => row.schema_version || "–" },
    { head: "Payload → reply", wide: true, cell: (row) => html`<code>${shapes(row) || "–"}</code>` },
    {
      head: "",
      cell: (row) => html`<${RowActions} row=${row} unfolded=${open === key(row)} turn=${() => turn(row)} />`,
    },
  ];
  return html`<section class="card" aria-label=${service.name}>
    <h2><a href=${address(`/services/${segment(service.name)}`)}>${service.name}</a></h2>
    <ul class="instances" aria-label="Instances">
      ${service.instances.map(({ instance, client }) => html`<li><span class="id">${instance}</span> ${client ? html`<span class="faint">${client}</span>` : html`<${Badge} kind="warn">did not answer<//>`}</li>`)}
    </ul>
    ${
      service.subscriptions.length > 0 &&
      html`<${Table} label=${`Subscriptions of ${service.name}`} columns=${columns} rows=${service.subscriptions} name=${key}
        marked=${(row) => open === key(row)} below=${(row) => open === key(row) && html`<${Schemas} row=${row} />`} />`
    }
  </section>`;
}

function RowActions({ row, unfolded, turn }) {
  const concrete = !/[*>]/.test(row.topic);
  return html`<div class="actions">
    ${concrete && html`<a class="button small" href=${address("/console", { topic: row.topic, mode: row.output ? "call" : "publish" })}>Try</a>`}
    <button type="button" class="small" aria-expanded=${unfolded} onClick=${turn}>Schema</button>
  </div>`;
}

const Schemas = ({ row }) => html`<div class="pair tight">
  <div><h3>Payload</h3>${row.input ? html`<${Json} value=${row.input} label="schema of the payload" />` : html`<p class="faint">Not declared.</p>`}</div>
  <div><h3>${row.streams ? "Each item of the reply" : "Reply"}</h3>${row.output ? html`<${Json} value=${row.output} label="schema of the reply" />` : html`<p class="faint">Not declared.</p>`}</div>
</div>`;

function shapes(row) {
  if (!row.input && !row.output) return "";
  const out = row.output && row.output.type !== "null" ? ` → ${shape(row.output)}${row.streams ? "*" : ""}` : "";
  return (row.input ? shape(row.input) : "any") + out;
}

const Differences = ({ differences }) =>
  differences.map(
    ({ topic, about, sides }) => html`<div class="notice warn" role="note">
      <p class="notice-title">Not all have the same ${about} for <${Topic} name=${topic} /></p>
      <ul class="sides">
        ${sides.map(({ services, says }) => html`<li><strong>${services.join(", ")}</strong> ${says === null ? "say nothing" : html`<code>${typeof says === "string" ? says : shape(says)}</code>`}</li>`)}
      </ul>
      <p class="facts">${counted(sides.length, "different one")}</p>
    </div>`,
  );
