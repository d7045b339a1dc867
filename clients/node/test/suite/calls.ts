import assert from "node:assert/strict";
import { test } from "node:test";
import { currentEvent, type Handler, HandlerError, type TielineError } from "../../src/index.js";
import { fails, failure, gate, sleep, timed, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

export function callTests(world: World): void {
  test("a call returns what the handler returned, here and elsewhere", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe<number[]>("calculate.sum", (numbers) => numbers.reduce((sum, n) => sum + n, 0)).ready();
    assert.equal(await a.publishAndWait("calculate.sum", [1, 2, 3, 4, 5]), 15);
    assert.equal(await b.publishAndWait("calculate.sum", [1, 2, 3]), 6);
    await b.subscribe("nothing.back", () => undefined).ready();
    assert.equal(await a.publishAndWait("nothing.back"), null);
    assert.equal(await b.publishAndWait("nothing.back"), null);
  });

  test("no responders is told at once", async () => {
    const a = world.system({ settings: { respondersGrace: 60_000 } });
    await a.start();
    const [error, ms] = await timed(fails(a.publishAndWait("no.body"), "NO_RESPONDERS"));
    assert.equal(error.outcome, "NOT_DELIVERED");
    assert.equal(error.retryable, true);
    assert.ok(ms < 10_000, `${ms} ms`);
  });

  test("subscribers of wildcards, batches and observers do not answer", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("only.*", () => 1).ready();
    await b.subscribe("only.events", () => 1, { observe: true }).ready();
    await b.subscribe("only.events", () => 1, { batch: { size: 1 } }).ready();
    await fails(a.publishAndWait("only.events"), "NO_RESPONDERS");
  });

  test("responders take turns, whatever their group", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    await b.subscribe("turn.take", () => "b", { group: "g" }).ready();
    await c.subscribe("turn.take", () => "c").ready();
    const answers = await Promise.all(Array.from({ length: 100 }, () => a.publishAndWait("turn.take")));
    const share = answers.filter((answer) => answer === "b").length;
    assert.ok(share >= 45 && share <= 55, `${share} of 100`);
  });

  test("the answer of a handler in the same process is preferred", async () => {
    const [a, b] = [world.system(), world.system()];
    await a.subscribe("near.by", () => "near").ready();
    await b.subscribe("near.by", () => "far").ready();
    for (let n = 0; n < 10; n++) assert.equal(await a.publishAndWait("near.by"), "near");
  });

  test("what a handler throws reaches the caller the same way, here and elsewhere", async () => {
    const [a, b] = [world.system(), world.system()];
    class KeyError extends Error {
      override readonly name = "KeyError";
      readonly details = { key: "x" };
    }
    await b
      .subscribe("throws.up", (kind) => {
        if (kind === "ours") throw new HandlerError("mine", { details: { a: 1 } });
        if (kind === "text") throw "just text";
        throw new KeyError("no such key");
      })
      .ready();
    for (const kind of ["key", "text", "ours"]) {
      const [far, near] = [
        await failure(a.publishAndWait("throws.up", kind)),
        await failure(b.publishAndWait("throws.up", kind)),
      ];
      assert.deepStrictEqual(facts(far), facts(near));
    }
    const error = await fails(a.publishAndWait("throws.up"), "HANDLER_ERROR");
    assert.deepStrictEqual(
      [error.type, error.message, error.details, error.outcome, error.retryable, error.fromWire],
      ["KeyError", "no such key", { key: "x" }, "RAN", false, true],
    );
  });

  test("whatever a handler throws or returns ends its call, and harms no other", async () => {
    const [a, b] = [world.system(), world.system()];
    const broken = () => {
      throw new Error("it cannot be read");
    };
    const strange: Record<string, () => unknown> = {
      bare: () => Object.create(null),
      symbol: () => Symbol("s"),
      nothing: () => undefined,
      details: () => Object.assign(new Error("details"), { details: Object.defineProperty({}, "a", getter(broken)) }),
      detail: () => Object.defineProperty(new Error("detail"), "details", getter(broken)),
      nested: () => Object.assign(new Error("nested"), { details: { a: { toJSON: broken } } }),
      ours: () => new HandlerError("ours", { details: Object.defineProperty({}, "a", getter(broken)) }),
      message: () => Object.assign(new Error(), { message: Object.create(null), name: 7 }),
      proxy: () => new Proxy({}, { getPrototypeOf: broken, get: broken, has: broken }),
    };
    const make = (kind: string) => strange[kind]?.();
    const handlers: Handler<string>[] = [
      (kind) => {
        throw make(kind);
      },
      async (kind) => {
        await sleep(1);
        throw make(kind);
      },
      // biome-ignore-start lint/suspicious/noThenProperty: it is what is tested
      () => Object.defineProperty({}, "then", getter(broken)),
      () => ({ then: broken }),
      // biome-ignore-end lint/suspicious/noThenProperty: it is what is tested
      () => ({ toJSON: broken }),
    ];
    for (const [at, handler] of handlers.entries()) {
      const topic = `strange.number${at}`;
      const answer: Handler<string> = (kind, event) => (kind === "well" ? "well" : handler(kind, event));
      await b.subscribe(topic, answer, { concurrency: 1 }).ready();
      for (const kind of Object.keys(strange)) {
        for (const system of [a, b]) {
          const error = await fails(system.publishAndWait(topic, kind, { ttl: 5000 }), "HANDLER_ERROR");
          assert.equal(error.outcome, "RAN");
        }
      }
      for (const system of [a, b]) assert.equal(await system.publishAndWait(topic, "well"), "well");
    }
  });

  test("a reply that cannot travel is the handler's failure", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("bad.reply", () => ({ f: () => 1 })).ready();
    for (const system of [a, b]) {
      const error = await fails(system.publishAndWait("bad.reply"), "HANDLER_ERROR");
      assert.deepStrictEqual([error.type, error.outcome], ["InvalidPayloadError", "RAN"]);
    }
  });

  test("a failed nested call is the handler's error, with the code in its details", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("outer.call", () => b.publishAndWait("inner.nobody")).ready();
    const error = await fails(a.publishAndWait("outer.call"), "HANDLER_ERROR");
    assert.deepStrictEqual([error.type, error.details.code], ["NoRespondersError", "NO_RESPONDERS"]);
  });

  test("a call ends at its deadline, and the handler is told", async () => {
    const [a, b] = [world.system(), world.system()];
    const told: string[] = [];
    await b
      .subscribe("too.slow", async (_, event) => {
        event.signal.addEventListener("abort", () => told.push(event.signal.reason.code));
        await sleep(30_000, undefined, { ref: false });
      })
      .ready();
    for (const system of [a, b]) {
      const [error, ms] = await timed(fails(system.publishAndWait("too.slow", 1, { ttl: 1000 }), "TIMEOUT"));
      assert.equal(error.outcome, "MAY_HAVE_RUN");
      assert.ok(ms >= 999 && ms < 10_000, `${ms} ms`);
    }
    await until(() => told.length === 2, "both handlers are told");
  });

  test("an idempotent call that timed out is retryable, here and elsewhere", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("never.ends", (_, event) => sleep(60_000, undefined, { signal: event.signal })).ready();
    for (const caller of [a, b]) {
      const error = await fails(caller.publishAndWait("never.ends", 1, { ttl: 1000, idempotent: true }), "TIMEOUT");
      assert.equal(error.outcome, "MAY_HAVE_RUN");
      assert.equal(error.retryable, true);
    }
  });

  test("ACCEPTED shows in what a timeout tells", async () => {
    const [a, b] = [world.system(), world.system({ settings: { acceptAfter: 20 } })];
    await b.subscribe("long.work", () => sleep(30_000, undefined, { ref: false })).ready();
    const error = await fails(a.publishAndWait("long.work", 1, { ttl: 1500 }), "TIMEOUT");
    assert.equal(error.details.accepted, true);
  });

  test("a nested call inherits the remaining time", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    const remaining: number[] = [];
    await c.subscribe("deep.inner", (_, event) => void remaining.push(event.remaining())).ready();
    await b
      .subscribe("deep.outer", async (_, event) => {
        await sleep(600);
        assert.equal(currentEvent(), event);
        await b.publishAndWait("deep.inner", 1, { ttl: 20_000 });
      })
      .ready();
    await a.publishAndWait("deep.outer", 1, { ttl: 10_000 });
    assert.ok((remaining[0] ?? 0) > 2000 && (remaining[0] ?? Infinity) <= 9700, String(remaining));
  });

  test("a caller that gives up cancels the handler and the calls it made", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    const told: string[] = [];
    const listen = (name: string, signal: AbortSignal) =>
      signal.addEventListener("abort", () => told.push(`${name} ${signal.reason.code}`));
    let begun = false;
    const inner: Handler = (_, event) => {
      listen("inner", event.signal);
      begun = true;
      return sleep(30_000, undefined, { ref: false });
    };
    const outer: Handler = (_, event) => {
      listen("outer", event.signal);
      return b.publishAndWait("give.inner");
    };
    await c.subscribe("give.inner", inner).ready();
    await b.subscribe("give.outer", outer).ready();
    const control = new AbortController();
    const call = fails(a.publishAndWait("give.outer", 1, { signal: control.signal }), "CANCELLED");
    await until(() => begun, "the inner call has begun");
    control.abort(new Error("enough"));
    const [error, ms] = await timed(call);
    assert.ok(ms < 10_000, `${ms} ms`);
    assert.equal((error.cause as Error).message, "enough");
    await until(() => told.length === 2, "both handlers are told");
    assert.deepStrictEqual(told.sort(), ["inner CANCELLED", "outer CANCELLED"]);
    await fails(a.publishAndWait("give.outer", 1, { signal: AbortSignal.abort() }), "CANCELLED");
  });

  test("a saturated responder refuses, another one is asked, then OVERLOADED with when to come back", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    const held = gate();
    const slow = () => held.opened.then(() => "done");
    await b.subscribe("busy.work", slow, { concurrency: 1, queue: 0 }).ready();
    await c.subscribe("busy.work", slow, { concurrency: 1, queue: 0 }).ready();
    const calls = Array.from({ length: 3 }, () => a.publishAndWait("busy.work").catch((error: TielineError) => error));
    await Promise.race(calls);
    held.open();
    const answers = await Promise.all(calls);
    assert.deepStrictEqual(answers.filter((answer) => answer === "done").length, 2);
    const refused = answers.find((answer) => answer !== "done") as TielineError;
    assert.deepStrictEqual([refused.code, refused.outcome, refused.retryable], ["OVERLOADED", "NOT_DELIVERED", true]);
    assert.ok((refused.retryAfter ?? 0) > 0);
  });

  test("who calls and publishes without ever waiting lets others run", async () => {
    const system = world.system();
    await system.subscribe("never.waits", (data) => data).ready();
    let turns = 0;
    const others = setInterval(() => turns++, 0);
    const busy = async (work: () => Promise<unknown>) => {
      turns = 0;
      for (const begun = process.cpuUsage(); spent(begun) < 200; ) await work(); // a busy machine may give us less
      assert.ok(turns > 2, `${turns} turns`);
    };
    try {
      await busy(() => system.publishAndWait("never.waits", 1));
      await busy(() => system.publish("never.waits", 1));
    } finally {
      clearInterval(others);
    }
  });

  test("a local responder without room sends the call elsewhere, and its refusal is the result if nobody is there", async () => {
    const [a, b] = [world.system(), world.system()];
    const held = gate();
    await a.subscribe("spill.over", () => held.opened.then(() => "near"), { concurrency: 1, queue: 0 }).ready();
    const first = a.publishAndWait("spill.over");
    await fails(a.publishAndWait("spill.over"), "OVERLOADED");
    await b.subscribe("spill.over", () => "far").ready();
    assert.equal(await a.publishAndWait("spill.over"), "far");
    held.open();
    assert.equal(await first, "near");
  });

  test("without room here, one refusal from elsewhere is not the end", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    const held = gate();
    let begun = 0;
    const wait = () => {
      begun += 1;
      return held.opened;
    };
    const narrow = { concurrency: 1, queue: 0 };
    for (const system of [b, a]) await system.subscribe("spill.twice", wait, narrow).ready();
    const busy = [a, b].map((system) => system.publishAndWait("spill.twice"));
    await until(() => begun === 2, "both are busy");
    await c.subscribe("spill.twice", () => "free").ready();
    for (let n = 0; n < 4; n++) assert.equal(await a.publishAndWait("spill.twice"), "free");
    held.open();
    await Promise.all(busy);
  });

  test("a filter refuses a request, and another responder gets it", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    await b.subscribe<number>("pick.even", () => "even", { filter: (n) => n % 2 === 0 }).ready();
    await c.subscribe<number>("pick.even", () => "odd", { filter: (n) => n % 2 === 1 }).ready();
    for (const n of [1, 1, 2, 3, 3, 4, 4]) assert.equal(await a.publishAndWait("pick.even", n), n % 2 ? "odd" : "even");
    assert.equal(await b.publishAndWait("pick.even", 3), "odd");
    await fails(a.publishAndWait("pick.even", 0.5), "NO_RESPONDERS");
  });

  test("the refusal of a filter comes from the other side, here and elsewhere", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("pick.none", () => 1, { filter: () => false }).ready();
    for (const caller of [a, b]) {
      assert.equal((await fails(caller.publishAndWait("pick.none"), "NO_RESPONDERS")).fromWire, true);
    }
  });

  test("waitForResponders waits for somebody who answers", async () => {
    const [a, b] = [world.system(), world.system()];
    const call = a.publishAndWait("born.late", 1, { waitForResponders: 20_000 });
    await sleep(200);
    await b.subscribe("born.late", () => "here").ready();
    assert.equal(await call, "here");
    const [, ms] = await timed(fails(a.publishAndWait("born.never", 1, { waitForResponders: 200 }), "NO_RESPONDERS"));
    assert.ok(ms >= 190 && ms < 10_000, `${ms} ms`);
    await fails(a.publishAndWait("born.never", 1, { waitForResponders: 2000, ttl: 100 }), "NO_RESPONDERS");
  });

  test("an unsubscribed responder gets no more calls, and finishes what it has", async () => {
    const [a, b] = [world.system(), world.system()];
    let begun = false;
    const subscription = b.subscribe("last.call", () => {
      begun = true;
      return sleep(150).then(() => "done");
    });
    await subscription.ready();
    const call = a.publishAndWait("last.call");
    await until(() => begun, "the call has begun");
    await subscription.unsubscribe();
    assert.equal(await call, "done");
    await fails(a.publishAndWait("last.call"), "NO_RESPONDERS");
    assert.deepStrictEqual(b.subscriptions, []);
  });

  test("a system that closes finishes what it has; what takes longer is answered with RESPONDER_LOST", async () => {
    const [a, b] = [world.system(), world.system()];
    const gates = [gate(), gate()];
    let begun = 0;
    const slow = (at: number) => {
      begun += 1;
      return gates[at]?.opened.then(() => "done");
    };
    await b.subscribe("closing.time", slow).ready();
    const [short, long] = [
      a.publishAndWait("closing.time", 0),
      fails(a.publishAndWait("closing.time", 1), "RESPONDER_LOST"),
    ];
    await until(() => begun === 2, "both have begun");
    const closing = b.close(1500);
    gates[0]?.open();
    assert.equal(await short, "done");
    await closing;
    assert.deepStrictEqual([(await long).outcome, (await long).fromWire], ["MAY_HAVE_RUN", true]);
  });

  test("calls that are out when their system closes end", async () => {
    const [a, b] = [world.system(), world.system()];
    let begun = false;
    const slow = () => {
      begun = true;
      return sleep(30_000, undefined, { ref: false });
    };
    await b.subscribe("out.there", slow).ready();
    const call = fails(a.publishAndWait("out.there"), "UNAVAILABLE");
    await until(() => begun, "the call has begun");
    await a.close();
    await call;
    await fails(a.publishAndWait("out.there"), "INVALID_ARGUMENT");
  });

  test("10,000 concurrent calls all end with their own answer", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("many.calls", (n) => n, { queue: 20_000 }).ready();
    const answers = await Promise.all(Array.from({ length: 10_000 }, (_, n) => a.publishAndWait("many.calls", n)));
    assert.deepStrictEqual(
      answers,
      Array.from({ length: 10_000 }, (_, n) => n),
    );
  });

  test("a call can be made before anything runs, and by reference where asked for", async () => {
    const a = world.system();
    const mine = { list: [1] };
    a.subscribe("ref.call", (data) => data, { byReference: true });
    assert.equal(await a.publishAndWait("ref.call", mine), mine);
  });

  test("JSON requests are answered in JSON", async () => {
    const [a, b] = [world.system(), world.system()];
    const types: string[] = [];
    await b
      .subscribe("json.call", (data, event) => {
        types.push(event.contentType);
        return data;
      })
      .ready();
    const contentType = "application/json";
    assert.deepStrictEqual(await a.publishAndWait("json.call", { a: [1, "x"] }, { contentType }), { a: [1, "x"] });
    assert.deepStrictEqual(types, [contentType]);
  });
}

/** The processor time that we have used since, milliseconds. */
function spent(begun: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1000;
}

function getter(get: () => unknown): PropertyDescriptor {
  return { get, enumerable: true };
}

function facts(error: TielineError): unknown {
  const { code, message, details, outcome, type, retryAfter, fromWire, retryable, name } = error;
  return { code, message, details, outcome, type, retryAfter, fromWire, retryable, name };
}
