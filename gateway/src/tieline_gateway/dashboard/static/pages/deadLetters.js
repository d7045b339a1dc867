// What was given up, why, and what is to become of it?
import { ask } from "../core/api.js";
import { count, counted } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment, useQuery } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic, Trail } from "../parts/badge.js";
import { Confirm } from "../parts/dialog.js";
import { Done, useDoing } from "../parts/doing.js";
import { Choice, Field, Typed } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Empty, Loaded } from "../parts/notice.js";
import { Pages, Table } from "../parts/table.js";
import { FromNow } from "../parts/time.js";

const PATH = "/v1/dead-letters";
const name = ({ topic, id }) => `${topic} ${id}`;
const sum = (answers) => answers.reduce((all, { redriven, purged }) => all + (redriven ?? purged), 0);

export function DeadLetters() {
  const [query, change] = useQuery();
  const filters = { topic: query("topic"), group: query("group"), reason: query("reason"), key: query("key") };
  const found = useLoad(PATH, { ...filters, cursor: query("cursor"), payloads: false }, { every: 5 });
  const [chosen, choose] = useState(new Set());
  const [asking, setAsking] = useState("");
  const [state, run] = useDoing();
  const narrow = (parts) => change({ ...parts, cursor: "" });
  const act = (verb, orders) =>
    run(
      async () => {
        const answers = await Promise.all(orders.map((body) => ask("POST", `${PATH}/${verb}`, { body })));
        choose(new Set());
        found.reload();
        return sum(answers);
      },
      (all) => `${counted(all, "dead letter")} ${verb === "purge" ? "deleted" : "put back"}.`,
    );
  return html`<${Head} title="Dead letters" about="Durable events that were given up, the oldest first. Redriving puts one back at the end of its key, for the group it failed in." />
    <${Filters} query=${query} change=${narrow} />
    <${Actions} chosen=${chosen} topic=${filters.topic} busy=${state.busy} redrive=${() => act("redrive", byTopic(chosen))} ask=${setAsking} />
    <${Done} state=${state} />
    <${Loaded} from=${found}>
      ${({ items, next }) => html`<${List} items=${items} chosen=${chosen} choose=${choose} filters=${filters} />
        <${Pages} cursor=${query("cursor")} next=${next} change=${change} />`}
    <//>
    ${asking && html`<${Bulk} asking=${asking} chosen=${chosen} filters=${filters} close=${() => setAsking("")} act=${act} />`}`;
}

/** One order for each topic of which letters were chosen. */
function byTopic(chosen) {
  const orders = new Map();
  for (const each of chosen) {
    const [topic, id] = each.split(" ");
    orders.set(topic, [...(orders.get(topic) ?? []), id]);
  }
  return [...orders].map(([topic, ids]) => ({ topic, ids }));
}

const Filters = ({ query, change }) => html`<div class="filters">
  <${Field} label="Topic" grow><${Typed} data-search value=${query("topic")} change=${(topic) => change({ topic })} placeholder="all" /><//>
  <${Field} label="Group"><${Typed} value=${query("group")} change=${(group) => change({ group })} placeholder="any" /><//>
  <${Field} label="Reason"><${Choice} value=${query("reason")} change=${(reason) => change({ reason })} options=${[["", "any"], "failed", "rejected", "expired"]} /><//>
  <${Field} label="Key"><${Typed} value=${query("key")} change=${(key) => change({ key })} placeholder="any" /><//>
</div>`;

const Actions = ({ chosen, topic, busy, redrive, ask: turn }) => html`<div class="bar-of-actions">
  <button type="button" class="primary" disabled=${!chosen.size || busy} onClick=${redrive}>Redrive ${chosen.size ? counted(chosen.size, "letter") : "selected"}</button>
  <button type="button" disabled=${!chosen.size} onClick=${() => turn("purge")}>Delete…</button>
  <span class="gap"></span>
  ${!topic && html`<span class="faint">Choose a topic to redrive or delete all of it</span>`}
  <button type="button" disabled=${!topic} onClick=${() => turn("redrive all")}>Redrive all…</button>
  <button type="button" disabled=${!topic} onClick=${() => turn("purge all")}>Delete all…</button>
</div>`;

const COLUMNS = [
  {
    head: "Topic",
    cell: ({ topic, id }) =>
      html`<a href=${address(`/dead-letters/${segment(topic)}/${segment(id)}`)}><${Topic} name=${topic} /></a>`,
  },
  {
    head: "Why",
    wide: true,
    cell: ({ reason, error }) =>
      html`<${Badge} kind="bad">${reason}<//> ${error.type && html`<strong>${error.type}</strong>`} <bdi>${error.message}</bdi>`,
  },
  { head: "Group", cell: ({ group }) => group },
  { head: "Key", cell: ({ event }) => html`<span class="id">${event.key || "–"}</span>` },
  { head: "Attempts", number: true, cell: ({ attempts }) => count(attempts) },
  { head: "Given up", cell: ({ time }) => html`<${FromNow} at=${time} />` },
  { head: "Trail", cell: ({ event }) => html`<${Trail} id=${event.correlation_id} />` },
];

function List({ items, chosen, choose, filters }) {
  if (!items.length && Object.values(filters).some(Boolean)) return html`<${Empty} title="No dead letter fits" />`;
  if (!items.length)
    return html`<${Empty} title="No dead letters" command="tieline dlq list">Every durable event was handled, or still waits for it. In a terminal:<//>`;
  return html`<${Table} label="Dead letters" columns=${COLUMNS} rows=${items} name=${name} chosen=${chosen} choose=${choose} />`;
}

function Bulk({ asking, chosen, filters, close, act }) {
  const [verb, all] = asking.split(" ");
  const { topic, ...rest } = filters;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value));
  const narrowed = Object.keys(given).length > 0;
  const orders = all ? [{ topic, ...(narrowed ? given : { all: true }) }] : byTopic(chosen);
  const what = all
    ? `all dead letters of ${topic}${narrowed ? " that fit the filters" : ""}`
    : counted(chosen.size, "dead letter");
  const purge = verb === "purge";
  return html`<${Confirm} title=${purge ? "Delete dead letters?" : "Put dead letters back?"} action=${purge ? "Delete" : "Redrive"} danger=${purge} act=${() => act(verb, orders)} close=${close}>
    <p>${purge ? `This deletes ${what}. What is deleted cannot be brought back.` : `This puts back ${what}, each for the group it failed in.`}</p>
  <//>`;
}
