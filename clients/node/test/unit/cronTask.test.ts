import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CronCall,
  type CronEvent,
  type CronTask,
  checkTask,
  cronTask,
  decodeTask,
  due,
  encodeTask,
  fireTime,
  type Misfire,
  tickAfter,
} from "../../src/cron/task.js";
import { InvalidArgumentError } from "../../src/errors.js";
import { vectors } from "../support/vectors.js";

interface Action {
  kind: "event" | "call";
  topic: string;
  data: string;
  content_type: string;
  ttl: number;
  headers: Record<string, string>;
  key?: string;
  durable?: boolean;
  priority?: number;
}

interface Vectors {
  jitter: { name: string; jitter: number; tick: string; fire: string }[];
  due: (Pick<CronTask, "expression" | "zone" | "misfire" | "grace" | "jitter" | "paused"> & {
    why: string;
    start: string | null;
    end: string | null;
    expected: string;
    now: string;
    ticks: string[];
    next: string | null;
    missed: string | null;
  })[];
  tasks: (Omit<CronTask, "action" | "retryDelay"> & { hex: string; retry_delay: number; action: Action })[];
}

const all = vectors<Vectors>("cron");
const NOON = Date.parse("2026-01-01T12:00:00Z");
const SENT = { topic: "a.b", data: Buffer.alloc(0), contentType: "", ttl: 0, headers: {} };
const EVENT: CronEvent = { kind: "event", ...SENT, key: "", durable: false, priority: 0 };
const minutely = cronTask({ name: "minutely", expression: "* * * * *", action: EVENT });

function iso(moment: number): string {
  return new Date(moment).toISOString().replace(".000Z", "Z");
}

function maybe(moment: number | undefined): string | null {
  return moment === undefined ? null : iso(moment);
}

for (const { name, jitter, tick, fire } of all.jitter) {
  test(`jitter is the same everywhere: ${name} ${jitter}`, () => {
    assert.equal(iso(fireTime({ ...minutely, name, jitter }, Date.parse(tick))), fire);
  });
}

for (const { why, start, end, expected, now, ticks, next, missed, ...given } of all.due) {
  test(`what is due: ${why}`, () => {
    const bounds = { start: start === null ? 0 : Date.parse(start), end: end === null ? 0 : Date.parse(end) };
    const found = due({ ...minutely, name: "t", ...given, ...bounds }, Date.parse(expected), Date.parse(now));
    assert.deepEqual(found.ticks.map(iso), ticks);
    assert.equal(maybe(found.next), next);
    assert.equal(maybe(found.missed), missed);
  });
}

test("catching up goes on where it stopped", () => {
  const task: CronTask = { ...minutely, expression: "every 1s", misfire: "catch_up", start: NOON };
  const ticks: number[] = [];
  let expected = NOON;
  for (const wanted of [1000, 1000, 501]) {
    const found = due(task, expected, NOON + 2_500_000);
    assert.equal(found.ticks.length, wanted);
    ticks.push(...found.ticks);
    expected = found.next ?? 0;
  }
  assert.deepEqual(
    ticks,
    Array.from({ length: 2501 }, (_, index) => NOON + index * 1000),
  );
  assert.deepEqual(due(task, expected, NOON + 2_500_000).ticks, []);
});

test("ten years away cost nothing", () => {
  const now = NOON + 315_360_000_500;
  for (const misfire of ["skip", "fire_once"] as Misfire[]) {
    const found = due({ ...minutely, expression: "* * * * * *", misfire, grace: 0 }, NOON, now);
    assert.deepEqual(found, { ticks: misfire === "skip" ? [] : [now - 500], next: now + 500, missed: NOON });
  }
});

test("a task that is paused, or over, has no tick", () => {
  assert.equal(tickAfter(minutely, NOON), NOON + 60_000);
  assert.equal(tickAfter({ ...minutely, paused: true }, NOON), undefined);
  assert.equal(tickAfter({ ...minutely, end: NOON + 60_000 }, NOON + 60_000), undefined);
});

function actionOf({ content_type: contentType, data, key, durable, priority, ...rest }: Action): CronEvent | CronCall {
  const sent = { ...rest, contentType, data: Buffer.from(data, "hex") };
  if (rest.kind === "call") return { ...sent, kind: "call" };
  return { ...sent, kind: "event", key: key ?? "", durable: durable ?? false, priority: priority ?? 0 };
}

for (const { hex, action, retry_delay: retryDelay, ...given } of all.tasks) {
  test(`a task as bytes: ${given.name}`, () => {
    const task: CronTask = { ...given, retryDelay, action: actionOf(action) };
    checkTask(task);
    assert.equal(encodeTask(task).toString("hex"), hex);
    assert.deepEqual(decodeTask(Buffer.from(hex, "hex")), task);
  });
}

test("a task that makes no sense is refused", () => {
  const nonsense: [Record<string, unknown>, string][] = [
    [{ name: "" }, 'name of a cron task has 1 to 128 of the characters A-Z a-z 0-9 _ - / ., not ""'],
    [{ name: "a:b" }, "name of a cron task has"],
    [{ name: 5 }, "name of a cron task has"],
    [{ expression: "61 * * * *" }, 'minute "61"'],
    [{ zone: "Europe/Nowhere" }, "zone"],
    [{ jitter: -1 }, "jitter of a cron task is a whole number from 0 to 86400000, not -1"],
    [{ jitter: 86_400_001 }, "jitter"],
    [{ grace: 1.5 }, "grace"],
    [{ start: true }, "start"],
    [{ retries: 1001 }, "retries"],
    [{ retryDelay: -5 }, "retry_delay"],
    [{ misfire: "never" }, 'misfire of a cron task is one of skip, fire_once, catch_up, not "never"'],
    [{ misfire: "toString" }, "misfire"],
    [{ start: NOON, end: NOON - 1 }, "end of a cron task comes before the first tick of"],
    [{ expression: "0 0 1 1 *", start: NOON, end: NOON + 1 }, "end"],
  ];
  for (const [change, says] of nonsense) {
    assert.throws(
      () => checkTask({ ...minutely, ...change } as CronTask),
      (error) => error instanceof InvalidArgumentError && error.message.startsWith(says),
      JSON.stringify(change),
    );
  }
});
