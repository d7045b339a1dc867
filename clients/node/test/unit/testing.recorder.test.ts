import { AssertionError } from "node:assert";
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { z } from "zod";
import { EventSystem } from "../../src/index.js";
import * as testing from "../../src/testing/index.js";
import { fails } from "../support/waiting.js";
import { Watched } from "../support/watched.js";

/** A shop whose handlers publish and call in turn. */
async function shop(t: TestContext, remote = false): Promise<testing.System> {
  const events = await testing.system("shop", { remote });
  t.after(() => events.close());
  events.subscribe<{ id: number }>("order.placed", async ({ id }) => {
    await events.publishAndWait("stock.reserve", id);
    await events.publish("invoice.sent", { order: id }, { headers: { tenant: "a", x: "1" } });
  });
  events.subscribe("stock.reserve", () => "reserved");
  return events;
}

/** What an assertion says when it fails. */
function failure(assertion: () => void): string {
  try {
    assertion();
  } catch (error) {
    assert.ok(error instanceof AssertionError, String(error));
    return error.message;
  }
  return assert.fail("the assertion held");
}

for (const remote of [false, true]) {
  test(`everything is recorded in the order of the program, handled ${remote ? "elsewhere" : "here"}`, async (t) => {
    const events = await shop(t, remote);
    const { recorder } = events;
    await events.publish("order.placed", { id: 7 });
    await events.clock.settle();
    assert.deepEqual(
      recorder.records.map(({ kind, topic, data }) => [kind, topic, data]),
      [
        ["event", "order.placed", { id: 7 }],
        ["request", "stock.reserve", 7],
        ["event", "invoice.sent", { order: 7 }],
      ],
    );
    assert.deepEqual(recorder.published("invoice.*")[0]?.headers, { tenant: "a", x: "1" });
    assert.deepEqual(
      recorder.requested().map((record) => record.data),
      [7],
    );
    recorder.assertOrder("order.placed", "invoice.sent");
    recorder.clear();
    recorder.assertNotPublished();
  });
}

test("assertions hold for what happened", async (t) => {
  const events = await shop(t);
  const { recorder } = events;
  for (const id of [1, 2, 2]) await events.publish("order.placed", { id });
  await events.clock.settle();
  recorder.assertPublished("order.placed");
  recorder.assertPublished("order.placed", undefined, { times: 3 });
  recorder.assertPublished("order.placed", { id: 2 }, { times: 2 });
  recorder.assertPublished("invoice.sent", (data: { order: number }) => data.order === 1, {
    times: 1,
    headers: { tenant: "a" },
  });
  recorder.assertRequested("stock.reserve", 2, { times: 2 });
  recorder.assertNotPublished("order.placed", { id: 3 });
  recorder.assertNotRequested("order.placed");
});

test("a failed assertion tells what was published instead", async (t) => {
  const events = await shop(t);
  const { recorder } = events;
  for (const id of [1, 2]) await events.publish("order.placed", { id });
  await events.clock.settle();
  const failed = (...expected: Parameters<testing.Recorder["assertPublished"]>) =>
    failure(() => recorder.assertPublished(...expected));
  assert.equal(
    failed("order.placed", { id: 3 }),
    '"order.placed" was never published with { id: 3 }. It was published twice:\n' +
      '  1. published "order.placed" with { id: 1 }\n' +
      '  2. published "order.placed" with { id: 2 }',
  );
  const twice = '"order.placed" was published once with { id: 1 }, expected twice. It was published twice:\n';
  assert.ok(failed("order.placed", { id: 1 }, { times: 2 }).startsWith(twice));
  assert.equal(
    failed("order.place", { id: 1 }),
    '"order.place" was never published.\n' +
      'There was: "order.placed" published twice, "stock.reserve" requested twice, "invoice.sent" published twice.',
  );
  assert.match(failed("invoice.sent", undefined, { headers: { tenant: "b" } }), /headers \{ tenant: 'b' \}/);
  assert.match(failed("invoice.sent", undefined, { headers: { y: "" } }), /headers \{ tenant: 'a', x: '1' \}/);
  assert.match(
    failure(() => recorder.assertNotPublished("order.placed", { id: 1 })),
    /^"order.placed" was published once with \{ id: 1 \}, expected never\./,
  );
  assert.match(
    failure(() => recorder.assertNotRequested("stock.reserve")),
    /^"stock.reserve" was requested twice, expected never\./,
  );
  assert.match(
    failure(() => recorder.assertOrder("order.*", "order.placed", "order.placed")),
    /^"order.placed" did not come after "order.\*", "order.placed". In order there was:\n {2}1. published "order.placed"/,
  );
});

test("a failed assertion says when there was nothing", async (t) => {
  const events = await shop(t);
  assert.equal(
    failure(() => events.recorder.assertRequested("t", undefined, { times: 3 })),
    '"t" was never requested, expected 3 times.\nNothing was published or requested at all.',
  );
});

test("a failed assertion is not longer than can be read", async (t) => {
  const events = await shop(t);
  for (let count = 0; count < 50; count++) await events.publish("t", "x".repeat(10_000));
  const said = failure(() => events.recorder.assertPublished("t", 1));
  assert.ok(said.length < 8000);
  assert.match(said, /… and 40 more/);
  assert.match(said, /… \(10002 characters\)/);
});

test("one can wait for what will be published", async (t) => {
  const events = await shop(t);
  const waiting = new Watched(events.recorder.waitFor("invoice.sent", { times: 2 }));
  for (const id of [1, 2]) {
    assert.equal(waiting.done, false);
    await events.publish("order.placed", { id });
  }
  assert.deepEqual(
    (await waiting.value()).map((record) => record.data),
    [{ order: 1 }, { order: 2 }],
  );
});

test("waiting in vain ends with what there was", async (t) => {
  const events = await shop(t);
  await events.publish("order.placed", { id: 1 });
  await assert.rejects(events.recorder.waitFor("invoice.sent", { times: 2, timeout: 50 }), {
    name: "AssertionError",
    message:
      '"invoice.sent" was not published or requested twice within 50 ms.\n' +
      'There was: "order.placed" published once, "stock.reserve" requested once, "invoice.sent" published once.',
  });
});

test("streams, gathers and calls that nobody answers are requests", async (t) => {
  const events = await shop(t);
  events.subscribe("numbers", function* () {
    yield 1;
  });
  for await (const item of events.publishAndStream("numbers", 1)) assert.equal(item, 1);
  await events.publishAndGather("stock.reserve", 2);
  await fails(events.publishAndWait("nobody", 3), "NO_RESPONDERS");
  assert.deepEqual(
    events.recorder.requested().map((record) => record.data),
    [1, 2, 3],
  );
});

test("payloads are compared as they were given or as they arrive", async (t) => {
  const events = await shop(t);
  const changing = { id: 1 };
  const given = { id: 7, nothing: undefined, bytes: new Uint8Array([1]) };
  await events.publish("t", given);
  await events.publish("u", changing);
  changing.id = 2;
  events.recorder.assertPublished("t", given);
  events.recorder.assertNotPublished("t", { ...given, id: 8 });
  events.recorder.assertPublished("u", { id: 1 });
});

test("what was refused or never left was not published", async (t) => {
  const events = await shop(t);
  await fails(events.publish("no good topic"), "INVALID_TOPIC");
  await fails(
    events.publish("t", () => undefined),
    "INVALID_PAYLOAD",
  );
  await events.faults.cut();
  await fails(events.publish("t"), "UNAVAILABLE");
  events.recorder.assertNotPublished();
});

test("a request that the handler refuses was made", async (t) => {
  const events = await shop(t);
  events.subscribe("count", (numbers) => numbers.length, { input: z.array(z.number()) });
  await fails(events.publishAndWait("count", 7), "INVALID_PAYLOAD");
  events.recorder.assertRequested("count", 7);
  await fails(events.publishAndWait("count", Symbol("s")), "INVALID_PAYLOAD");
  assert.equal(events.recorder.requested().length, 1);
});

test("a recorder listens to a system of the program's own", async () => {
  const recorder = new testing.Recorder();
  const events = new EventSystem("memory://", { middleware: [recorder] });
  await events.publish("t", 1);
  await events.close();
  recorder.assertPublished("t", 1);
});

test("what never left is not recorded", async (t) => {
  const events = await shop(t);
  const { recorder, faults } = events;
  await fails(events.publishAndStream("no.body", 1).next(), "NO_RESPONDERS");
  recorder.assertRequested("no.body", 1, { times: 1 });
  recorder.clear();
  await fails(events.publishAndStream("bad.payload", () => 1).next(), "INVALID_PAYLOAD");
  await faults.cut(events);
  await fails(events.publishAndWait("away.call", 1), "UNAVAILABLE");
  await fails(events.publishAndStream("away.stream", 1).next(), "UNAVAILABLE");
  await fails(events.publishAndWait("aborted.call", 1, { signal: AbortSignal.abort() }), "CANCELLED");
  recorder.assertNotRequested();
});
