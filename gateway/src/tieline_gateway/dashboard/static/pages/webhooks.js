// What do others send us, and did it arrive?
import { count } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { html } from "../core/view.js";
import { Badge, Topic, Trail } from "../parts/badge.js";
import { Head } from "../parts/head.js";
import { Empty, Loaded } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { FromNow, Moment } from "../parts/time.js";

export function Webhooks() {
  const found = useLoad("/v1/webhooks", {}, { every: 3 });
  return html`<${Head} title="Webhooks" about="Signed deliveries from others, published as events; and subscriptions that deliver to others." />
    <${Loaded} from=${found}>${(told) => html`<${Told} told=${told} />`}<//>`;
}

function Told({ told }) {
  const { sources = [], deliveries = [], outbound = [] } = told;
  if (!sources.length && !outbound.length && !deliveries.length)
    return html`<${Empty} title="No webhook is set up" command="tieline up --webhook github --webhook-secret github=secret.txt">Then let GitHub deliver to /webhooks/github. A signed test delivery is sent by tieline webhook send github push.<//>`;
  return html`${sources.length > 0 && html`<h2>Sources</h2><${Sources} rows=${sources} />`}
    ${outbound.length > 0 && html`<h2 class="below">Delivered to others</h2><${Outbound} rows=${outbound} />`}
    ${deliveries.length > 0 && html`<h2 class="below">Last deliveries</h2><${Deliveries} rows=${deliveries} />`}`;
}

const figure = (head, name) => ({ head, number: true, cell: (row) => count(row[name] ?? row.figures?.[name] ?? 0) });

const Sources = ({ rows }) => html`<${Table} label="Sources" rows=${rows} name=${(row) => row.name ?? row.source}
  columns=${[
    {
      head: "Source",
      wide: true,
      cell: (row) => html`<strong>${row.name ?? row.source}</strong> <span class="faint">${row.path ?? ""}</span>`,
    },
    { head: "Kind", cell: (row) => html`<${Badge}>${row.kind ?? row.scheme}<//>` },
    figure("Accepted", "accepted"),
    figure("Duplicates", "duplicates"),
    figure("Ignored", "ignored"),
    figure("Refused", "refused"),
    { head: "Last", cell: ({ last }) => html`<${FromNow} at=${last} />` },
  ]} />`;

const Outbound = ({
  rows,
}) => html`<${Table} label="Delivered to others" rows=${rows} name=${(row) => row.name ?? row.url}
  columns=${[
    { head: "To", wide: true, cell: ({ url, name }) => url ?? name },
    { head: "Topic", cell: ({ topic }) => html`<${Topic} name=${topic} />` },
    figure("Delivered", "delivered"),
    figure("Retried", "retried"),
    figure("Failed", "failed"),
  ]} />`;

const Deliveries = ({
  rows,
}) => html`<${Table} label="Deliveries" rows=${rows} name=${({ id, time }) => `${id} ${time}`}
  columns=${[
    { head: "Time", cell: ({ time }) => html`<${Moment} at=${time} />` },
    { head: "Source", cell: ({ source }) => source },
    { head: "Delivery", cell: ({ id }) => html`<span class="id">${id}</span>` },
    { head: "Event", wide: true, cell: ({ topic, event }) => html`<${Topic} name=${topic ?? event} />` },
    {
      head: "Outcome",
      cell: ({ outcome, status }) =>
        html`<${Badge} kind=${["refused", "failed"].includes(outcome) ? "bad" : outcome === "accepted" ? "good" : ""}>${outcome ?? status}<//>`,
    },
    { head: "Trail", cell: ({ correlation_id: id, event_id }) => html`<${Trail} id=${id ?? event_id} />` },
  ]} />`;
