import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_STREAM_LEASE_MS } from "../../src/contract/contract.js";
import { type Envelope, EVENT, newEnvelope, REQUEST, STREAM_END } from "../../src/envelope.js";
import { metricsOf } from "../../src/figures/metrics.js";
import { newCallId } from "../../src/identity.js";
import { Instance } from "../../src/instance.js";
import { Responder } from "../../src/responder.js";
import { Router } from "../../src/router.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { type Owner, Subscription } from "../../src/subscription.js";
import { Route } from "../../src/transport.js";
import { MemoryBroker, MemoryPort } from "../../src/transports/memory.js";
import { Raw } from "../support/raw.js";
import { sleep, until } from "../support/waiting.js";
import { silent } from "../support/world.js";

const owner: Owner = {
  settings: DEFAULT_SETTINGS,
  registered: async () => undefined,
  unsubscribe: async () => undefined,
  raised: () => undefined,
  overloaded: () => undefined,
};

/** A responder with a clock to turn by hand, and the caller that gets its answers. */
function scene(handler: () => unknown) {
  const broker = new MemoryBroker();
  const caller = new Raw();
  caller.port = new MemoryPort(broker, "raw", caller);
  const instance = new Instance("test", DEFAULT_SETTINGS, silent, undefined);
  instance.attach(new MemoryPort(broker, "test", new Raw()));
  const clock = { now: 1000 };
  instance.now = () => clock.now;
  const router = new Router();
  router.add(new Subscription(owner, "a.b", handler, {}));
  const responder = new Responder(instance, router);
  return { caller, responder, clock };
}

function request(caller: Raw): Envelope {
  const { instance: replyTo } = caller.port;
  const stream = { sequence: 0, consumed: 0, window: 3 };
  return { ...newEnvelope(REQUEST), topic: "a.b", callId: newCallId(), replyTo, stream };
}

test("a reader that gives no sign of life does not keep the handler, and is told", async () => {
  let yielded = 0;
  let closed = false;
  const { caller, responder, clock } = scene(async function* endless() {
    try {
      for (;;) yield ++yielded;
    } finally {
      closed = true;
    }
  });
  const asked = request(caller);
  responder.request(asked);
  await until(() => yielded === 4, "three items, and one that waits for room");
  clock.now += DEFAULT_STREAM_LEASE_MS - 1;
  responder.credited({ ...newEnvelope(0), callId: asked.callId, stream: { sequence: 0, consumed: 0, window: 3 } });
  clock.now += DEFAULT_STREAM_LEASE_MS - 1;
  await sleep(300);
  assert.equal(closed, false, "it gave a sign of life");
  clock.now += 2;
  await until(() => closed, "the handler was cancelled");
  const end = caller.answers.at(-1);
  assert.deepStrictEqual([caller.answers.length, end?.kind, end?.stream?.sequence], [4, STREAM_END, 3]);
  assert.match(end?.error?.message ?? "", /no sign of life/);
});

test("how long what is replayed was away is no queue time", async () => {
  const instance = new Instance("test", DEFAULT_SETTINGS, silent, undefined);
  const router = new Router();
  const subscription = new Subscription(owner, "live", () => undefined, {});
  instance.tally.adopt(subscription);
  router.add(subscription);
  const responder = new Responder(instance, router);
  const time = instance.clock.now() - 60_000;
  for (const replay of ["", "r1"]) {
    const envelope = { ...newEnvelope(EVENT), topic: "live", time, replay };
    responder.event({ route: Route.EVENT, pattern: "live", group: "" }, envelope);
  }
  const { queueTime, successEvents } = metricsOf(instance.tally, [subscription]).live;
  assert.deepEqual([successEvents, queueTime.count], [2, 1]);
  assert.ok(queueTime.sum >= 60_000);
});
