// What goes by right now? Events and requests of some patterns, live.
import { count } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { address, useQuery } from "../core/router.js";
import { useStream } from "../core/sse.js";
import { html, useEffect, useRef, useState } from "../core/view.js";
import { Badge, Topic, Trail } from "../parts/badge.js";
import { Event } from "../parts/event.js";
import { Field, Typed } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { line } from "../parts/json.js";
import { Empty, Trouble } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { Moment } from "../parts/time.js";

const MOST = 200;
const MOST_SIZE = 8_000_000;
const EVERY_MS = 400;
const KINDS = new Set(["event", "request", "stored"]);

export function Tap() {
  const [query, change] = useQuery();
  const patterns = (query("topic") || ">").split(/[\s,]+/).filter(Boolean);
  const [seen, setSeen] = useState([]);
  const [open, setOpen] = useState(-1);
  const [paused, setPaused] = useState(false);
  const all = useRef({ number: 0, kept: [] });
  const add = (item, size) => {
    const { number, kept } = all.current;
    all.current = { number: number + 1, kept: bounded([{ ...item, size, number: number + 1 }, ...kept]) };
  };
  useEffect(() => {
    const show = () => paused || setSeen(all.current.kept);
    show();
    const timer = setInterval(show, EVERY_MS);
    return () => clearInterval(timer);
  }, [paused]);
  const state = useStream(
    "/v1/tap",
    { topic: patterns },
    ({ event, data, size }) => {
      if (event === "gap") add({ gap: data }, size);
      else if (KINDS.has(event)) add({ ...data, kind: event }, size);
    },
    { always: true },
  );
  const pause = () => setPaused(!paused);
  const clear = () => {
    all.current.kept = [];
    setSeen([]);
  };
  useKeys({ p: pause });
  const shown = seen.filter((item) => item.gap || fits(item, query("q")));
  return html`<${Head} title="Event tap" about="Events and requests as they go by, and durable events as they are stored. Looking changes nothing: a tap never answers.">
      <${Badge} kind=${state.open ? (paused ? "warn" : "good") : ""}>${state.open ? (paused ? "paused" : "live") : "connecting"}<//>
      <button type="button" onClick=${pause}>${paused ? "Go on" : "Pause"} <kbd>p</kbd></button>
      <button type="button" onClick=${clear}>Clear</button>
    <//>
    <div class="filters">
      <${Field} label="Topics or patterns" grow><${Typed} data-search value=${query("topic")} change=${(topic) => change({ topic })} placeholder="> for all; order.*, user.>" /><//>
      <${Field} label="Only with this text" grow><${Typed} type="search" value=${query("q")} change=${(q) => change({ q })} placeholder="in topic, source, key or payload" /><//>
    </div>
    <${Trouble} problem=${state.problem} />
    ${shown.length ? html`<${Seen} shown=${shown} open=${open} setOpen=${setOpen} />` : html`<${Nothing} topic=${patterns[0]} seen=${seen.length} />`}
    ${all.current.number > seen.length && seen.length > 0 && html`<p class="faint below">The last ${count(seen.length)} of ${count(all.current.number)} are shown.</p>`}`;
}

/** So many at most, and so many characters in all. */
function bounded(items) {
  let size = 0;
  const most = items.slice(0, MOST).findIndex((item) => {
    size += item.size;
    return size > MOST_SIZE;
  });
  return items.slice(0, most < 0 ? MOST : Math.max(1, most));
}

const fits = (item, text) =>
  !text || line([item.topic, item.source, item.key, item.correlation_id, item.data], 1e6).includes(text);

function Nothing({ topic, seen }) {
  if (seen) return html`<${Empty} title="None of what went by has this text" />`;
  const concrete = topic.replace(/[*>].*/, "example") || "example";
  return html`<${Empty} title="Nothing went by yet" command=${`tieline pub ${concrete} '{"id": 1}'`}>What is published from now on shows up here.<//>`;
}

function Seen({ shown, open, setOpen }) {
  const columns = [
    { head: "Time", cell: (item) => (item.gap ? "" : html`<${Moment} at=${item.time} fine />`) },
    {
      head: "Kind",
      cell: (item) =>
        item.gap
          ? html`<${Badge} kind="warn">gap<//>`
          : html`<${Badge} kind=${item.kind === "stored" ? "good" : ""}>${item.kind}<//>`,
    },
    {
      head: "Topic",
      cell: (item) =>
        item.gap
          ? html`<span class="soft">${item.gap.reason}${item.gap.lost ? ` (${count(item.gap.lost)} lost)` : ""}</span>`
          : html`<${Topic} name=${item.topic} />`,
    },
    { head: "From", cell: (item) => html`<span class="id cut" title=${item.source}>${item.source ?? ""}</span>` },
    {
      head: "Payload",
      wide: true,
      cell: (item) =>
        item.gap
          ? ""
          : html`<button type="button" class="peek" aria-expanded=${open === item.number} onClick=${() => setOpen(open === item.number ? -1 : item.number)}>${line(item.data ?? item.data_base64, 90) || "empty"}</button>`,
    },
    { head: "Trail", cell: (item) => (item.gap ? "" : html`<${Trail} id=${item.correlation_id} />`) },
  ];
  return html`<${Table} label="Events" columns=${columns} rows=${shown} name=${({ number }) => `${number}`} marked=${({ number }) => number === open}
    below=${(item) => item.number === open && !item.gap && html`<${Event} event=${item} /><p class="actions below"><a class="button" href=${address("/console", { topic: item.topic, data: line(item.data, 2_000) })}>Take to the console</a></p>`} />`;
}
