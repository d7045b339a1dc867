// Numbers, durations and moments as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const NARROW = "\u202f";

/** A number that is read at a glance: 12,345, then 1.2M. */
export function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Math.abs(value) < 1_000_000 ? whole.format(value) : short.format(value);
}

/** A rate per second: 0.4, 12, 3,400. */
export function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 10) return value < 0.05 ? "<0.1" : value.toFixed(1);
  return count(value);
}

/** A time of some milliseconds: 0.42 ms, 12 ms, 1.5 s. */
export function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return `0${NARROW}ms`;
  if (value < 0.01) return `<0.01${NARROW}ms`;
  if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)}${NARROW}ms`;
  if (value < 1_000) return `${Math.round(value)}${NARROW}ms`;
  return duration(value);
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
];

/** A longer time in its two largest units: 3 d 4 h, 2 min 5 s, 1.5 s. */
export function duration(value) {
  if (value === null || value === undefined) return "–";
  const at = UNITS.findIndex(([, length]) => value >= length);
  if (at < 0) return `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)}${NARROW}s`;
  const [unit, length] = UNITS[at];
  const [next, size] = UNITS[at + 1] ?? ["s", 1_000];
  const rest = Math.floor((value % length) / size);
  return `${Math.floor(value / length)}${NARROW}${unit}${rest ? ` ${rest}${NARROW}${next}` : ""}`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dated = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** A moment in the zone of whoever looks: 14:03:09, or 3 Nov 14:03:09 if it is not today. */
export function moment(at, now = Date.now()) {
  if (!at) return "–";
  const then = new Date(at);
  const today = new Date(now);
  if (then.toDateString() === today.toDateString()) return clock.format(then);
  return `${(then.getFullYear() === today.getFullYear() ? date : dated).format(then)} ${clock.format(then)}`;
}

/** The same with milliseconds. */
export const momentMs = (at) => (at ? `${clock.format(at)}.${String(Math.floor(at % 1000)).padStart(3, "0")}` : "–");

const wholeMoment = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "medium" });
const { timeZone } = wholeMoment.resolvedOptions();

/** All there is to know of a moment, for a title. */
export function exact(at) {
  if (!at) return "";
  return `${wholeMoment.format(at)} (${timeZone})\n${new Date(at).toISOString()}`;
}

/** From now: "in 4 min", "3 h ago". */
export function fromNow(at, now = Date.now()) {
  if (!at) return "–";
  const away = at - now;
  if (Math.abs(away) < 1_000) return "now";
  const told = duration(Math.floor(Math.abs(away) / 1000) * 1000)
    .split(" ")[0]
    .replace(".0", "");
  return away > 0 ? `in ${told}` : `${told} ago`;
}

/** "1 key", "2 keys". */
export const counted = (value, what, many = `${what}s`) => `${count(value)} ${value === 1 ? what : many}`;

/** The begin of a long id. */
export const brief = (id, length = 8) => (id && id.length > length + 2 ? `${id.slice(0, length)}…` : id);

/** Milliseconds since 1970 of what an input for date and time holds, and back. */
export const fromInput = (text) => (text ? new Date(text).getTime() : 0);
export function toInput(at) {
  const then = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return then.toISOString().slice(0, 19);
}
