// What happened? What recorders wrote down; and play it again.
import { counted, fromInput, toInput } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment, useQuery } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic, Trail } from "../parts/badge.js";
import { Event } from "../parts/event.js";
import { Choice, Field, Typed } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { line } from "../parts/json.js";
import { Empty, Loaded } from "../parts/notice.js";
import { Pages, Table } from "../parts/table.js";
import { Moment } from "../parts/time.js";
import { Replay } from "./replay.js";

const KINDS = { processed: "good", failed: "bad" };

export function History({ id }) {
  return id ? html`<${One} id=${id} />` : html`<${All} />`;
}

function All() {
  const [query, change] = useQuery();
  const [replaying, setReplaying] = useState(false);
  const filters = { topic: query("topic"), status: query("status"), since: query("since"), until: query("until") };
  const found = useLoad(
    "/v1/history",
    { ...filters, limit: 50, cursor: query("cursor") },
    { every: query("cursor") ? 0 : 5 },
  );
  const narrow = (parts) => change({ ...parts, cursor: "" });
  return html`<${Head} title="History" about="Events that were recorded, the newest first.">
      <button type="button" onClick=${() => setReplaying(true)}>Replay…</button>
    <//>
    <div class="filters">
      <${Field} label="Topic or pattern" grow><${Typed} data-search value=${query("topic")} change=${(topic) => narrow({ topic })} placeholder="all" /><//>
      <${Field} label="Status"><${Choice} value=${query("status")} change=${(status) => narrow({ status })} options=${[["", "any"], "pending", "processed", "failed"]} /><//>
      <${Field} label="From"><${When} name="since" query=${query} change=${narrow} /><//>
      <${Field} label="To"><${When} name="until" query=${query} change=${narrow} /><//>
    </div>
    ${noRecorder(found.problem) ? html`<${NoRecorder} />` : html`<${Loaded} from=${found}>${({ items, next }) => html`<${List} items=${items} filtered=${Object.values(filters).some(Boolean)} /><${Pages} cursor=${query("cursor")} next=${next} change=${change} />`}<//>`}
    ${replaying && html`<${Replay} filters=${filters} close=${() => setReplaying(false)} />`}`;
}

const noRecorder = (problem) => problem?.code === "NO_RESPONDERS";

const NoRecorder = () =>
  html`<${Empty} title="Nothing is recorded" command="tieline up --history">History is kept by a gateway that was started with it, or by a process that runs a recorder.<//>`;

const When = ({ name, query, change }) => html`<input
  type="datetime-local"
  step="1"
  value=${query(name) ? toInput(Number(query(name))) : ""}
  onChange=${(event) => change({ [name]: fromInput(event.target.value) || "" })}
/>`;

function List({ items, filtered }) {
  if (!items.length)
    return html`<${Empty} title=${filtered ? "No event fits" : "Nothing happened yet"} command=${filtered ? "" : "tieline pub order.created '{\"id\": 1}'"} />`;
  const columns = [
    { head: "Time", cell: ({ time }) => html`<${Moment} at=${time} />` },
    {
      head: "Topic",
      cell: (row) => html`<a href=${address(`/history/${segment(row.id)}`)}><${Topic} name=${row.topic} /></a>`,
    },
    { head: "Key", cell: ({ key }) => html`<span class="id">${key || "–"}</span>` },
    {
      head: "Payload",
      wide: true,
      cell: (row) => html`<code class="soft">${line(row.data ?? row.data_base64, 80)}</code>`,
    },
    { head: "Status", cell: ({ status }) => html`<${Badge} kind=${KINDS[status] ?? ""}>${status}<//>` },
    { head: "Trail", cell: ({ correlation_id: id }) => html`<${Trail} id=${id} />` },
  ];
  return html`<${Table} label="Recorded events" columns=${columns} rows=${items} name=${({ id }) => id} />`;
}

function One({ id }) {
  const found = useLoad(`/v1/history/${segment(id)}`);
  return html`<${Head} title="Recorded event" about=${html`<span class="id">${id}</span>`}><a class="button" href=${address("/history")}>All of history</a><//>
    <${Loaded} from=${found}>${(told) => html`<section class="card" aria-label="Event"><${Event} event=${told} more=${facts(told)} /></section>`}<//>`;
}

const facts = (told) => [
  ["Status", html`<${Badge} kind=${KINDS[told.status] ?? ""}>${told.status}<//>`],
  ["Error", told.error_msg],
  ["Retried", told.retry_count ? counted(told.retry_count, "time") : ""],
  ["Recorded", told.recorded_at && html`<${Moment} at=${told.recorded_at} />`],
];
