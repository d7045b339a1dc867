// Is it well? Rates, latency, errors, what waits, and the broker, second by second.
import { count, counted, duration, ms, rate } from "../core/format.js";
import { address, useQuery } from "../core/router.js";
import { useStream } from "../core/sse.js";
import { html, useMemo, useState } from "../core/view.js";
import { Badge } from "../parts/badge.js";
import { Chart } from "../parts/chart.js";
import { Facts } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Trouble } from "../parts/notice.js";

const SHOWN_MS = 120_000;

const RATES = {
  system: [
    { label: "Published", colour: "--chart-1", fill: "--chart-1-soft" },
    { label: "Calls", colour: "--chart-2" },
    { label: "Failed calls", colour: "--chart-3" },
    { label: "Failed handlers", colour: "--chart-4" },
  ],
  gateway: [
    { label: "Published", colour: "--chart-1", fill: "--chart-1-soft" },
    { label: "Calls", colour: "--chart-2" },
    { label: "Failed calls", colour: "--chart-3" },
  ],
};
const NAMES = ["published", "called", "failed", "handler_failed"];
const LATENCIES = [
  { label: "p50", colour: "--chart-2" },
  { label: "p99", colour: "--chart-1", fill: "--chart-1-soft" },
];

export function Overview() {
  const [query, change] = useQuery();
  const of = query("of") === "gateway" ? "gateway" : "system";
  const [{ last, system, gateway }, setSeen] = useState({ last: null, system: [], gateway: [] });
  const state = useStream("/v1/overview/stream", {}, ({ event, data }) => {
    if (event !== "overview") return;
    setSeen((before) => ({
      last: data,
      gateway: joined(before.gateway, data),
      system: data.system ? joined(before.system, data.system) : before.system,
    }));
  });
  const samples = of === "system" ? system : gateway;
  const now = of === "system" ? last?.system?.now : last?.now;
  return html`<${Head} title="Overview" about="Is it well? What all services do, and what waits at the broker." />
    <${Trouble} problem=${state.problem} />
    <${Scope} of=${of} change=${change} told=${last?.system} />
    <${Tiles} of=${of} now=${now} backlog=${last?.backlog} />
    <div class="pair">
      <section class="card" aria-label="Rates"><h2>Per second</h2><${Rates} key=${of} of=${of} samples=${samples} /></section>
      <section class="card" aria-label="Latency"><h2>Round trip of calls</h2><${Latencies} key=${of} samples=${samples} /></section>
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
  return come.length ? [...before, ...come].filter(({ time }) => time > come.at(-1).time - SHOWN_MS) : before;
}

const SCOPES = [
  ["system", "All services"],
  ["gateway", "This gateway"],
];

/** Whose figures these are, and how many of them told theirs. */
const Scope = ({ of, change, told }) => html`<div class="scope">
  <div class="segments" role="group" aria-label="Whose figures">
    ${SCOPES.map(([name, text]) => html`<button type="button" aria-pressed=${of === name} onClick=${() => change({ of: name === "system" ? "" : name })}>${text}</button>`)}
  </div>
  <p class="faint" aria-live="polite">${of === "gateway" ? "What came through this gateway, from clients without Redis and over HTTP." : answers(told)}</p>
</div>`;

function answers(told) {
  if (!told) return "All instances are being asked…";
  const { instances, answered, silent } = told;
  if (answered === instances)
    return `${answered} of ${counted(instances, "instance")} answered, this gateway among them.`;
  const names = `${silent.slice(0, 5).join(", ")}${instances - answered > 5 ? ", …" : ""}`;
  return html`<${Badge} kind="warn">${answered} of ${counted(instances, "instance")} answered<//> What is missing here: ${names || "older versions"}.`;
}

function Tiles({ of, now, backlog }) {
  const handlers =
    of === "system" &&
    html`<${Tile} name="Handled" value=${rate(now?.handled)} unit="/s" to="/services" note=${failing(now)} />`;
  return html`<div class="tiles">
    <${Tile} name="Published" value=${rate(now?.published)} unit="/s" to="/tap" />
    <${Tile} name="Calls" value=${rate(now?.called)} unit="/s" to="/calls" />
    <${Tile} name="Failed calls" value=${rate(now?.failed)} unit="/s" kind=${now?.failed > 0 ? "bad" : ""} to="/calls" />
    ${handlers}
    <${Tile} name="Round trip, p50 · p99" value=${`${ms(now?.p50_ms)} · ${ms(now?.p99_ms)}`} />
    <${Tile} name="In flight" value=${count(now?.in_flight)} to="/calls" />
    <${Tile} name="Waiting" value=${count(backlog?.waiting)} to="/groups" note=${backlog?.parked ? counted(backlog.parked, "parked key") : ""} />
    <${Tile} name="Dead letters" value=${letters(backlog)} kind=${backlog?.dead_letters > 0 ? "bad" : ""} to="/dead-letters" />
  </div>`;
}

const failing = (now) => (now?.handler_failed > 0 ? `${rate(now.handler_failed)} /s failed` : "");

const letters = (backlog) => count(backlog?.dead_letters) + (backlog?.more_dead_letters ? "+" : "");

const Tile = ({ name, value, unit, kind = "", to, note }) => {
  const inside = html`<span class="tile-name">${name}</span>
    <span class="tile-value">${value}${unit && html`<small>${unit}</small>`}</span>
    ${note && html`<span class="tile-note">${note}</span>`}`;
  return to
    ? html`<a class=${`tile ${kind}`} href=${address(to)}>${inside}</a>`
    : html`<div class=${`tile ${kind}`}>${inside}</div>`;
};

/** Of the axis: 0.25 is not 0.3 there. */
const tick = (value) => (value < 10 ? `${+value.toFixed(2)}` : rate(value));

function Rates({ of, samples }) {
  const lines = RATES[of];
  const data = useMemo(() => [times(samples), ...lines.map((_, at) => values(samples, NAMES[at]))], [samples]);
  return html`<${Chart} label="Published events, calls and failures a second, over the last two minutes" data=${data} lines=${lines} format=${rate} tick=${tick} />`;
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
    ["Planned", html`<a href=${address("/schedules")}>${count(last.schedules?.pending)}</a>`],
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
