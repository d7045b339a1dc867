// What is planned, and what became of it?
import { ask } from "../core/api.js";
import { count, fromInput, toInput } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment, useQuery } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic } from "../parts/badge.js";
import { Confirm } from "../parts/dialog.js";
import { Done, useDoing } from "../parts/doing.js";
import { Event } from "../parts/event.js";
import { Field } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Empty, Loaded } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { FromNow, Moment } from "../parts/time.js";

const PATH = "/v1/schedules";
const STATES = ["pending", "delivered", "failed", "expired", "cancelled"];
const KINDS = { delivered: "good", failed: "bad", expired: "warn", cancelled: "warn" };
const LIMIT = 50;

export function Schedules({ id }) {
  return id ? html`<${One} id=${id} key=${id} />` : html`<${All} />`;
}

function All() {
  const [query, change] = useQuery();
  const status = query("status") || "pending";
  const page = Number(query("page")) || 1;
  const found = useLoad(PATH, { status, page, limit: LIMIT }, { every: 2 });
  const figures = useLoad(`${PATH}/figures`, {}, { every: 2 });
  const ways = useWays(found.reload);
  return html`<${Head} title="Schedules" about="Events that are published at a time. Finished ones are kept for a day." />
    <nav class="tabs" aria-label="Status">
      ${STATES.map((each) => html`<a href=${address("/schedules", { status: each })} aria-current=${each === status ? "page" : null}>${each} <span class="faint">${count(figures.data?.[each])}</span></a>`)}
    </nav>
    <${Done} state=${ways.state} />
    <${Loaded} from=${found}>
      ${({ items, total }) => html`<${List} items=${items} status=${status} ways=${ways} />
        ${
          (total === null || total > LIMIT) &&
          html`<nav class="pages" aria-label="Pages">
          <button type="button" disabled=${page < 2} onClick=${() => change({ page: page - 1 })}>Back</button>
          <button type="button" disabled=${total !== null && page * LIMIT >= total} onClick=${() => change({ page: page + 1 })}>Next</button>
          ${total !== null && html`<span class="faint">${count(total)} in all</span>`}
        </nav>`
        }`}
    <//>
    ${ways.moving && html`<${Move} plan=${ways.moving} close=${() => ways.move(null)} moved=${ways.moved} />`}`;
}

function useWays(reload) {
  const [state, run] = useDoing();
  const [moving, move] = useState(null);
  const asked = (method, plan, behind, said) =>
    run(
      () => ask(method, `${PATH}/${segment(plan.id)}${behind}`, method === "POST" ? { body: {} } : {}).then(reload),
      () => said,
    );
  return {
    state,
    moving,
    move,
    moved: reload,
    cancel: (plan) => asked("DELETE", plan, "", `${plan.topic} was cancelled; it is not published.`),
    retry: (plan) => asked("POST", plan, "/retry", `${plan.topic} is planned again.`),
  };
}

function List({ items, status, ways }) {
  if (!items.length && status !== "pending") return html`<${Empty} title=${`Nothing is ${status}`} />`;
  if (!items.length)
    return html`<${Empty} title="Nothing is planned" command=${"tieline pub reminder.send '{\"id\": 1}' --delay 10m"}>What is published with a delay, or at a moment, waits here.<//>`;
  const columns = [
    {
      head: status === "pending" ? "Due" : "Was due",
      cell: ({ due }) => html`<${Moment} at=${due} /> <span class="faint"><${FromNow} at=${due} /></span>`,
    },
    {
      head: "Topic",
      wide: true,
      cell: ({ id, topic }) => html`<a href=${address(`/schedules/${segment(id)}`)}><${Topic} name=${topic} /></a>`,
    },
    { head: "Key", cell: ({ key }) => html`<span class="id">${key || "–"}</span>` },
    { head: "Priority", number: true, cell: ({ priority }) => count(priority) },
    {
      head: "Status",
      cell: (plan) => html`<${Badge} kind=${KINDS[plan.status] ?? ""}>${plan.status}<//> ${plan.error}`,
    },
    { head: "", cell: (plan) => html`<${Ways} plan=${plan} ways=${ways} />` },
  ];
  return html`<${Table} label="Schedules" columns=${columns} rows=${items} name=${({ id }) => id} />`;
}

function Ways({ plan, ways, small = "small" }) {
  if (plan.status === "failed")
    return html`<div class="actions"><button type="button" class=${small} onClick=${() => ways.retry(plan)}>Retry</button></div>`;
  if (plan.status !== "pending") return null;
  return html`<div class="actions">
    <button type="button" class=${small} onClick=${() => ways.move(plan)}>Move…</button>
    <button type="button" class=${small} onClick=${() => ways.cancel(plan)}>Cancel</button>
  </div>`;
}

function Move({ plan, close, moved }) {
  const [at, setAt] = useState(toInput(plan.due));
  const act = async () => {
    await ask("PATCH", `${PATH}/${segment(plan.id)}`, { body: { at: fromInput(at) } });
    moved();
  };
  return html`<${Confirm} title="Publish it at another time" action="Move" act=${act} close=${close}>
    <${Field} label="At (your time zone)"><input type="datetime-local" step="1" required value=${at} onInput=${(event) => setAt(event.target.value)} /><//>
  <//>`;
}

function One({ id }) {
  const found = useLoad(`${PATH}/${segment(id)}`, {}, { every: 2 });
  const ways = useWays(found.reload);
  return html`<${Head} title="Planned event" about=${html`<span class="id">${id}</span>`}>
      ${found.data && html`<${Ways} plan=${found.data} ways=${ways} small="" />`}
      <a class="button" href=${address("/schedules")}>All schedules</a>
    <//>
    <${Done} state=${ways.state} />
    <${Loaded} from=${found}>
      ${(plan) => html`<section class="card" aria-label="Planned event">
        <${Event} event=${{ ...plan.event }} more=${facts(plan)} />
      </section>`}
    <//>
    ${ways.moving && html`<${Move} plan=${ways.moving} close=${() => ways.move(null)} moved=${ways.moved} />`}`;
}

const facts = (plan) => [
  ["Status", html`<${Badge} kind=${KINDS[plan.status] ?? ""}>${plan.status}<//>`],
  ["Due", html`<${Moment} at=${plan.due} /> <span class="faint"><${FromNow} at=${plan.due} /></span>`],
  ["Planned", html`<${Moment} at=${plan.created} />`],
  ["Ended", plan.ended && html`<${Moment} at=${plan.ended} />`],
  ["Priority", plan.priority],
  ["Attempts", plan.attempts],
  ["Error", plan.error],
];
