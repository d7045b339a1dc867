// How far are the groups behind, and which keys stopped?
import { ask } from "../core/api.js";
import { count, duration } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment, useQuery } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic, Trail } from "../parts/badge.js";
import { Confirm } from "../parts/dialog.js";
import { Done, useDoing } from "../parts/doing.js";
import { Field, Typed } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { line } from "../parts/json.js";
import { Empty, Loaded } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { FromNow, Moment } from "../parts/time.js";

export function Groups({ topic }) {
  return topic ? html`<${OfTopic} topic=${topic} key=${topic} />` : html`<${All} />`;
}

const FIGURES = [
  { head: "Waiting", number: true, cell: ({ waiting }) => count(waiting) },
  { head: "Under way", number: true, cell: ({ pending }) => count(pending) },
  { head: "Keys", number: true, cell: ({ keys }) => count(keys) },
  { head: "Oldest", number: true, cell: (row) => age(row) },
  {
    head: "Parked",
    number: true,
    cell: ({ parked }) => (parked ? html`<${Badge} kind="bad">${count(parked)}<//>` : "0"),
  },
];

const age = ({ oldest_ms: told }) => (told === null ? "–" : duration(told));

function All() {
  const [query, change] = useQuery();
  const found = useLoad("/v1/groups", {}, { every: 3 });
  const columns = [
    {
      head: "Topic",
      wide: true,
      cell: ({ topic }) => html`<a href=${address(`/groups/${segment(topic)}`)}><${Topic} name=${topic} /></a>`,
    },
    { head: "Group", cell: ({ name }) => name },
    ...FIGURES,
  ];
  const rows = (items) =>
    items
      .flatMap(({ topic, groups }) => groups.map((group) => ({ ...group, topic })))
      .filter(({ topic, name }) => `${topic} ${name}`.includes(query("q")))
      .sort((a, b) => b.parked - a.parked || b.waiting - a.waiting || a.topic.localeCompare(b.topic));
  return html`<${Head} title="Groups" about="Durable events wait for each group until it has handled them, those with most to do first. Waiting counts those under way too." />
    <div class="filters"><${Field} label="Find" grow><${Typed} type="search" data-search value=${query("q")} change=${(q) => change({ q })} placeholder="topic or group" /><//></div>
    <${Loaded} from=${found}>
      ${({ items }) =>
        rows(items).length
          ? html`<${Table} label="Groups" columns=${columns} rows=${rows(items)} name=${({ topic, name }) => `${topic} ${name}`} marked=${({ parked }) => parked > 0} />`
          : html`<${Empty} title=${query("q") ? "No group fits" : "No group yet"} command=${"tieline sub order.created --durable --group billing"}>A group begins with its first durable subscription.<//>`}
    <//>`;
}

function OfTopic({ topic }) {
  const found = useLoad(`/v1/groups/${segment(topic)}`, {}, { every: 3 });
  const [removing, setRemoving] = useState("");
  const columns = [
    {
      head: "Group",
      wide: true,
      cell: ({ name, since }) =>
        html`${name}${since ? html` <span class="faint">since <${Moment} at=${since} /></span>` : ""}`,
    },
    ...FIGURES,
    {
      head: "",
      cell: ({ name }) =>
        html`<div class="actions"><button type="button" class="small" onClick=${() => setRemoving(name)}>Remove…</button></div>`,
    },
  ];
  const remove = async () => {
    await ask("DELETE", `/v1/groups/${segment(topic)}/${segment(removing)}`);
    found.reload();
  };
  return html`<${Head} title=${html`<${Topic} name=${topic} />`} about="The groups of this topic, and the keys that stopped in each of them.">
      <a class="button" href=${address("/groups")}>All groups</a>
      <a class="button" href=${address("/dead-letters", { topic })}>Dead letters</a>
    <//>
    <${Loaded} from=${found}>
      ${({ groups }) => {
        if (!groups.length)
          return html`<${Empty} title="This topic has no group" command=${`tieline sub ${topic} --durable`} />`;
        return html`<${Table} label="Groups" columns=${columns} rows=${groups} name=${({ name }) => name} />
          ${groups.map(({ name, parked }) => html`<${Parked} key=${name} topic=${topic} group=${name} count=${parked} changed=${found.reload} />`)}`;
      }}
    <//>
    ${
      removing &&
      html`<${Confirm} title=${`Remove the group ${removing}?`} action="Remove" danger act=${remove} close=${() => setRemoving("")}>
        <p>Nothing waits for it any more: what it has not handled is lost to it, and its subscriptions end.</p>
      <//>`
    }`;
}

function Parked({ topic, group, count: parked, changed }) {
  const found = useLoad(parked ? `/v1/parked/${segment(topic)}` : null, { group }, { every: 5 });
  const [state, run] = useDoing();
  const letGo = (key, verb, said) =>
    run(
      () =>
        ask("POST", `/v1/parked/${segment(topic)}/${segment(key)}/${verb}`, { query: { group } }).then(() => [
          found.reload(),
          changed(),
        ]),
      () => said,
    );
  const columns = [
    { head: "Key", cell: (row) => html`<span class="id">${row.event.key}</span>` },
    {
      head: "Stopped by",
      wide: true,
      cell: ({ error, event }) =>
        html`${error?.type && html`<strong>${error.type}</strong>`} <bdi>${error?.message}</bdi> <code class="faint">${line(event.data, 60)}</code>`,
    },
    { head: "Since", cell: ({ time }) => html`<${FromNow} at=${time} />` },
    { head: "Trail", cell: ({ event }) => html`<${Trail} id=${event.correlation_id} />` },
    { head: "", cell: (row) => html`<${Ways} letGo=${letGo} name=${row.event.key} busy=${state.busy} />` },
  ];
  if (!parked && !state.done) return null;
  return html`<section class="card" aria-label=${`Parked keys of ${group}`}>
    <h2>Keys that stopped in ${group}</h2>
    <${Done} state=${state} />
    <${Loaded} from=${found}>${({ items }) => items.length > 0 && html`<${Table} label="Parked keys" columns=${columns} rows=${items} name=${(row) => row.event.key} />`}<//>
  </section>`;
}

const Ways = ({ letGo, name, busy }) => html`<div class="actions">
  <button type="button" class="small" disabled=${busy} title="Handle the event again that stopped it" onClick=${() => letGo(name, "unpark", `${name} goes on with the event that stopped it.`)}>Unpark</button>
  <button type="button" class="small" disabled=${busy} title="Make the event a dead letter, and go on behind it" onClick=${() => letGo(name, "skip", `${name} goes on; the event became a dead letter.`)}>Skip</button>
</div>`;
