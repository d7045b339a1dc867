// A line chart that follows time, drawn by uPlot.
import { store, useStore } from "../core/store.js";
import { html, useEffect, useRef } from "../core/view.js";
import Plot from "../vendor/uplot.js";

const HEIGHT = 184;
const LEAST_SECONDS = 30;
const MOST_SECONDS = 120;

/** Changes when the colours change. */
export const colours = store(0);

/**
 * `data`: an array of seconds, then one array for each of `lines`: `{label, colour, fill}`, colour being a token's name.
 * `format` writes a value, and `tick` one of the axis. Charts of one `group` show the same moment under the pointer.
 */
export function Chart({ label, data, lines, format, tick = format, group = "charts" }) {
  const room = useRef(null);
  const plot = useRef(null);
  const latest = useRef(data);
  latest.current = data;
  const painted = useStore(colours);

  useEffect(() => {
    const where = room.current;
    const width = () => Math.max(200, where.clientWidth);
    plot.current = new Plot(options({ lines, format, tick, group, width: width() }), latest.current, where);
    const watching = new ResizeObserver(() => plot.current?.setSize({ width: width(), height: HEIGHT }));
    watching.observe(where);
    return () => {
      watching.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [painted]);
  useEffect(() => plot.current?.setData(data), [data]);

  return html`<div class="chart" role="img" aria-label=${label} ref=${room}></div>`;
}

function options({ lines, format, tick, group, width }) {
  const colour = paint();
  const axis = { stroke: colour("--ink-faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  return {
    width,
    height: HEIGHT,
    padding: [8, 26, 0, 0],
    cursor: { sync: { key: group }, y: false, points: { size: 7 } },
    legend: { live: true },
    scales: {
      x: {
        range: (_plot, first, last) => [Math.max(last - MOST_SECONDS, Math.min(first, last - LEAST_SECONDS)), last],
      },
      y: { range: (_plot, _low, high) => [0, Math.max(high * 1.15, 1)] },
    },
    axes: [
      { ...axis, font, space: 80, size: 28, values: (_plot, moments) => moments.map(clock) },
      { ...axis, font, size: 54, space: 36, values: (_plot, values) => values.map((value) => tick(value)) },
    ],
    series: [
      { label: "Time", value: (_plot, at) => (at ? clock(at) : "now") },
      ...lines.map(({ label, colour: token, fill }) => ({
        label,
        stroke: colour(token),
        width: 1.75,
        fill: fill && colour(fill),
        points: { show: false },
        value: (plotted, value, _series, at) =>
          format(at === null ? plotted.data.at(lineOf(lines, label)).at(-1) : value),
      })),
    ],
  };
}

const lineOf = (lines, label) => lines.findIndex((each) => each.label === label) + 1;
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

/** Canvas knows no tokens: an element tells which colour they are at the moment. */
function paint() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const told = (token) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  queueMicrotask(() => probe.remove());
  return told;
}
