import { inspect } from "node:util";
import type { Recorded } from "./recorder.js";

const MOST_LINES = 10;
const MOST_TEXT = 500;
const VERBS = { event: "published", request: "requested" } as const;

/** What was expected; without `times` at least once. */
export interface Wanted {
  readonly kind: Recorded["kind"];
  readonly topic: string;
  readonly data: string;
  readonly times: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** An event or request did not come as often as it should. */
export function unmet(wanted: Wanted, count: number, there: readonly Recorded[], records: readonly Recorded[]): string {
  const verb = VERBS[wanted.kind];
  const expected = wanted.times === undefined ? "" : `, expected ${often(wanted.times)}`;
  if (there.length === 0) return `"${wanted.topic}" was never ${verb}${expected}.\n${everything(records)}`;
  const how = count > 0 ? `${verb} ${often(count)}` : `never ${verb}`;
  const first = `"${wanted.topic}" was ${how}${described(wanted)}${expected}.`;
  return `${first} It was ${verb} ${often(there.length)}:\n${lines(there)}`;
}

/** Something was waited for in vain. */
export function waited(topic: string, times: number, ms: number, records: readonly Recorded[]): string {
  const howOften = times === 1 ? "" : ` ${often(times)}`;
  return `"${topic}" was not published or requested${howOften} within ${ms} ms.\n${everything(records)}`;
}

/** A sequence of topics was not found. */
export function disordered(expected: readonly string[], at: number, records: readonly Recorded[]): string {
  const came = expected.slice(0, at).map((topic) => `"${topic}"`);
  const after = at > 0 ? ` after ${came.join(", ")}` : "";
  return `"${expected[at]}" did not come${after}. In order there was:\n${lines(records)}`;
}

/** A value in a message; of a function its name. */
export function shown(value: unknown): string {
  const text = typeof value === "function" ? value.name || "a function" : told(value);
  return text.length <= MOST_TEXT ? text : `${text.slice(0, MOST_TEXT)}… (${text.length} characters)`;
}

function described({ data, headers }: Wanted): string {
  const text = data === "" ? "" : ` with ${data}`;
  return text + (headers === undefined ? "" : ` and headers ${told(headers)}`);
}

function told(value: unknown): string {
  return inspect(value, { breakLength: Infinity, depth: 8, maxStringLength: null });
}

function often(count: number): string {
  return ["never", "once", "twice"][count] ?? `${count} times`;
}

function lines(records: readonly Recorded[]): string {
  const told = records.slice(0, MOST_LINES).map((record, at) => `  ${at + 1}. ${line(record)}`);
  if (records.length > MOST_LINES) told.push(`  … and ${records.length - MOST_LINES} more`);
  return told.join("\n") || "  nothing";
}

function line({ kind, topic, data, headers }: Recorded): string {
  const more = Object.keys(headers).length === 0 ? "" : ` headers ${told(headers)}`;
  return `${VERBS[kind]} "${topic}" with ${shown(data)}${more}`;
}

function everything(records: readonly Recorded[]): string {
  if (records.length === 0) return "Nothing was published or requested at all.";
  const counts = new Map<string, number>();
  for (const { kind, topic } of records) {
    const what = `"${topic}" ${VERBS[kind]}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return `There was: ${[...counts].map(([what, count]) => `${what} ${often(count)}`).join(", ")}.`;
}
