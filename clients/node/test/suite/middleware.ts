import assert from "node:assert/strict";
import { test } from "node:test";
import { type EventSystem, type Middleware, PermissionDeniedError } from "../../src/index.js";
import { fails, failure, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** Notes when it is passed, in and out. */
function named(name: string, log: string[]): Middleware {
  return {
    async publish(message, next) {
      log.push(`${name} publish ${message.isRequest ? "request" : "event"}`);
      const result = await next(message);
      log.push(`${name} published`);
      return result;
    },
    async handle(_, next) {
      log.push(`${name} handle`);
      const reply = await next();
      log.push(`${name} handled`);
      return reply;
    },
  };
}

/** Changes payload and headers on the way out, and payload and reply on the way in. */
const change: Middleware = {
  publish(message, next) {
    message.data = { wrapped: message.data };
    message.headers.by = "middleware";
    return next(message);
  },
  async handle(event, next) {
    event.setData((event.data as { wrapped: unknown }).wrapped);
    return [event.headers.by, await next()];
  },
};

export function middlewareTests(world: World): void {
  /** A caller and a responder with this middleware: once two systems, once one that is both. */
  const places = (middleware: Middleware[]): [EventSystem, EventSystem][] => {
    const both = world.system({ middleware });
    return [
      [world.system({ middleware }), world.system({ middleware })],
      [both, both],
    ];
  };

  test("the first middleware is the outermost", async () => {
    const log: string[] = [];
    for (const [caller, system] of places([named("outer", log), named("inner", log)])) {
      await system.subscribe("order.of", () => void log.push("handler")).ready();
      await caller.publishAndWait("order.of");
      const handling = ["outer handle", "inner handle", "handler", "inner handled", "outer handled"];
      const calling = ["outer publish request", "inner publish request"];
      assert.deepStrictEqual(log.splice(0), [...calling, ...handling, "inner published", "outer published"]);
      await system.close();
    }
  });

  test("events pass the middleware too", async () => {
    const log: string[] = [];
    const system = world.system({ middleware: [named("it", log)] });
    await system.subscribe("event.too", () => undefined).ready();
    const receipt = await system.publish("event.too", 1, { waitLocal: true });
    assert.ok(receipt.id);
    assert.deepStrictEqual(log, ["it publish event", "it handle", "it handled", "it published"]);
  });

  test("middleware may change what is sent and what is handled", async () => {
    for (const [caller, system] of places([change])) {
      await system.subscribe<number>("change.it", (data) => data * 2).ready();
      const headers = { of: "the caller" };
      assert.deepStrictEqual(await caller.publishAndWait("change.it", 4, { headers }), ["middleware", 8]);
      assert.deepStrictEqual(headers, { of: "the caller" });
      await system.close();
    }
  });

  test("what middleware throws at a publish reaches the publisher", async () => {
    const guard: Middleware = {
      publish() {
        throw new PermissionDeniedError("not you");
      },
    };
    const system = world.system({ middleware: [guard] });
    let handled = 0;
    await system.subscribe("not.you", () => handled++).ready();
    for (const use of [system.publish("not.you"), system.publishAndWait("not.you")]) {
      assert.match((await fails(use, "PERMISSION_DENIED")).message, /not you/);
    }
    assert.equal(handled, 0);
  });

  test("what middleware throws at a handling is the handler's failure", async () => {
    const guard: Middleware = {
      handle() {
        throw new RangeError("not here");
      },
    };
    let handled = 0;
    for (const [caller, system] of places([guard])) {
      await system.subscribe("not.here", () => handled++).ready();
      const error = await fails(caller.publishAndWait("not.here"), "HANDLER_ERROR");
      assert.deepStrictEqual([error.type, error.message, error.outcome], ["RangeError", "not here", "RAN"]);
      await system.close();
    }
    assert.equal(handled, 0);
  });

  test("middleware may answer without the handler", async () => {
    let handled = 0;
    const system = world.system({ middleware: [{ handle: () => "cached" }] });
    await system.subscribe("from.cache", () => handled++).ready();
    assert.equal(await system.publishAndWait("from.cache"), "cached");
    assert.equal(handled, 0);
  });

  test("what a handler throws, and what a filter refuses, stays what it is", async () => {
    const [a, b] = [world.system(), world.system({ middleware: [{ handle: (_, next) => next() }] })];
    const handler = (data: unknown) => {
      throw data === "nothing" ? undefined : new TypeError("mine");
    };
    await b.subscribe("pass.through", handler, { filter: (data) => data !== "no" }).ready();
    for (const system of [a, b]) {
      assert.equal((await fails(system.publishAndWait("pass.through"), "HANDLER_ERROR")).type, "TypeError");
      assert.equal((await fails(system.publishAndWait("pass.through", "nothing"), "HANDLER_ERROR")).outcome, "RAN");
      assert.equal(
        (await fails(system.publishAndWait("pass.through", "no"), "NO_RESPONDERS")).outcome,
        "NOT_DELIVERED",
      );
    }
  });

  test("a handler does not begin when its caller has gone while middleware took its time", async () => {
    let held = 0;
    let told = 0;
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow: Middleware = {
      async handle(event, next) {
        held += 1;
        event.signal.addEventListener("abort", () => told++);
        await released;
        return next();
      },
    };
    let handled = 0;
    const [a, b] = [world.system(), world.system({ middleware: [slow] })];
    await b.subscribe("too.late", () => ++handled).ready();
    const control = new AbortController();
    const calls = [a, b].map((system) => failure(system.publishAndWait("too.late", 1, { signal: control.signal })));
    await until(() => held === 2, "both are in the middleware");
    const waiting = b.publishAndWait("too.late");
    await until(() => held === 3, "the third is too");
    control.abort();
    for (const error of await Promise.all(calls)) assert.equal(error.code, "CANCELLED");
    await until(() => told === 2, "the CANCEL came");
    release();
    assert.equal(await waiting, 1);
  });

  test("streams pass the middleware too, which may change their items", async () => {
    const doubled: Middleware = {
      async *publish(message, next) {
        message.data = 3;
        for await (const item of (await next(message)) as AsyncIterable<number>) yield 2 * item;
      },
    };
    const shifted: Middleware = {
      async *handle(_, next) {
        for await (const item of (await next()) as AsyncIterable<number>) yield item + 1;
      },
    };
    let closed = 0;
    for (const [caller, system] of places([doubled, shifted])) {
      await system
        .subscribe<number>("stream.through", async function* count(end) {
          try {
            for (let n = 0; n < end; n++) yield n;
          } finally {
            closed += 1;
          }
        })
        .ready();
      const got: unknown[] = [];
      for await (const item of caller.publishAndStream("stream.through", 99)) got.push(item);
      assert.deepStrictEqual(got, [2, 4, 6]);
      for await (const _ of caller.publishAndStream("stream.through", 99)) break;
      await until(() => closed === 2, "leaving early passes too");
      closed = 0;
      await system.close();
    }
  });

  test("middleware that makes no stream of a stream is told so", async () => {
    const caller = world.system({ middleware: [{ publish: () => 1 }] });
    await fails(caller.publishAndStream("stream.lost").next(), "INVALID_ARGUMENT");
  });
}
