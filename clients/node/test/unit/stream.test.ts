import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSystem, MemoryTransport, type Middleware } from "../../src/index.js";
import { until } from "../support/waiting.js";
import { silent } from "../support/world.js";

const doubled: Middleware = {
  async publish(message, next) {
    const items = (await next(message)) as AsyncIterable<number>;
    return (async function* () {
      for await (const item of items) yield item * 2;
    })();
  },
};
const asItIs: Middleware = { publish: (message, next) => next(message) };

for (const [name, middleware] of Object.entries({ doubled, asItIs })) {
  test(`a reader that waits for the next item can leave a stream within middleware: ${name}`, async () => {
    const events = new EventSystem({ transport: new MemoryTransport(), middleware: [middleware], logger: silent });
    let cancelled = false;
    const handler = async function* (_: unknown, event: { signal: AbortSignal }) {
      event.signal.addEventListener("abort", () => {
        cancelled = true;
      });
      yield 1;
      await new Promise(() => undefined);
    };
    await events.subscribe("hang", handler).ready();
    const stream = events.publishAndStream<number>("hang");
    assert.equal((await stream.next()).value, name === "doubled" ? 2 : 1);
    const pending = stream.next();
    await new Promise((resolve) => setTimeout(resolve, 10));
    await stream.return();
    assert.equal((await pending).done, true);
    assert.equal((await stream.next()).done, true);
    await until(() => cancelled, "the handler is cancelled");
    await events.close(0);
  });
}
