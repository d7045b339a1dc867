import assert from "node:assert/strict";
import { test } from "node:test";
import { DURATION_SHOWN_NS, METRICS } from "../../src/contract/contract.js";
import { type Event, EventSystem, exposition } from "../../src/index.js";
import * as testing from "../../src/testing/index.js";
import { fails } from "../support/waiting.js";

// That Prometheus's own parser reads it is seen in the conformance cases of figures.

test("what was counted is told in the text format, in seconds", async (t) => {
  const events = await testing.system();
  t.after(() => events.close());
  events.subscribe("shop.slow", (ms: number, event: Event) => event.clock.sleep(ms));
  for (const ms of [1, 300, 3000, 90_000]) {
    const handled = events.publish("shop.slow", ms, { waitLocal: true });
    await events.clock.advance(100_000);
    await handled;
  }
  await fails(events.publishAndWait("nobody"), "NO_RESPONDERS");
  const lines = (await events.prometheus()).split("\n");
  const labels = 'topic="shop.slow",group="",kind="live"';
  const name = "tieline_event_handle_time_seconds";
  assert.ok(lines.includes(`# TYPE ${name} histogram`));
  assert.ok(lines.includes(`# HELP ${name} ${METRICS.eventHandleTimeSeconds.help}`));
  const buckets = lines.filter((line) => line.startsWith(`${name}_bucket`));
  assert.equal(buckets.length, DURATION_SHOWN_NS.length + 1);
  for (const [le, count] of Object.entries({ 0.0001: 0, 0.001: 1, 0.25: 1, 0.5: 2, 5: 3, 25: 3, "+Inf": 4 })) {
    assert.ok(buckets.includes(`${name}_bucket{${labels},le="${le}"} ${count}`), le);
  }
  assert.ok(lines.includes(`${name}_sum{${labels}} 93.301`));
  assert.ok(lines.includes(`${name}_count{${labels}} 4`));
  assert.ok(lines.includes('tieline_call_errors_total{code="NO_RESPONDERS"} 1'));
  assert.ok(lines.includes("tieline_connected 1"));
  assert.equal(lines.at(-1), "");
});

test("labels are escaped, and groups are told where they are given", () => {
  const about = { since: undefined, keys: 1, waiting: 2, pending: 3, parked: 4, oldest: 5500 };
  const told = exposition(new EventSystem("memory://").metrics(), [{ topic: "a", name: 'say "hi"\\\n', ...about }]);
  const labels = 'topic="a",group="say \\"hi\\"\\\\\\n"';
  assert.ok(told.includes(`tieline_group_oldest_seconds{${labels}} 5.5\n`));
  assert.ok(told.includes(`tieline_group_keys{${labels}} 1\n`));
});

test("planned events are counted, and told of the broker's if that is asked", async (t) => {
  const events = await testing.system();
  t.after(() => events.close());
  for (let number = 0; number < 3; number++) await events.publish("later", number, { delay: 60_000 * (1 + number) });
  await events.schedules.cancel((await events.publish("later", 3, { delay: 600_000 })).id);
  await events.clock.advance(70_000);
  const lines = (await events.prometheus({ schedules: true })).split("\n");
  for (const [name, count] of Object.entries({ planned: 4, delivered: 1, failed: 0, expired: 0, cancelled: 1 })) {
    assert.ok(lines.includes(`tieline_schedules_${name}_total ${count}`), name);
  }
  for (const [status, count] of Object.entries({ pending: 2, delivered: 1, failed: 0, expired: 0, cancelled: 1 })) {
    assert.ok(lines.includes(`tieline_schedules{status="${status}"} ${count}`), status);
  }
  assert.ok(!(await events.prometheus()).includes("tieline_schedules{"));
});

test("an option that nobody knows is refused", async () => {
  const events = new EventSystem("memory://");
  await fails(events.prometheus({ group: true } as never), "INVALID_ARGUMENT");
});
