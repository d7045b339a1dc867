import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadlines } from "../../src/calls/deadlines.js";
import { Clock } from "../../src/clock.js";
import { Trail as WireTrail } from "../../src/contract/envelope.js";
import { EVENT, newEnvelope } from "../../src/envelope.js";
import { Trail } from "../../src/explain/trail.js";
import { EventSystem, type Logger, MemoryBroker, MemoryTransport } from "../../src/index.js";
import { Mailbox, type Work } from "../../src/mailbox.js";
import { Alarm } from "../../src/schedules/alarm.js";
import type { Receiver } from "../../src/transport.js";
import { wellFormed } from "../../src/wellFormed.js";
import { fails, until } from "../support/waiting.js";
import { silent } from "../support/world.js";

const AWKWARD = [`${"x".repeat(199)}😀`, "\ud800", `${"\udc00".repeat(300)}`];

function reporting(): { told: string[]; log: Logger } {
  const told: string[] = [];
  return { told, log: { ...silent, error: (message) => told.push(message) } };
}

test("a text is cut to one that UTF-8 can say", () => {
  assert.deepStrictEqual(
    AWKWARD.map((text) => wellFormed(text, 200)),
    ["x".repeat(199), "\ufffd", "\ufffd".repeat(200)],
  );
  assert.equal(wellFormed("a😀b", 3), "a😀");
  assert.equal(wellFormed("a😀b", 2), "a");
});

for (const where of ["here", "elsewhere"]) {
  test(`whatever a handler ${where} throws reaches its caller, and the next call its handler`, async () => {
    const broker = new MemoryBroker();
    const system = () => new EventSystem({ transport: new MemoryTransport(broker), logger: silent });
    const responder = system();
    const caller = where === "here" ? responder : system();
    const handler = (index: unknown) => {
      throw new Error(AWKWARD[index as number]);
    };
    await responder.subscribe("index", handler, { concurrency: 1 }).ready();
    const failed = await Promise.all(
      AWKWARD.map((_, index) => fails(caller.publishAndWait("index", index, { ttl: 3000 }), "HANDLER_ERROR")),
    );
    assert.ok(failed.every((error) => error.message.length > 0));
    assert.ok((await caller.explain("nobody knows")).steps.length === 0);
    for (const one of new Set([caller, responder])) await one.close();
  });
}

test("a step with a detail that cannot be told does not hide the others", () => {
  const trail = new Trail(10, () => 0);
  const event = { ...newEnvelope(EVENT), id: "1", topic: "a.b" };
  trail.step("dropped", event, { why: Symbol("why") });
  trail.step("dropped", event, { why: "EXPIRED" });
  assert.equal(WireTrail.decode(trail.of("1", "s/i", new Clock())).steps.length, 2);
});

test("the name of a subscription is text", () => {
  const events = new EventSystem({ transport: new MemoryTransport(), logger: silent });
  for (const name of [Symbol("x"), 5, null, {}, "\ud800"]) {
    const options = { name } as unknown as { name: string };
    assert.throws(() => events.subscribe("a.b", () => 1, options), { code: "INVALID_ARGUMENT" });
  }
  const strange = Object.defineProperty(() => 1, "name", { value: Symbol("x") });
  assert.equal(events.subscribe("a.b", strange).name, "a.b");
  assert.equal(events.subscribe("a.>", () => 1).name, "a.>", "whose name is nothing");
  return events.close();
});

for (const [how, act] of Object.entries<() => never | Promise<never>>({
  throw: () => {
    throw new Error("no room on the disk");
  },
  reject: () => Promise.reject(new Error("no room on the disk")),
})) {
  test(`a logger, an observer and an onError that ${how} decide nothing`, async () => {
    const broker = new MemoryBroker();
    const logger = { debug: act, warn: act, error: act };
    const options = { logger, observe: act, onError: act };
    const system = () => new EventSystem({ transport: new MemoryTransport(broker), ...options });
    const [a, b] = [system(), system()];
    const handler = (what: unknown) => {
      if (what === "fail") throw new Error("no");
      return what;
    };
    await a.subscribe("t", handler).ready();
    for (const events of [a, b]) {
      assert.equal(await events.publishAndWait("t", 1), 1);
      await fails(events.publishAndWait("t", "fail"), "HANDLER_ERROR");
      await events.publish("t", "fail", { waitLocal: true });
      void events.publish("no topic!", 1);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([a.close(), b.close()]);
  });
}

test("a mistake while something is received is logged, and does not reach the link", async () => {
  const { told, log } = reporting();
  const transport = new MemoryTransport();
  const open = transport.open.bind(transport);
  let receiver: Receiver | undefined;
  transport.open = (service, given) => {
    receiver = given;
    return open(service, given);
  };
  const events = await new EventSystem({ transport, logger: log }).start();
  const nothing = undefined as never;
  receiver?.onRequest(nothing);
  receiver?.onEvent(nothing, nothing);
  receiver?.onAnswer(nothing);
  receiver?.onDispatched(nothing, "", undefined);
  receiver?.onJoined(nothing, 0, "");
  receiver?.onMail("t", "");
  receiver?.onConnected(null as never);
  assert.equal(told.length, 6);
  await events.close();
});

test("one deadline that cannot be kept stops no other", async () => {
  const { told, log } = reporting();
  const deadlines = new Deadlines();
  const alarm = new Alarm(deadlines, { clock: new Clock(), log });
  const now = performance.now();
  let kept = 0;
  const failing = () => {
    throw new Error("a mistake of ours");
  };
  for (const [after, due] of [
    [1, failing],
    [1, () => kept++],
    [20, () => kept++],
  ] as const) {
    if (deadlines.add(now + after, { done: false, due })) alarm.wakeAt(now + after);
  }
  alarm.hold();
  await until(() => kept === 2, "both others are kept");
  assert.equal(told.length, 1);
});

test("work that throws while it is begun does not stop a mailbox", () => {
  const mailbox = new Mailbox(1, 10);
  const began: string[] = [];
  const work = (name: string, run: () => void = () => undefined): Work => ({
    isEvent: true,
    event: undefined,
    run: () => {
      began.push(name);
      run();
    },
    interrupt: () => undefined,
  });
  const first = work("first");
  const broken: Work = work("broken", () => {
    mailbox.finished(broken);
    throw new Error("a mistake of ours");
  });
  const last = work("last");
  for (const one of [first, broken, last]) mailbox.offer(one);
  assert.throws(() => mailbox.finished(first), /a mistake of ours/);
  mailbox.finished(broken);
  assert.deepStrictEqual(began, ["first", "broken", "last"]);
});
