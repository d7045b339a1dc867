import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { encode } from "../../src/codec.js";
import type { Envelope, Stream as Position } from "../../src/contract/envelope.js";
import { CANCEL, CREDIT, REQUEST, STREAM_END, STREAM_ITEM } from "../../src/envelope.js";
import {
  CallTimeoutError,
  currentEvent,
  type EventSystem,
  type Handler,
  HandlerError,
  InternalError,
  InvalidArgumentError,
  ResponderLostError,
  type Stream,
  type SubscribeOptions,
  TielineError,
  UnavailableError,
} from "../../src/index.js";
import type { Raw } from "../support/raw.js";
import { fails, failure, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** A handler that counts up to what it is asked for, and remembers how it fared. */
class Counter {
  yielded = 0;
  closed = false;
  readonly count: Handler<number>;

  constructor() {
    const self = this;
    this.count = async function* count(end) {
      try {
        for (let number = 0; number < end; number++) {
          self.yielded = number + 1;
          yield number;
        }
      } finally {
        self.closed = true;
      }
    };
  }
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const got: T[] = [];
  for await (const item of stream) got.push(item);
  return got;
}

/** Reads a stream that must fail; what came before, and the error. */
async function failing(stream: Stream): Promise<[unknown[], TielineError]> {
  const got: unknown[] = [];
  try {
    for await (const item of stream) got.push(item);
  } catch (error) {
    assert.ok(error instanceof TielineError, String(error));
    return [got, error];
  }
  assert.fail(`it ended well after ${got.length} items`);
}

function range(end: number): number[] {
  return [...Array(end).keys()];
}

let topics = 0;
const newTopic = () => `stream.t${topics++}`;

/** Streams that a handler here or elsewhere yields: order, flow control, leaving early, errors in the middle. */
export function streamTests(world: World): void {
  for (const place of ["here", "elsewhere"] as const) {
    describe(`a stream from ${place}`, () => placedTests(world, place === "here"));
  }
  otherTests(world);
  if (world.processes) processTests(world);
  brokenRuleTests(world);
}

function placedTests(world: World, here: boolean): void {
  async function pair(topic: string, handler: Handler, options: SubscribeOptions = {}): Promise<EventSystem> {
    const caller = world.system();
    await caller.start();
    const responder = here ? caller : world.system();
    await responder.subscribe(topic, handler, options).ready();
    return caller;
  }

  test("arrives whole and in order", async () => {
    const topic = newTopic();
    const caller = await pair(topic, new Counter().count as Handler);
    assert.deepStrictEqual(await all(caller.publishAndStream(topic, 5000)), range(5000));
    assert.deepStrictEqual(await all(caller.publishAndStream(topic, 0)), []);
  });

  test("of a synchronous generator is a stream too", async () => {
    const topic = newTopic();
    const caller = await pair(topic, function* letters(text) {
      yield* text as string;
    });
    assert.deepStrictEqual(await all(caller.publishAndStream(topic, "tieline")), [..."tieline"]);
  });

  test("of a handler that returns a value is that one item", async () => {
    const topic = newTopic();
    const caller = await pair(topic, (data) => Number(data) * 2);
    assert.deepStrictEqual(await all(caller.publishAndStream(topic, 21)), [42]);
  });

  test("is refused to a plain call, and nothing is run", async () => {
    const topic = newTopic();
    const counter = new Counter();
    const caller = await pair(topic, counter.count as Handler);
    const error = await fails(caller.publishAndWait(topic, 3), "UNSUPPORTED");
    assert.match(error.message, /publishAndStream/);
    assert.equal(error.outcome, "NOT_DELIVERED");
    assert.equal(counter.yielded, 0);
  });

  test("that only turned out to be one fails a plain call, which has run", async () => {
    const topic = newTopic();
    const caller = await pair(topic, async (end, event) => new Counter().count(end as number, event));
    const error = await fails(caller.publishAndWait(topic, 3), "HANDLER_ERROR");
    assert.match(error.message, /publishAndStream/);
    assert.equal(error.outcome, "RAN");
    assert.deepStrictEqual(await all(caller.publishAndStream(topic, 3)), [0, 1, 2]);
  });

  test("ends with the error in its middle after the items before it", async () => {
    class LookupError extends Error {
      override readonly name = "LookupError";
    }
    const topic = newTopic();
    const caller = await pair(topic, async function* fail(data) {
      yield* range(data as number);
      throw new LookupError("no more");
    });
    for (const count of [0, 3]) {
      const [got, error] = await failing(caller.publishAndStream(topic, count));
      assert.deepStrictEqual(got, range(count));
      assert.ok(error instanceof HandlerError);
      assert.deepStrictEqual([error.message, error.type, error.outcome], ["no more", "LookupError", "RAN"]);
    }
  });

  test("fails if an item cannot be sent, which is the handler's failure", async () => {
    const topic = newTopic();
    let closed = false;
    const caller = await pair(topic, async function* odd() {
      try {
        yield 1;
        yield () => undefined;
      } finally {
        closed = true;
      }
    });
    const stream = caller.publishAndStream(topic);
    assert.deepStrictEqual(await stream.next(), { done: false, value: 1 });
    const error = await fails(stream.next(), "HANDLER_ERROR");
    assert.match(error.message, /yielded cannot be sent/);
    assert.deepStrictEqual(await stream.next(), { done: true, value: undefined });
    await until(() => closed, "the generator is closed");
  });

  test("flows no faster than its reader reads", async () => {
    const topic = newTopic();
    const counter = new Counter();
    const caller = await pair(topic, counter.count as Handler);
    const stream = caller.publishAndStream(topic, 1_000_000, { window: 10 });
    for (let expected = 0; expected < 100; expected++) {
      assert.equal((await stream.next()).value, expected);
      assert.ok(counter.yielded <= expected + 13, `${counter.yielded} yielded when ${expected} was read`);
    }
    await sleep(100);
    assert.ok(counter.yielded <= 112, String(counter.yielded));
    await stream.return();
  });

  test("of large items keeps its memory bounded", async () => {
    const topic = newTopic();
    let made = 0;
    const caller = await pair(topic, async function* large(count) {
      for (made = 1; made <= (count as number); made++) yield new Uint8Array(500_000);
    });
    let read = 0;
    for await (const item of caller.publishAndStream<Uint8Array>(topic, 60)) {
      read += 1;
      assert.equal(item.length, 500_000);
      if (read > 20) assert.ok(made - read <= 4, "two items of half a megabyte are enough on the way");
    }
    assert.equal(read, 60);
  });

  for (const way of ["break", "return", "throw", "dispose", "garbage", "signal"]) {
    test(`that is left early by ${way} cancels the handler`, async () => {
      const topic = newTopic();
      const counter = new Counter();
      let reason: unknown;
      const caller = await pair(topic, async function* watched(end, event) {
        event.signal.addEventListener("abort", () => (reason = event.signal.reason.code));
        yield* counter.count(end as number, event) as AsyncIterable<number>;
      });
      await leave[way]?.(caller, topic, counter);
      await until(() => counter.closed, "the generator is closed");
      assert.ok(counter.yielded < 1_000_000);
      assert.equal(reason, "CANCELLED");
    });
  }

  test("frees its handler's place when it is left, also while the handler waits for room", async () => {
    const topic = newTopic();
    const counter = new Counter();
    const caller = await pair(topic, counter.count as Handler, { concurrency: 1, queue: 1 });
    for (let n = 0; n < 3; n++) {
      Object.assign(counter, { yielded: 0, closed: false });
      const stream = caller.publishAndStream(topic, 1000, { window: 3 });
      await stream.next();
      await until(() => counter.yielded > 3, "it waits for room");
      await sleep(30);
      await stream.return();
      await until(() => counter.closed, "it is closed");
    }
  });

  test("closes an iterator that waits, when it is left", async () => {
    const topic = newTopic();
    let closed = false;
    const caller = await pair(topic, () => {
      let end: (step: IteratorResult<number>) => void = () => undefined;
      let count = 0;
      return {
        [Symbol.asyncIterator]: () => ({
          next: () =>
            count++ === 0 ? Promise.resolve({ done: false, value: 1 }) : new Promise((resolve) => (end = resolve)),
          return: async () => {
            closed = true;
            end({ done: true, value: undefined });
            return { done: true, value: undefined };
          },
        }),
      };
    });
    for await (const _ of caller.publishAndStream(topic)) break;
    await until(() => closed, "the iterator is closed");
  });

  test("hands out nothing more once its signal is aborted", async () => {
    const topic = newTopic();
    const counter = new Counter();
    const caller = await pair(topic, counter.count as Handler);
    const controller = new AbortController();
    const stream = caller.publishAndStream(topic, 1000, { signal: controller.signal, window: 8 });
    await stream.next();
    await until(() => counter.yielded > 8, "more are there");
    await sleep(30);
    controller.abort();
    await fails(stream.next(), "CANCELLED");
  });

  test("stops a handler that goes on after its caller left", async () => {
    const topic = newTopic();
    let ended = false;
    const caller = await pair(topic, async function* stubborn() {
      try {
        for (let number = 0; number < 1_000_000; number++) {
          await sleep(1);
          yield number;
        }
      } finally {
        ended = true;
      }
    });
    for await (const item of caller.publishAndStream(topic)) if (item === 3) break;
    await until(() => ended, "it was stopped");
  });

  test("bounds the time between two items, and not the whole", async () => {
    const topic = newTopic();
    let cancelled = false;
    const caller = await pair(topic, async function* slow(pauses, event) {
      event.signal.addEventListener("abort", () => (cancelled = true));
      for (const [number, pause] of (pauses as number[]).entries()) {
        await sleep(pause, undefined, { ref: false });
        yield number;
      }
    });
    assert.deepStrictEqual(await all(caller.publishAndStream(topic, Array(8).fill(250), { ttl: 1500 })), range(8));
    const [got, error] = await failing(caller.publishAndStream(topic, [0, 0, 30_000], { ttl: 1500 }));
    assert.ok(error instanceof CallTimeoutError);
    assert.deepStrictEqual([got, error.details.received, error.outcome], [[0, 1], 2, "MAY_HAVE_RUN"]);
    await until(() => cancelled, "the handler was cancelled");
  });

  test("can be bounded as a whole too", async () => {
    const topic = newTopic();
    const caller = await pair(topic, async function* endless() {
      for (let number = 1; ; number++) {
        await sleep(10);
        yield number;
      }
    });
    const [got, error] = await failing(caller.publishAndStream(topic, null, { total: 1500 }));
    assert.ok(error instanceof CallTimeoutError);
    assert.ok(got.length > 3);
  });

  test("does not count the time its reader takes", async () => {
    const topic = newTopic();
    const caller = await pair(topic, async function* quickThenSlow(end) {
      for (let number = 0; number < (end as number); number++) {
        if (number === 1) await sleep(150);
        yield number;
      }
    });
    const stream = caller.publishAndStream<number>(topic, 40, { ttl: 1000, window: 4 });
    const got = [(await stream.next()).value];
    await sleep(2000);
    got.push(...(await all(stream)));
    assert.deepStrictEqual(got, range(40));
  });

  test("has a handler that knows its event, and what it calls ends with it", async () => {
    const topic = newTopic();
    let inner = "";
    const caller = await pair(topic, async function* nested() {
      yield currentEvent()?.topic;
      await sleep(1);
      yield currentEvent()?.remaining();
      const called = failure(caller.publishAndWait(`${topic}.never`));
      called.then((error) => (inner = error.code));
      yield "calls";
      await called;
    });
    await caller.subscribe(`${topic}.never`, () => sleep(30_000, undefined, { ref: false })).ready();
    const got: unknown[] = [];
    for await (const item of caller.publishAndStream(topic, null, { ttl: 3000 })) {
      got.push(item);
      if (item === "calls") break;
    }
    assert.deepStrictEqual(got, [topic, Infinity, "calls"]);
    await until(() => inner === "CANCELLED", "the inner call ended");
  });

  test("lets timers and other events have their turn, however fast it is", async () => {
    const topic = newTopic();
    const caller = await pair(topic, function* fast() {
      for (;;) yield 1;
    });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    for await (const _ of caller.publishAndStream(topic)) if (ticks >= 10) break;
    clearInterval(timer);
  });
}

type Leave = (caller: EventSystem, topic: string, counter: Counter) => Promise<unknown>;

const leave: Record<string, Leave> = {
  async break(caller, topic) {
    for await (const item of caller.publishAndStream(topic, 1_000_000)) if (item === 5) break;
  },
  async return(caller, topic) {
    const stream = caller.publishAndStream(topic, 1_000_000);
    await stream.next();
    assert.deepStrictEqual(await stream.return("x"), { done: true, value: "x" });
    assert.deepStrictEqual(await stream.next(), { done: true, value: undefined });
  },
  async throw(caller, topic) {
    const stream = caller.publishAndStream(topic, 1_000_000);
    await stream.next();
    await assert.rejects(stream.throw(new RangeError("mine")), RangeError);
  },
  async dispose(caller, topic) {
    const stream = caller.publishAndStream(topic, 1_000_000);
    await stream.next();
    await stream[Symbol.asyncDispose]();
  },
  async garbage(caller, topic, counter) {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    await (async () => void (await caller.publishAndStream(topic, 1_000_000).next()))();
    for (let tries = 0; tries < 100 && !counter.closed; tries++) {
      collect();
      await sleep(10);
    }
  },
  async signal(caller, topic, counter) {
    const controller = new AbortController();
    const read = failing(caller.publishAndStream(topic, 1_000_000, { signal: controller.signal }));
    await until(() => counter.yielded > 10, "it flows");
    controller.abort(new Error("enough"));
    const [, error] = await read;
    assert.deepStrictEqual([error.code, error.outcome], ["CANCELLED", "MAY_HAVE_RUN"]);
    await fails(caller.publishAndStream(topic, 1, { signal: controller.signal }).next(), "CANCELLED");
  },
};

function otherTests(world: World): void {
  test("a stream read in a handler ends with its request", async () => {
    const [a, b] = [world.system(), world.system()];
    let told: TielineError | undefined;
    await b
      .subscribe("inner.endless", async function* endless() {
        for (;;) {
          await sleep(20);
          yield 1;
        }
      })
      .ready();
    await b
      .subscribe("outer.reader", () => {
        failing(b.publishAndStream("inner.endless")).then(([, error]) => (told = error));
      })
      .ready();
    await a.publishAndWait("outer.reader", null, { ttl: 1500 });
    await until(() => told !== undefined, "the stream ended");
    assert.equal(told?.code, "TIMEOUT");
  });

  test("a responder without room lets another one stream", async () => {
    const [caller, busy, free] = [world.system(), world.system(), world.system()];
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const wait = async function* wait() {
      yield "busy";
      await gate;
    };
    await busy.subscribe("room.stream", wait, { concurrency: 1, queue: 0 }).ready();
    const held = caller.publishAndStream("room.stream");
    assert.equal((await held.next()).value, "busy");
    await free.subscribe("room.stream", () => "free").ready();
    for (let n = 0; n < 4; n++) {
      assert.deepStrictEqual(await all(caller.publishAndStream("room.stream")), ["free"]);
      assert.deepStrictEqual(await all(busy.publishAndStream("room.stream")), ["free"]);
    }
    open();
    assert.deepStrictEqual(await all(held), []);
  });

  test("a handler in the same process is asked first", async () => {
    const [a, b] = [world.system(), world.system()];
    await a.subscribe("near.stream", () => "near").ready();
    await b.subscribe("near.stream", () => "far").ready();
    for (let n = 0; n < 5; n++) assert.deepStrictEqual(await all(a.publishAndStream("near.stream")), ["near"]);
  });

  test("handlers here take turns to stream", async () => {
    const a = world.system();
    await a.subscribe("turns.stream", () => "one").ready();
    await a.subscribe("turns.stream", () => "two").ready();
    const got: unknown[] = [];
    for (let n = 0; n < 10; n++) got.push(...(await all(a.publishAndStream("turns.stream"))));
    assert.equal(got.filter((item) => item === "one").length, 5);
  });

  test("nobody to stream is told at once", async () => {
    await fails(world.system().publishAndStream("nobody.streams").next(), "NO_RESPONDERS");
  });

  test("a stream has one reader, and checks what it is given", async () => {
    const [a, b] = [world.system(), world.system()];
    const never = async function* never() {
      yield 1;
      await sleep(30_000, undefined, { ref: false });
    };
    await b.subscribe("one.reader", never).ready();
    const stream = a.publishAndStream("one.reader");
    assert.equal((await stream.next()).value, 1);
    const waiting = stream.next();
    const error = await fails(stream.next(), "INVALID_ARGUMENT");
    assert.match(error.message, /one reader/);
    await stream.return();
    assert.deepStrictEqual(await waiting, { done: true, value: undefined });
    for (const options of [{ window: 0 }, { window: 1_000_000 }, { window: 1.5 }, { ttl: 0 }, { total: -1 }]) {
      assert.throws(() => a.publishAndStream("one.reader", 1, options), InvalidArgumentError);
    }
    assert.throws(() => a.subscribe("one.reader", never, { batch: { size: 2 } }), /batch/);
  });

  test("a stream that nobody reads is never asked for", async () => {
    const [a, b] = [world.system(), world.system()];
    let asked = 0;
    await b.subscribe("never.begun", () => asked++).ready();
    const stream = a.publishAndStream("never.begun");
    await stream.return();
    assert.deepStrictEqual(await stream.next(), { done: true, value: undefined });
    await a.publishAndWait("never.begun");
    assert.equal(asked, 1);
  });

  test("an event runs a streaming handler to its end", async () => {
    const [a, b] = [world.system(), world.system()];
    const counter = new Counter();
    await b.subscribe("event.stream", counter.count).ready();
    await a.publish("event.stream", 7);
    await until(() => counter.closed, "it ran to its end");
    assert.equal(counter.yielded, 7);
  });

  test("a streaming handler that is told to stop says so", async () => {
    const [a, b] = [world.system(), world.system()];
    await b
      .subscribe("stop.stream", async function* endless() {
        for (;;) {
          await sleep(10);
          yield 1;
        }
      })
      .ready();
    const stream = a.publishAndStream("stop.stream");
    await stream.next();
    await b.close(0);
    assert.ok((await failing(stream))[1] instanceof ResponderLostError);
  });

  test("what streams holds its handler's place until it has ended", async () => {
    const [a, b] = [world.system(), world.system()];
    let running = 0;
    let most = 0;
    const handler = async function* counted() {
      most = Math.max(most, ++running);
      yield 1;
      await sleep(20);
      running -= 1;
    };
    await b.subscribe("place.stream", handler, { concurrency: 2 }).ready();
    await Promise.all(range(8).map(() => all(a.publishAndStream("place.stream"))));
    assert.equal(most, 2);
  });
}

function processTests(world: World): void {
  test("kill -9 of a responder ends its stream", async () => {
    const a = world.system();
    await a.start();
    const peer = await world.peer();
    const stream = a.publishAndStream("peer.stream", 50);
    assert.equal((await stream.next()).value, 0);
    await peer.kill();
    assert.ok((await failing(stream))[1] instanceof ResponderLostError);
  });

  test("leaving early stops the handler in the other process", async () => {
    const a = world.system();
    await a.start();
    const peer = await world.peer();
    for await (const item of a.publishAndStream("peer.stream", 10)) if (item === 3) break;
    await peer.says(/^closed$/);
  });
}

/** Peers that break the rules. */
function brokenRuleTests(world: World): void {
  /** A raw responder that was asked for a stream and sent its first item, the request, and the stream. */
  async function asked(): Promise<[Raw, Envelope, Stream<number>]> {
    const topic = newTopic();
    const raw = await world.raw();
    await raw.answersTo(topic);
    const caller = world.system();
    const stream = caller.publishAndStream<number>(topic, null, { ttl: 20_000 });
    const first = stream.next();
    const request = await raw.request();
    sendItem(raw, request, 1);
    assert.equal((await first).value, 1);
    return [raw, request, stream];
  }

  test("items that come twice are read once", async () => {
    const [raw, request, stream] = await asked();
    for (const number of [1, 2, 2, 1, 3]) sendItem(raw, request, number);
    raw.reply(request, null, { kind: STREAM_END, stream: position({ sequence: 3 }) });
    assert.deepStrictEqual(await all(stream), [2, 3]);
  });

  for (const kind of [STREAM_ITEM, STREAM_END]) {
    test(`a gap before ${kind === STREAM_ITEM ? "an item" : "the end"} ends the stream and cancels the handler`, async () => {
      const [raw, request, stream] = await asked();
      raw.reply(request, 3, { kind, stream: position({ sequence: 3 }) });
      const error = await failure(stream.next());
      assert.ok(error instanceof UnavailableError);
      assert.match(error.message, /lost on the way/);
      assert.deepStrictEqual([error.details, error.outcome], [{ expected: 2, got: 3 }, "MAY_HAVE_RUN"]);
      await until(() => raw.answers.some((answer) => answer.kind === CANCEL), "CANCEL came");
    });
  }

  test("more items than there is credit for end the stream", async () => {
    const [raw, request, stream] = await asked();
    assert.equal(request.stream?.window, 16);
    for (let number = 2; number < 30; number++) sendItem(raw, request, number);
    const [got, error] = await failing(stream);
    assert.ok(error instanceof InternalError);
    assert.ok(got.length + 1 >= 16 && got.length + 1 < 29, String(got.length));
  });

  test("credits nobody asked for change nothing", async () => {
    const topic = newTopic();
    const counter = new Counter();
    const raw = await world.raw();
    await world.system().subscribe(topic, counter.count).ready();
    const request = raw.envelope(REQUEST, topic, 1000, { stream: position({ window: 3 }) });
    raw.port.dispatch(request, "");
    await raw.stay(3);
    const instance = raw.dispatched[0]?.instance ?? "";
    assert.ok(raw.answers[0]?.source.endsWith(`/${instance}`), "the first item says whose it is");
    const credit = (consumed: number, window: number, callId = request.callId) =>
      raw.port.answer(instance, raw.control(CREDIT, callId, position({ consumed, window })));
    credit(900, 100); // never sent
    await raw.stay(3);
    credit(1, 20, Buffer.from("0123456789abcdef")); // no stream
    await raw.stay(3);
    credit(0, 2); // less than there was
    await raw.stay(3);
    credit(3, 4_000_000_000); // more than may be: the largest window
    await until(() => raw.answers.length >= 1000, "they came");
    credit(3, 1); // an old one
    credit(1000, 10);
    await until(() => counter.closed, "it ended");
    await until(() => raw.answers.at(-1)?.kind === STREAM_END, "its end came");
  });

  test("stream frames for a plain call change nothing", async () => {
    const topic = newTopic();
    const raw = await world.raw();
    await raw.answersTo(topic);
    const call = world.system().publishAndWait(topic);
    const request = await raw.request();
    sendItem(raw, request, 1);
    raw.reply(request, null, { kind: STREAM_END, stream: position({ sequence: 1 }) });
    raw.reply(request, "the reply");
    assert.equal(await call, "the reply");
  });

  test("items that cannot be read end the stream", async () => {
    const [raw, request, stream] = await asked();
    const data = Buffer.concat([encode("x"), Buffer.from([0xc1])]);
    raw.reply(request, null, { kind: STREAM_ITEM, stream: position({ sequence: 2 }), data });
    const error = await fails(stream.next(), "INVALID_PAYLOAD");
    assert.equal(error.outcome, "MAY_HAVE_RUN");
    await until(() => raw.answers.some((answer) => answer.kind === CANCEL), "CANCEL came");
    assert.deepStrictEqual(await stream.next(), { done: true, value: undefined });
  });
}

function sendItem(raw: Raw, request: Envelope, number: number): void {
  raw.reply(request, number, { kind: STREAM_ITEM, stream: position({ sequence: number }) });
}

function position(some: Partial<Position>): Position {
  return { sequence: 0, consumed: 0, window: 0, ...some };
}
