// The steps of one call on a time axis, a lane for each instance: dots are steps, bars are handlers that run.
import { ms } from "../core/format.js";
import { html } from "../core/view.js";

const LANE = 44;
const LEFT = 210;
const RIGHT = 40;
const WIDTH = 1100;
const TOP = 30;
const APART = 12;

/** What a step says about how it goes: good, warn, bad; else nothing. */
export const KINDS = {
  completed: "good", handled: "good", replied: "good", stored: "good", failed: "bad", dead_letter: "bad", parked: "bad",
  expired: "bad", retried: "warn", dropped: "warn", gap: "warn", cancelled: "warn", redriven: "warn", waiting: "warn",
}; // biome-ignore format: a table

const BEGINS = new Set(["received", "claimed", "running", "accepted"]);
const ENDS = new Set([
  "handled",
  "replied",
  "failed",
  "cancelled",
  "retried",
  "dead_letter",
  "parked",
  "expired",
  "dropped",
]);
const ASKS = new Set(["routed_local", "routed_remote"]);
const ANSWERED = new Set(["completed", "failed", "cancelled"]);
const lane = ({ service, instance }) => `${service}/${instance}`;

export function Timeline({ steps, marked, mark }) {
  const lanes = [...new Set(steps.map(lane))];
  const begin = steps[0].time;
  const length = Math.max(steps.at(-1).time - begin, 1);
  const x = (time) => LEFT + ((time - begin) / length) * (WIDTH - LEFT - RIGHT);
  const y = (step) => TOP + lanes.indexOf(lane(step)) * LANE + LANE / 2;
  const height = TOP + lanes.length * LANE + 8;
  return html`<div class="timeline">
    <svg viewBox=${`0 0 ${WIDTH} ${height}`} role="img" aria-label=${`${steps.length} steps in ${lanes.length} instances; the table below has them all`}>
      ${ticks(length).map((at) => html`<g class="tick"><line x1=${x(begin + at)} x2=${x(begin + at)} y1=${TOP - 6} y2=${height - 8} /><text x=${x(begin + at)} y="14">${ms(at)}</text></g>`)}
      ${lanes.map((name, at) => html`<${Lane} name=${name} at=${at} />`)}
      ${spans(steps, ASKS, ANSWERED).map(([from, to]) => html`<line class="waits" x1=${x(from.time)} x2=${x(to.time)} y1=${y(from)} y2=${y(from)} />`)}
      ${spans(steps, BEGINS, ENDS).map(([from, to]) => html`<rect class=${`bar ${KINDS[to.name] ?? ""}`} x=${x(from.time)} y=${y(from) - 9} width=${Math.max(x(to.time) - x(from.time), 3)} height="18" rx="5" />`)}
      ${spread(steps, x).map(
        ({
          step,
          at,
          place,
        }) => html`<circle class=${`dot ${KINDS[step.name] ?? ""} ${at === marked ? "marked" : ""}`} cx=${place} cy=${y(step)} r=${at === marked ? 8 : 5} onClick=${() => mark(at)}>
          <title>${`${step.name.replaceAll("_", " ")} +${ms(step.time - begin)}\n${step.topic}`}</title>
        </circle>`,
      )}
    </svg>
    <p class="timeline-legend">A bar is a handler that runs, a grey line a caller that waits.</p>
  </div>`;
}

const Lane = ({ name, at }) => {
  const middle = TOP + at * LANE + LANE / 2;
  const cut = name.lastIndexOf("/");
  const [service, instance] = cut < 0 ? [name, ""] : [name.slice(0, cut), name.slice(cut + 1)];
  return html`<g class="lane">
    <title>${name}</title>
    <line x1=${LEFT - 12} x2=${WIDTH - RIGHT + 12} y1=${middle} y2=${middle} />
    <text x="0" y=${middle - 2} class="lane-service">${service.length > 26 ? `${service.slice(0, 25)}…` : service}</text>
    <text x="0" y=${middle + 13} class="lane-instance">${instance.length > 24 ? `${instance.slice(0, 23)}…` : instance}</text>
  </g>`;
};

/** Pairs of the first step that begins something and the first one after it that ends it, in one lane and one call. */
function spans(steps, begins, ends) {
  const open = new Map();
  const found = [];
  for (const step of steps) {
    const key = `${lane(step)} ${step.call_id}`;
    if (open.has(key) && ends.has(step.name)) {
      found.push([open.get(key), step]);
      open.delete(key);
    } else if (begins.has(step.name) && !open.has(key)) open.set(key, step);
  }
  return found;
}

/** Dots of one lane that would cover each other are moved apart a little, in their order and within the picture. */
function spread(steps, x) {
  const dots = steps.map((step, at) => ({ step, at, place: x(step.time) }));
  for (const name of new Set(steps.map(lane))) {
    const own = dots.filter(({ step }) => lane(step) === name);
    own.forEach((dot, at) => {
      if (at) dot.place = Math.max(dot.place, own[at - 1].place + APART);
    });
    let most = WIDTH - RIGHT + APART;
    for (const dot of own.toReversed()) {
      dot.place = Math.min(dot.place, most);
      most = dot.place - APART;
    }
  }
  return dots;
}

/** Four to eight round numbers of milliseconds. */
function ticks(length) {
  const rough = length / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, at) => at * step);
}
