import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { after, test } from "node:test";
import { EventSystem, MemoryBroker, MemoryTransport } from "../../src/index.js";
import { fails, failure, until } from "../support/waiting.js";
import { silent } from "../support/world.js";

const broker = new MemoryBroker();
const system = () => new EventSystem({ transport: new MemoryTransport(broker), logger: silent });
const [responder, caller] = [system(), system()];
after(() => Promise.all([responder.close(0), caller.close(0)]));

test("a filter that answers with a promise refuses, and says why", async () => {
  const filters = { resolves: async () => false, rejects: () => Promise.reject(new Error("later")) };
  for (const [name, filter] of Object.entries(filters)) {
    let handled = 0;
    const options = { filter } as unknown as { filter: () => boolean };
    await responder.subscribe(`filter.${name}`, () => handled++, options).ready();
    for (const events of [responder, caller]) {
      const error = await failure(events.publishAndWait(`filter.${name}`));
      assert.deepStrictEqual(
        [error.code, error.message],
        ["HANDLER_ERROR", "the filter returned a promise; it must answer at once"],
      );
    }
    await responder.publish(`filter.${name}`, 1, { waitLocal: true });
    assert.equal(handled, 0);
  }
});

test("a stream that nobody asked for is closed", async () => {
  const closed: string[] = [];
  const readable = () => new Readable({ read: () => undefined }).on("close", () => closed.push("readable"));
  const iterable = () => ({
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: true, value: 1 }),
      return: async () => {
        closed.push("iterable");
        return { done: true, value: 1 };
      },
    }),
  });
  for (const [name, handler] of Object.entries({ readable, iterable })) {
    await responder.subscribe(`plain.${name}`, handler).ready();
    for (const events of [responder, caller]) {
      const error = await fails(events.publishAndWait(`plain.${name}`), "HANDLER_ERROR");
      assert.match(error.message, /the caller must use publishAndStream/);
    }
    await until(() => closed.filter((each) => each === name).length === 2, `${name} is closed`);
  }
});

for (const ending of ["leaves", "throws", "ends", "yields what cannot travel"]) {
  test(`an iterator whose reader or itself ${ending} is told at most once`, async () => {
    const told: string[] = [];
    const waiting: ((step: IteratorResult<unknown>) => void)[] = [];
    const items = {
      [Symbol.asyncIterator]: () => ({
        next(): Promise<IteratorResult<unknown>> {
          if (told.length === 0) {
            told.push("next");
            return Promise.resolve({ done: false, value: 1 });
          }
          told.push("next");
          if (ending === "throws") return Promise.reject(new Error("no more"));
          if (ending === "ends") return Promise.resolve({ done: true, value: undefined });
          if (ending !== "leaves") return Promise.resolve({ done: false, value: () => 1 });
          return new Promise((resolve) => waiting.push(resolve));
        },
        return(): Promise<IteratorResult<unknown>> {
          told.push("return");
          for (const end of waiting) end({ done: false, value: 2 });
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    const topic = `told.${ending.split(" ", 1)[0]}`;
    await responder.subscribe(topic, () => items).ready();
    const stream = caller.publishAndStream(topic);
    assert.equal((await stream.next()).value, 1);
    await until(() => told.length > 1, "it is asked again");
    if (ending === "leaves") await stream.return();
    else await stream.next().catch(() => undefined);
    const expected = ["next", "next", ...(ending === "throws" || ending === "ends" ? [] : ["return"])];
    await until(() => told.length >= expected.length, "it has heard everything");
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepStrictEqual(told, expected);
  });
}
