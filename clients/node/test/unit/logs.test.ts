import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSystem, MemoryTransport, UnavailableError } from "../../src/index.js";
import type { Receiver } from "../../src/transport.js";
import { logging } from "../support/logging.js";
import { gate, sleep, until } from "../support/waiting.js";

/** A transport that hands out the receiver it was opened with. */
function tapped(): { transport: MemoryTransport; receiver: () => Receiver } {
  const transport = new MemoryTransport();
  const open = transport.open.bind(transport);
  let receiver: Receiver | undefined;
  transport.open = (service, given) => {
    receiver = given;
    return open(service, given);
  };
  return { transport, receiver: () => receiver as Receiver };
}

for (const level of ["info", "warn"]) {
  test(`an outage is told from its beginning to its end, and lost events at level ${level}`, async () => {
    const { told, logger } = logging();
    const { transport, receiver } = tapped();
    await using events = await new EventSystem({ transport, logger }).start();
    if (level === "warn") await events.subscribe("a.b", () => 1).ready();
    receiver().onDisconnected("the gateway lost its broker");
    await sleep(120);
    receiver().onDisconnected("the link is cut");
    receiver().onConnected({ since: 0, until: 1000, reason: "the link was cut" });
    const lines = told.map(([at, message]) => `${at} ${message}`);
    assert.match(lines[2] ?? "", /^info the broker is back after 0\.[1-9] s$/);
    const range = "between 1970-01-01T00:00:00.000Z and 1970-01-01T00:00:01.000Z";
    assert.equal(lines[3], `${level} live events ${range} may be lost: the link was cut`);
  });
}

test("a start that fails is told once for each attempt, in one line", async () => {
  const { told, logger } = logging();
  const transport = new MemoryTransport();
  const heard: unknown[] = [];
  transport.open = () => Promise.reject(new UnavailableError("nobody there"));
  await using events = new EventSystem({ transport, logger, onError: (error) => heard.push(error) });
  for (const attempts of [1, 2]) {
    for (const topic of ["a", "b", "c"]) events.subscribe(topic, () => 1);
    await until(() => told.length === attempts, "it is told");
    await sleep(5);
    assert.equal(heard.length, attempts);
  }
  const line = ["error", "the event system did not start: UNAVAILABLE: nobody there", undefined];
  assert.deepStrictEqual(told, [line, line]);
});

test("a first signal says what is waited for", async () => {
  const { told, logger } = logging();
  for (const expected of ["stopping", "stopping; 1 under way have up to 10000 ms; signal again to stop now"]) {
    const held = gate();
    const events = await new EventSystem({ transport: new MemoryTransport(), logger }).start();
    await events.subscribe("held", () => held.opened).ready();
    if (expected !== "stopping") await events.publish("held");
    const over = events.serve();
    await sleep(5);
    process.emit("SIGTERM");
    assert.equal(told.at(-1)?.[1], expected);
    held.open();
    await over;
  }
});

test("the line of an event that failed names the code", async () => {
  const { told, logger } = logging();
  await using events = await new EventSystem({ transport: new MemoryTransport(), logger }).start();
  const old = { schemaVersion: "2", upcasters: [] };
  await events.subscribe("a.b", () => 1, { name: "old", ...old }).ready();
  await events.publish("a.b", 1, { schemaVersion: "1", waitLocal: true });
  assert.match(told[0]?.[1] ?? "", /^handler "old" of "a.b" failed: INVALID_PAYLOAD: /);
});
