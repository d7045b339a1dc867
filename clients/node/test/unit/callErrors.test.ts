import assert from "node:assert/strict";
import { test } from "node:test";
import { Call } from "../../src/calls/call.js";
import { lost } from "../../src/calls/callErrors.js";
import { newEnvelope, REQUEST } from "../../src/envelope.js";
import { EventSystem, MemoryBroker, MemoryTransport } from "../../src/index.js";
import { system } from "../../src/testing/index.js";
import { fails } from "../support/waiting.js";
import { silent } from "../support/world.js";

const ELSEWHERE = "with TIELINE_URL others are reached too";

/** What is said to whoever asks where nobody answers. */
async function refusals(events: EventSystem): Promise<string[]> {
  const asked = [events.publishAndWait("nobody.home"), events.publishAndGather("nobody.home")];
  const refused = await Promise.all(asked.map((each) => fails(each, "NO_RESPONDERS")));
  return refused.map(({ message }) => message);
}

test("where nobody answers over memory it is said how far that reaches", async () => {
  await using events = new EventSystem("memory://", { logger: silent });
  for (const message of await refusals(events)) assert.ok(message.endsWith(`(memory://); ${ELSEWHERE}`), message);
  const { message } = await fails(events.publishAndWait("nobody.home", 1, { waitForResponders: 40 }), "NO_RESPONDERS");
  assert.match(message, /^nobody answers "nobody.home" after 40 ms: start a subscriber of it\. This is within one/);
});

test("where others are reached otherwise nobody is sent to a URL", async () => {
  await using shared = new EventSystem({ transport: new MemoryTransport(new MemoryBroker()), logger: silent });
  await using tested = await system();
  for (const events of [shared, tested]) {
    for (const message of await refusals(events)) assert.ok(!message.includes(ELSEWHERE), message);
  }
});

test("the end of a whole stream is told from a pause that was too long", async () => {
  await using events = new EventSystem("memory://", { logger: silent });
  await events
    .subscribe("ticks", () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => 0) }) }))
    .ready();
  const { message } = await fails(events.publishAndStream("ticks", 1, { total: 50 }).next(), "TIMEOUT");
  assert.equal(message, 'the stream from "ticks" was not over within its total of 50 ms');
  const { message: idle } = await fails(events.publishAndStream("ticks", 1, { ttl: 50, total: 500 }).next(), "TIMEOUT");
  assert.equal(idle, 'no item from "ticks" within 50 ms');
});

test("it is said who was lost", () => {
  const waiter = { resolve: () => undefined, reject: () => undefined };
  const call = new Call({ ...newEnvelope(REQUEST), topic: "a.b" }, 1000, waiter);
  call.instance = "r1";
  assert.match(
    lost(call, "its lease ended").message,
    /^the responder of "a.b", instance r1, is gone: its lease ended;/,
  );
});
