// Is it well? Rates, latency, errors, what waits, and the broker, second by second.
import { count, counted, duration, ms, rate } from "../core/format.js";
import { address } from "../core/router.js";
import { useStream } from "../core/sse.js";
import { html, useMemo, useState } from "../core/view.js";
import { Badge } from "../parts/badge.js";
import { Chart } from "../parts/chart.js";
import { Facts } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Trouble } from "../parts/notice.js";

const SECONDS = 120;

const RATES = [
  { label: "Published", colour: "--chart-1", fill: "--chart-1-soft" },
  { label: "Calls", colour: "--chart-2" },
  { label: "Errors", colour: "--chart-3" },
];
const LATENCIES = [
  { label: "p50", colour: "--chart-2" },
  { label: "p99", colour: "--chart-1", fill: "--chart-1-soft" },
];

export function Overview() {
  const [{ last, samples }, setSeen] = useState({ last: null, samples: [] });
  const state = useStream("/v1/overview/stream", {}, ({ event, data }) => {
    if (event === "overview") setSeen((before) => ({ last: data, samples: joined(before.samples, data) }));
  });
  return html`<${Head} title="Overview" about="What goes through this gateway, and what waits at its broker." />
    <${Trouble} problem=${state.problem} />
    <${Tiles} now=${last?.now} backlog=${last?.backlog} schedules=${last?.schedules} />
    <div class="pair">
      <section class="card" aria-label="Rates"><h2>Per second</h2><${Rates} samples=${samples} /></section>
      <section class="card" aria-label="Latency"><h2>Round trip of calls</h2><${Latencies} samples=${samples} /></section>
    </div>
    <div class="pair">
      <section class="card" aria-label="Broker"><h2>Broker</h2><${Broker} last=${last} /></section>
      <section class="card" aria-label="Gateway"><h2>Gateway</h2><${Self} last=${last} /></section>
    </div>`;
}

/** The samples that are shown, with those that have just come. */
function joined(before, { recent, now }) {
  const latest = before.at(-1)?.time ?? 0;
  const come = (recent ?? [now]).filter(({ time }) => time > latest);
  return [...before, ...come].slice(-SECONDS);
}

function Tiles({ now, backlog, schedules }) {
  return html`<div class="tiles">
    <${Tile} name="Published" value=${rate(now?.published)} unit="/s" to="/tap" />
    <${Tile} name="Calls" value=${rate(now?.called)} unit="/s" to="/calls" />
    <${Tile} name="Errors" value=${rate(now?.failed)} unit="/s" kind=${now?.failed > 0 ? "bad" : ""} to="/calls" />
    <${Tile} name="Round trip, p50 · p99" value=${`${ms(now?.p50_ms)} · ${ms(now?.p99_ms)}`} />
    <${Tile} name="In flight" value=${count(now?.in_flight)} to="/calls" />
    <${Tile} name="Waiting" value=${count(backlog?.waiting)} to="/groups" note=${backlog?.parked ? counted(backlog.parked, "parked key") : ""} />
    <${Tile} name="Dead letters" value=${letters(backlog)} kind=${backlog?.dead_letters > 0 ? "bad" : ""} to="/dead-letters" />
    <${Tile} name="Planned" value=${count(schedules?.pending)} to="/schedules" />
  </div>`;
}

const letters = (backlog) => count(backlog?.dead_letters) + (backlog?.more_dead_letters ? "+" : "");

const Tile = ({ name, value, unit, kind = "", to, note }) => {
  const inside = html`<span class="tile-name">${name}</span>
    <span class="tile-value">${value}${unit && html`<small>${unit}</small>`}</span>
    ${note && html`<span class="tile-note">${note}</span>`}`;
  return to
    ? html`<a class=${`tile ${kind}`} href=${address(to)}>${inside}</a>`
    : html`<div class=${`tile ${kind}`}>${inside}</div>`;
};

function Rates({ samples }) {
  const data = useMemo(
    () => [times(samples), ...["published", "called", "failed"].map((name) => values(samples, name))],
    [samples],
  );
  return html`<${Chart} label="Published events, calls and errors a second, over the last two minutes" data=${data} lines=${RATES} format=${rate} />`;
}

function Latencies({ samples }) {
  const data = useMemo(() => [times(samples), values(samples, "p50_ms"), values(samples, "p99_ms")], [samples]);
  return html`<${Chart} label="Median and 99th percentile of round trips, over the last two minutes" data=${data} lines=${LATENCIES} format=${ms} />`;
}

const times = (samples) => samples.map(({ time }) => time / 1000);
const values = (samples, name) => samples.map((sample) => sample[name] ?? null);

function Broker({ last }) {
  if (!last) return html`<div class="waiting short"></div>`;
  const { broker, backlog } = last;
  const facts = [
    ["State", html`<${Badge} kind=${broker.connected ? "good" : "bad"}>${broker.connected ? "connected" : "away"}<//>`],
    ["Kind", broker.kind],
    ["Durable topics", count(backlog?.topics)],
    ["Groups", count(backlog?.groups)],
    ["Oldest that waits", backlog?.oldest_ms ? duration(backlog.oldest_ms) : "nothing waits"],
    ["Services", html`<a href=${address("/services")}>${count(last.services)}</a>`],
    ["Instances", count(last.instances)],
  ];
  return html`<${Facts} facts=${facts} />`;
}

function Self({ last }) {
  if (!last) return html`<div class="waiting short"></div>`;
  const { gateway, totals } = last;
  const facts = [
    [
      "State",
      html`<${Badge} kind=${gateway.draining ? "warn" : "good"}>${gateway.draining ? "draining" : "serving"}<//>`,
    ],
    ["Version", gateway.version],
    ["Up for", duration(gateway.uptime_ms)],
    ["Links", count(gateway.links)],
    ["Published since start", count(totals.published)],
    ["Calls since start", count(totals.called)],
    ["Failed since start", count(totals.failed)],
  ];
  return html`<${Facts} facts=${facts} />`;
}
