// Which calls are under way? And where did this one go?
import { count, counted, duration } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, go, segment } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Topic, Trail } from "../parts/badge.js";
import { Field } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Empty, Loaded } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { Moment } from "../parts/time.js";

const MOST = 200;

const COLUMNS = [
  { head: "Topic", wide: true, cell: ({ topic }) => html`<${Topic} name=${topic} />` },
  { head: "Asked by", cell: ({ source }) => html`<span class="id">${source || "–"}</span>` },
  { head: "Answered by", cell: ({ responder }) => html`<span class="id">${responder || "–"}</span>` },
  { head: "Since", cell: ({ since }) => html`<${Moment} at=${since} fine />` },
  { head: "Under way", number: true, cell: ({ since }) => duration(Math.max(0, Date.now() - since)) },
  { head: "Ends in", number: true, cell: ({ until }) => (until ? duration(Math.max(0, until - Date.now())) : "–") },
  { head: "Trail", cell: ({ correlation_id: id }) => html`<${Trail} id=${id} />` },
];

export function Calls() {
  const found = useLoad("/v1/calls/live", { limit: MOST }, { every: 2 });
  return html`<${Head} title="Calls" about="Calls under way between any services, the oldest first; and where one of them, or an event, went." />
    <${Find} />
    <h2>Under way</h2>
    <${Loaded} from=${found}>${(told) => html`<${Live} told=${told} />`}<//>`;
}

function Live({ told: { items, total, instances, answered } }) {
  const silent =
    answered < instances &&
    html`<p class="notice warn">${answered} of ${counted(instances, "instance")} answered: calls of the others are not shown.</p>`;
  if (!items.length)
    return html`${silent}<${Empty} title="No call is under way" command=${"tieline call calculate.sum '[1, 2, 3]'"}>
      Calls that take a while show up here. Each call has a trail, whether it is still under way or not.
    <//>`;
  return html`${silent}<${Table} label="Calls under way" columns=${COLUMNS} rows=${items} name=${(row) => `${row.correlation_id} ${row.topic} ${row.source} ${row.since}`} />
    <p class="faint below">${total > items.length ? `The oldest ${count(items.length)} of ${counted(total, "call")} are shown.` : `${counted(total, "call")}, told by ${counted(answered, "instance")}.`}</p>`;
}

function Find() {
  const [id, setId] = useState("");
  const look = (event) => {
    event.preventDefault();
    if (id.trim()) go(address(`/calls/${segment(id.trim())}`));
  };
  return html`<form class="filters" onSubmit=${look}>
    <${Field} label="Explain" grow>
      <input type="search" data-search value=${id} onInput=${(event) => setId(event.target.value)} spellcheck="false" placeholder="correlation id of a call or an event" />
    <//>
    <button type="submit">Explain</button>
  </form>`;
}
