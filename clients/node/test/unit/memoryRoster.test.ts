import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Event } from "../../src/index.js";
import * as testing from "../../src/testing/index.js";

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];
/** 00:00 UTC. */
const START = new Date("2026-03-27T00:00:00Z");

async function system(t: TestContext, start: Date): Promise<testing.System> {
  const broker = new testing.Broker({ clock: new testing.Clock(start) });
  const events = broker.system("test");
  t.after(() => broker.close());
  await events.start();
  return events;
}

const CASES: [name: string, start: string, expression: string, days: number, ticks: string[]][] = [
  [
    "02:30 comes when clocks are put forward past it",
    "2026-03-27T12:00Z",
    "30 2 * * *",
    4,
    ["03-28T01:30", "03-29T01:00", "03-30T00:30", "03-31T00:30"],
  ],
  [
    "02:30 counts once when clocks are put back",
    "2026-10-23T12:00Z",
    "30 2 * * *",
    4,
    ["10-24T00:30", "10-25T00:30", "10-26T01:30", "10-27T01:30"],
  ],
  ["29 February", "2027-12-31T12:00Z", "0 12 29 2 *", 366, ["02-29T11:00"]],
];
for (const [name, start, expression, days, ticks] of CASES) {
  test(`a task ticks by the clocks of its zone: ${name}`, async (t) => {
    const events = await system(t, new Date(start));
    const seen: string[] = [];
    const note = (_: unknown, { scheduled, time }: Event) => {
      assert.deepEqual(time, scheduled);
      seen.push(scheduled?.toISOString().slice(5, 16) ?? "");
    };
    await events.subscribe("due", note).ready();
    await events.cron.create("t", expression, "due", null, { zone: "Europe/Berlin" });
    await events.clock.advance(days * DAY);
    assert.deepEqual(seen, ticks);
    const job = await events.cron.get("t");
    assert.deepEqual([job.runs, job.last?.status], [ticks.length, "completed"]);
    assert.equal((await events.schedules.list({ status: "delivered" })).total, 0);
  });
}

test("a call that fails is tried again after its pause, given up, and may be retried", async (t) => {
  const events = await system(t, START);
  const tries: number[] = [];
  await events
    .subscribe("ask", () => {
      tries.push(events.clock.now() - START.getTime());
      if (tries.length < 4) throw new Error("not yet");
      return "at last";
    })
    .ready();
  const options = { call: true, retries: 2, retryDelay: 10_000, start: START };
  await events.cron.create("t", "every 1h", "ask", null, options);
  await events.clock.advance(HOUR + MINUTE);
  assert.deepEqual(tries, [HOUR, HOUR + 10_000, HOUR + 20_000]);
  const id = `t:${START.getTime() + HOUR}`;
  const failed = await events.schedules.get(id);
  assert.deepEqual([failed.status, failed.error], ["failed", "HANDLER_ERROR: not yet"]);
  assert.deepEqual((await events.cron.get("t")).last?.attempts, 3);
  await events.schedules.retry(id);
  await events.clock.advance(1);
  const { last } = await events.cron.get("t");
  assert.deepEqual([last?.status, last?.reply, last?.tick.getTime()], ["completed", "at last", START.getTime() + HOUR]);
  assert.equal((await events.schedules.list({ status: "failed" })).total, 0);
});

test("ticks of many tasks count once, whichever system fires them", async (t) => {
  const broker = new testing.Broker({ clock: new testing.Clock(START) });
  t.after(() => broker.close());
  const systems = [broker.system("a"), broker.system("b"), broker.system("c")] as const;
  for (const each of systems) await each.start();
  const ids: string[] = [];
  await systems[2].subscribe("due", (_, { id }) => ids.push(id)).ready();
  for (const name of ["x", "y"]) await systems[0].cron.create(name, "every 5s", "due", null, { start: START });
  await broker.clock.advance(12_000);
  await systems[0].close();
  await broker.clock.advance(13_000);
  const expected = ["x", "y"].flatMap((name) => [1, 2, 3, 4, 5].map((at) => `${name}:${START.getTime() + at * 5000}`));
  assert.deepEqual([...ids].sort(), expected.sort());
});
