import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LIMIT_JOINERS } from "../../src/contract/contract.js";
import { CANCEL, errorToWire } from "../../src/envelope.js";
import {
  type CallOptions,
  type EventSystem,
  InvalidPayloadError,
  type Step,
  type TielineError,
} from "../../src/index.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { RedisTransport } from "../../src/transports/redis.js";
import { LinkDownError, type RedisLink } from "../../src/transports/redisLink.js";
import { fails, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** A handler that counts its runs, and waits while it is closed. */
class Work {
  runs = 0;
  #gate: Promise<void> = Promise.resolve();
  open: () => void = () => undefined;

  close(): void {
    this.#gate = new Promise((resolve) => {
      this.open = resolve;
    });
  }

  readonly do = async (data: unknown) => {
    this.runs += 1;
    const run = this.runs;
    await this.#gate;
    if (data === "fail") throw new RangeError(`run ${run}`);
    return { run, data };
  };
}

const KEY: CallOptions = { idempotencyKey: "k" };
let topics = 0;
const newTopic = () => `keyed.t${topics++}`;

async function runOf(call: Promise<unknown>): Promise<number> {
  return ((await call) as { run: number }).run;
}

/** Idempotency keys: one run for many calls, its result kept, conflicts told, claims of the dead taken over. */
export function idempotencyTests(world: World): void {
  for (const here of [true, false]) {
    describe(`a key whose handler is ${here ? "here" : "elsewhere"}`, () => placedTests(world, here));
  }
  otherTests(world);
  claimTests(world);
}

/** How many calls have joined a run, as the systems with this observer tell. */
class Joined {
  #count = 0;
  readonly observe = (step: Step) => void (step.name === "joined" && this.#count++);

  reach(count: number): Promise<void> {
    return until(() => this.#count >= count, `${count} joined`);
  }
}

/** Two callers; the first one may be the responder too. */
async function pair(
  world: World,
  topic: string,
  work: Work,
  here = false,
  joined = new Joined(),
): Promise<[EventSystem, EventSystem]> {
  const { observe } = joined;
  const [first, second] = [world.system({ observe }), world.system({ observe })];
  await Promise.all([first.start(), second.start()]);
  await (here ? first : world.system()).subscribe(topic, work.do).ready();
  return [first, second];
}

function placedTests(world: World, here: boolean): void {
  test("gets the stored reply", async () => {
    const [topic, work] = [newTopic(), new Work()];
    const [first, second] = await pair(world, topic, work, here);
    for (const caller of [first, second, first]) {
      assert.deepStrictEqual(await caller.publishAndWait(topic, [1, 2], KEY), { run: 1, data: [1, 2] });
    }
    assert.equal(await runOf(first.publishAndWait(topic, [1, 2], { idempotencyKey: "other" })), 2);
    assert.equal(await runOf(first.publishAndWait(topic, [1, 2])), 3);
  });

  test("lets who comes meanwhile join the run", async () => {
    const [topic, work, joined] = [newTopic(), new Work(), new Joined()];
    const systems = await pair(world, topic, work, here, joined);
    work.close();
    const calls = Array.from({ length: 40 }, (_, n) => systems[n % 2]?.publishAndWait(topic, "x", KEY));
    await until(() => work.runs === 1, "it runs");
    await joined.reach(39);
    work.open();
    for (const call of calls) assert.deepStrictEqual(await call, { run: 1, data: "x" });
    assert.equal(work.runs, 1);
  });

  test("with another payload is a conflict, while it runs and when it has run", async () => {
    const [topic, work] = [newTopic(), new Work()];
    const [first, second] = await pair(world, topic, work, here);
    work.close();
    const running = first.publishAndWait(topic, { a: 1 }, KEY);
    await until(() => work.runs === 1, "it runs");
    for (let n = 0; n < 2; n++) {
      const error = await fails(second.publishAndWait(topic, { a: 2 }, KEY), "CONFLICT");
      assert.match(error.message, /["']k["']/); // whichever language says it
      assert.deepStrictEqual([error.outcome, error.retryable], ["NOT_DELIVERED", false]);
      work.open();
      await running;
    }
    assert.equal(work.runs, 1);
  });

  test("goes on when its caller has left", async () => {
    const [topic, work, joined] = [newTopic(), new Work(), new Joined()];
    const [first, second] = await pair(world, topic, work, here, joined);
    work.close();
    const controller = new AbortController();
    const leaving = fails(first.publishAndWait(topic, "x", { ...KEY, signal: controller.signal }), "CANCELLED");
    await until(() => work.runs === 1, "it runs");
    controller.abort();
    await leaving;
    const call = second.publishAndWait(topic, "x", KEY);
    await joined.reach(1);
    work.open();
    assert.deepStrictEqual(await call, { run: 1, data: "x" });
  });

  test("that is refused leaves no claim", async () => {
    const topic = newTopic();
    const caller = world.system();
    await caller.start();
    await (here ? caller : world.system())
      .subscribe<number>(topic, (data) => data, { filter: (data) => data > 1 })
      .ready();
    const options = { ...KEY, ttl: 20_000 };
    await fails(caller.publishAndWait(topic, 1, options), "NO_RESPONDERS");
    assert.equal(await caller.publishAndWait(topic, 5, options), 5);
  });
}

function otherTests(world: World): void {
  test("keys are those of their topic, and may be of any language", async () => {
    const [topic, work] = [newTopic(), new Work()];
    const [caller] = await pair(world, topic, work);
    await world.system().subscribe(`${topic}.b`, work.do).ready();
    assert.equal(await runOf(caller.publishAndWait(topic, null, KEY)), 1);
    assert.equal(await runOf(caller.publishAndWait(`${topic}.b`, null, KEY)), 2);
    for (const [at, idempotencyKey] of ["ключ", "{a}:b*", "😀", "k".repeat(255), " "].entries()) {
      for (let n = 0; n < 2; n++)
        assert.equal(await runOf(caller.publishAndWait(topic, 1, { idempotencyKey })), 3 + at);
    }
  });

  test("equal payloads are equal however they are written, and no payload is nil", async () => {
    const [topic, work] = [newTopic(), new Work()];
    const [caller] = await pair(world, topic, work);
    await caller.publishAndWait(topic, { a: 1, b: [2, null] }, KEY);
    await caller.publishAndWait(topic, new Map<string, unknown>([["b", [2n, undefined]], ["a", 1]]), KEY); // biome-ignore format: one line
    await caller.publishAndWait(topic, { b: [2, null], a: 1 }, { ...KEY, contentType: "application/json" });
    assert.equal(work.runs, 1);
    const nil = { idempotencyKey: "nil" };
    assert.deepStrictEqual(await caller.publishAndWait(topic, undefined, nil), { run: 2, data: null });
    assert.deepStrictEqual(await caller.publishAndWait(topic, null, nil), { run: 2, data: null });
    await fails(caller.publishAndWait(topic, 0, nil), "CONFLICT");
  });

  test("the error of a handler is stored like a reply", async () => {
    const [topic, work] = [newTopic(), new Work()];
    for (const caller of await pair(world, topic, work)) {
      const error = await fails(caller.publishAndWait(topic, "fail", KEY), "HANDLER_ERROR");
      assert.deepStrictEqual([error.message, error.type, error.outcome], ["run 1", "RangeError", "RAN"]);
    }
  });

  test("keys that can be none are refused", async () => {
    const caller = world.system();
    for (const key of ["", "k".repeat(256), "ä".repeat(128), "a\nb", "a\u0085b", 7, null, Buffer.from("k"), "\ud800"]) {
      const options = { idempotencyKey: key as string };
      await fails(caller.publishAndWait("keyed.bad", "x", options), "INVALID_ARGUMENT");
    }
  });

  test("many keys at once run once each", async () => {
    const [topic, ran] = [newTopic(), [] as unknown[]];
    const caller = world.system();
    await world
      .system()
      .subscribe(topic, (data) => {
        ran.push(data);
        return data;
      })
      .ready();
    const calls = Array.from({ length: 1000 }, (_, n) =>
      caller.publishAndWait(topic, n % 100, { idempotencyKey: `k${n % 100}` }),
    );
    assert.deepStrictEqual(
      await Promise.all(calls),
      calls.map((_, n) => n % 100),
    );
    assert.equal(ran.length, 100);
  });

  test("so many join, and no more", async () => {
    const [topic, work] = [newTopic(), new Work()];
    const [first, second] = await pair(world, topic, work);
    work.close();
    const running = first.publishAndWait(topic, "x", KEY);
    await until(() => work.runs === 1, "it runs");
    const codes: string[] = [];
    const joining = Array.from({ length: LIMIT_JOINERS + 3 }, () =>
      second.publishAndWait(topic, "x", KEY).catch((error: TielineError) => void codes.push(error.code)),
    );
    await until(() => codes.length === 3, "those beyond the bound are refused");
    work.open();
    await Promise.all([running, ...joining]);
    assert.deepStrictEqual(codes, Array(3).fill("OVERLOADED"));
    assert.equal(work.runs, 1);
  });

  const { redis } = world;
  if (redis) {
    test("whoever joined is answered although the link broke when the result was stored", async () => {
      const [topic, work, joined] = [newTopic(), new Work(), new Joined()];
      const transport = new RedisTransport(redis.url, { namespace: "", settings: DEFAULT_SETTINGS });
      const { observe } = joined;
      const [first, second] = [world.system({ observe }), world.system({ observe })];
      const responder = world.system({ url: "", transport });
      await Promise.all([first.start(), second.start()]);
      await responder.subscribe(topic, work.do).ready();
      work.close();
      const calls = [first, second].map((caller) => caller.publishAndWait(topic, "x", KEY));
      await until(() => work.runs === 1, "it runs");
      await joined.reach(1);
      const settling = transport.runs.settle.bind(transport.runs);
      transport.runs.settle = (link, ...rest) => {
        transport.runs.settle = settling;
        settling(link && cutBeforeTheAnswer(link), ...rest);
      };
      work.open();
      assert.deepStrictEqual(await Promise.all(calls), Array(2).fill({ run: 1, data: "x" }));
    });

    test("results expire with their window", async () => {
      const [topic, work, settings] = [newTopic(), new Work(), { idempotencyWindow: 300 }];
      const caller = world.system({ settings });
      await world.system({ settings }).subscribe(topic, work.do).ready();
      assert.equal(await runOf(caller.publishAndWait(topic, "x", KEY)), 1);
      await sleep(1000);
      assert.equal(await runOf(caller.publishAndWait(topic, "y", KEY)), 2);
    });
  }
}

function claimTests(world: World): void {
  test("a refusal is not stored, and is told to those who joined", async () => {
    const [topic, raw, joined] = [newTopic(), await world.raw(), new Joined()];
    await raw.answersTo(topic);
    const [first, second] = [world.system(), world.system({ observe: joined.observe })];
    await second.start();
    const running = fails(first.publishAndWait(topic, "x", KEY), "INVALID_PAYLOAD");
    const request = await raw.request();
    const joining = fails(second.publishAndWait(topic, "x", KEY), "INVALID_PAYLOAD");
    await joined.reach(1);
    raw.reply(request, null, { error: errorToWire(new InvalidPayloadError("not this one")) });
    for (const call of [running, joining]) assert.equal((await call).message, "not this one");
    const again = first.publishAndWait(topic, "x", KEY);
    await until(() => raw.requests.length === 2, "it is asked again");
    settle(raw, topic, 1, "ran");
    assert.equal(await again, "ran");
  });

  test("nobody to run it leaves no claim", async () => {
    const [topic, work, caller] = [newTopic(), new Work(), world.system()];
    await fails(caller.publishAndWait(topic, "x", KEY), "NO_RESPONDERS");
    await world.system().subscribe(topic, work.do).ready();
    assert.equal(await runOf(caller.publishAndWait(topic, "x", KEY)), 1);
  });

  test("who joined takes over when the claim has ended", async () => {
    const [topic, deaf, work] = [newTopic(), await world.raw(), new Work()];
    await deaf.answersTo(topic);
    const [first, second] = [world.system(), world.system()];
    await second.start();
    const dying = fails(first.publishAndWait(topic, "x", { ...KEY, ttl: 800 }), "TIMEOUT").catch(() => undefined);
    await deaf.request();
    await world.system().subscribe(topic, work.do).ready();
    await deaf.port.close();
    assert.equal(await runOf(second.publishAndWait(topic, "x", { ...KEY, ttl: 20_000 })), 1);
    await dying;
    assert.equal(work.runs, 1);
  });

  test("who joined waits no longer than it said, and who leaves sends no CANCEL", async () => {
    const [topic, raw] = [newTopic(), await world.raw()];
    await raw.answersTo(topic);
    const [first, second] = [world.system(), world.system()];
    await second.start();
    const running = fails(first.publishAndWait(topic, "x", { ...KEY, ttl: 3000 }), "TIMEOUT");
    await raw.request();
    const error = await fails(second.publishAndWait(topic, "x", { ...KEY, ttl: 1000 }), "TIMEOUT");
    assert.equal(error.outcome, "MAY_HAVE_RUN");
    await running;
    await sleep(100);
    assert.ok(!raw.answers.some((answer) => answer.kind === CANCEL));
  });

  test("the first result is the one that counts", async () => {
    const [topic, raw] = [newTopic(), await world.raw()];
    await raw.answersTo(topic);
    const [caller, late] = [world.system(), world.system()];
    await fails(caller.publishAndWait(topic, "x", { ...KEY, ttl: 1000 }), "TIMEOUT");
    const again = caller.publishAndWait(topic, "x", KEY);
    await until(() => raw.requests.length === 2, "it is asked again");
    settle(raw, topic, 0, "first");
    settle(raw, topic, 1, "second");
    assert.equal(await again, "first");
    assert.equal(await late.publishAndWait(topic, "x", KEY), "first");
  });

  if (world.processes) {
    test("a run whose responder dies is run again, once for everyone", async () => {
      const work = new Work();
      const [first, second] = [world.system(), world.system()];
      await second.start();
      const peer = await world.peer();
      const calls = [first, second].map((caller) => runOf(caller.publishAndWait("peer.slow", 60_000, KEY)));
      await peer.says(/^started$/);
      await world.system().subscribe("peer.slow", work.do).ready();
      await peer.kill();
      assert.deepStrictEqual(await Promise.all(calls), [1, 1]);
    });

    test("who joined takes over when caller and responder have gone", async () => {
      const [work, joined] = [new Work(), new Joined()];
      const [first, second] = [world.system(), world.system({ observe: joined.observe })];
      await second.start();
      const peer = await world.peer();
      const controller = new AbortController();
      const own = { idempotencyKey: "gone", ttl: 50_000 };
      const claiming = fails(
        first.publishAndWait("peer.slow", 60_000, { ...own, signal: controller.signal }),
        "CANCELLED",
      );
      await peer.says(/^started$/);
      const joining = runOf(second.publishAndWait("peer.slow", 60_000, own));
      await joined.reach(1);
      controller.abort();
      await claiming;
      await world.system().subscribe("peer.slow", work.do).ready();
      const start = performance.now();
      await peer.kill();
      assert.equal(await joining, 1);
      assert.ok(performance.now() - start < 20_000, "long before the claim ended");
    });
  }
}

/** A link that breaks when its next command was done, before its answer is read. */
function cutBeforeTheAnswer(link: RedisLink): RedisLink {
  const cut = async (asked: Promise<unknown>) => {
    await asked;
    link.abort("cut");
    throw new LinkDownError("cut");
  };
  const call = (...parts: Parameters<RedisLink["call"]>) => cut(link.call(...parts));
  const ask = (...command: Parameters<RedisLink["ask"]>) =>
    link.ask(...command).then((reply) => cut(Promise.resolve(reply)));
  return { ask, call } as unknown as RedisLink;
}

function settle(raw: Awaited<ReturnType<World["raw"]>>, topic: string, at: number, value: unknown): void {
  const request = raw.requests[at];
  assert.ok(request !== undefined);
  const { fingerprint, id: causationId } = request;
  raw.reply(request, value, { topic, idempotencyKey: "k", fingerprint, causationId });
}
