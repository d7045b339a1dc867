// Which tasks recur, when next, and how did the last run go?
import { ask } from "../core/api.js";
import { count, duration } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic } from "../parts/badge.js";
import { Confirm } from "../parts/dialog.js";
import { Done, useDoing } from "../parts/doing.js";
import { Payload } from "../parts/event.js";
import { Facts } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Empty, Loaded } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { FromNow, Moment } from "../parts/time.js";

const PATH = "/v1/cron";
const path = (name) => name.split("/").map(segment).join("/");
const there = (name) => address(`/cron/${path(name)}`);

export function Cron({ name }) {
  return name ? html`<${One} name=${name} key=${name} />` : html`<${All} />`;
}

function useWays(reload) {
  const [state, run] = useDoing();
  const act = (task, verb, said) =>
    run(
      () => ask("POST", `${PATH}/${path(task.name)}/${verb}`).then(reload),
      () => `${task.name} ${said}`,
    );
  return {
    state,
    pause: (task) => act(task, "pause", "is paused."),
    resume: (task) => act(task, "resume", "goes on."),
    run: (task) => act(task, "run", "was run."),
  };
}

function All() {
  const found = useLoad(PATH, {}, { every: 3 });
  const ways = useWays(found.reload);
  const columns = [
    { head: "Task", wide: true, cell: ({ name }) => html`<a href=${there(name)}>${name}</a>` },
    {
      head: "When",
      cell: ({ expression, zone }) => html`<code>${expression}</code> <span class="faint">${zone}</span>`,
    },
    { head: "Does", cell: (task) => html`<${What} task=${task} />` },
    {
      head: "Next",
      cell: (task) =>
        task.paused
          ? html`<${Badge} kind="warn">paused<//>`
          : task.next
            ? html`<${Moment} at=${task.next} /> <span class="faint"><${FromNow} at=${task.next} /></span>`
            : html`<span class="faint">never again</span>`,
    },
    { head: "Last run", cell: ({ last }) => html`<${Last} run=${last} />` },
    { head: "", cell: (task) => html`<${Ways} task=${task} ways=${ways} />` },
  ];
  return html`<${Head} title="Cron" about="Tasks that recur. The broker keeps them; they run as long as any process of yours does." />
    <${Done} state=${ways.state} />
    <${Loaded} from=${found}>
      ${({ items }) =>
        items.length
          ? html`<${Table} label="Cron tasks" columns=${columns} rows=${items} name=${({ name }) => name} />`
          : html`<${Empty} title="No task recurs" command=${"tieline cron create nightly '0 3 * * *' report.make"}>A task publishes an event, or makes a call, whenever its time comes.<//>`}
    <//>`;
}

const RUNS = { completed: "good", failed: "bad" };

const What = ({ task }) => html`<${Badge}>${task.call ? "call" : "publish"}<//> <${Topic} name=${task.topic} />`;

const Last = ({ run }) =>
  run
    ? html`<${FromNow} at=${run.ended ?? run.started} /> <${Badge} kind=${RUNS[run.status] ?? ""}>${run.status}<//>`
    : html`<span class="faint">never</span>`;

const Ways = ({ task, ways, small = "small" }) => html`<div class="actions">
  <button type="button" class=${small} onClick=${() => ways.run(task)}>Run now</button>
  ${
    task.paused
      ? html`<button type="button" class=${small} onClick=${() => ways.resume(task)}>Resume</button>`
      : html`<button type="button" class=${small} onClick=${() => ways.pause(task)}>Pause</button>`
  }
</div>`;

function One({ name }) {
  const found = useLoad(`${PATH}/${path(name)}`, {}, { every: 3 });
  const ways = useWays(found.reload);
  const [removing, setRemoving] = useState(false);
  const [gone, setGone] = useState(false);
  const remove = async () => {
    await ask("DELETE", `${PATH}/${path(name)}`);
    setGone(true);
  };
  return html`<${Head} title=${name}>
      ${found.data && !gone && html`<${Ways} task=${found.data} ways=${ways} small="" /><button type="button" onClick=${() => setRemoving(true)}>Delete…</button>`}
      <a class="button" href=${address("/cron")}>All tasks</a>
    <//>
    <${Done} state=${ways.state} />
    ${gone ? html`<p class="notice good" role="status">${name} was deleted.</p>` : html`<${Loaded} from=${found}>${(task) => html`<${Told} task=${task} />`}<//>`}
    ${removing && html`<${Confirm} title=${`Delete ${name}?`} action="Delete" danger act=${remove} close=${() => setRemoving(false)}><p>It does not run again. What it has published stays.</p><//>`}`;
}

function Told({ task }) {
  const facts = [
    ["When", html`<code>${task.expression}</code>`],
    ["Zone", task.zone],
    ["Does", html`<${What} task=${task} />`],
    ["State", task.paused ? html`<${Badge} kind="warn">paused<//>` : html`<${Badge} kind="good">active<//>`],
    ["Next", task.next && html`<${Moment} at=${task.next} />`],
    ["Last run", html`<${Last} run=${task.last} />`],
    ["Last error", task.last?.error?.message],
    ["Missed ticks", task.misfire],
    ["Jitter", task.jitter_ms ? duration(task.jitter_ms) : ""],
    ["Runs", count(task.runs)],
    ["Retries", task.call ? task.retries : ""],
    ["Created", task.created && html`<${Moment} at=${task.created} />`],
  ];
  return html`<section class="card" aria-label="Task"><${Facts} facts=${facts} /><${Payload} of=${task} /></section>`;
}
