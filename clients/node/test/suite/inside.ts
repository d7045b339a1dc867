import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { decode, encode } from "../../src/codec.js";
import { ASK_TOPIC } from "../../src/contract/contract.js";
import { type Envelope, errorToWire, REQUEST } from "../../src/envelope.js";
import { type EventSystem, InternalError, type Middleware, type Step, type TrailStep } from "../../src/index.js";
import { fails, failure, gate, PATIENT, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** The steps of a chain: whose they are and what they are called. */
async function namesOf(system: EventSystem, correlationId: string): Promise<string[]> {
  const { steps } = await system.explain(correlationId, PATIENT);
  return steps.map(({ source, name }) => `${source.split("/")[0]} ${name}`);
}

/** Looking inside: where a call went, and who is there. */
export function insideTests(world: World): void {
  explainTests(world);
  underWayTests(world);
  standingTests(world);

  test("observers and middleware do not see what is asked inside, and nobody else may ask", async () => {
    const seen: unknown[] = [];
    const handle: Middleware["handle"] = (event, next) => {
      seen.push(event.topic);
      return next();
    };
    const watcher = world.system({ middleware: [{ handle }] });
    await watcher.subscribe(">", (data) => void seen.push(data), { observe: true, name: "all" }).ready();
    const other = world.system();
    await other.explain("x");
    await other.services();
    await sleep(50);
    assert.deepStrictEqual(seen, []);
    await fails(other.publishAndWait("system.ask", { subscriptions: true }), "INVALID_TOPIC");
    assert.deepStrictEqual(
      watcher.subscriptions.map((one) => one.topic),
      [">"],
    );
    assert.throws(() => watcher.subscribe(ASK_TOPIC, () => 1), {
      code: "INVALID_TOPIC",
      message: '"system.ask" is answered by the system itself; it can only be observed',
    });
    await watcher.subscribe(ASK_TOPIC, () => 1, { observe: true }).ready();
    const told = (await other.services(PATIENT)).flatMap(({ subscriptions }) => subscriptions.map((one) => one.topic));
    assert.ok(told.includes(">"), "and it still answers");
  });
}

/** What one instance tells when it is asked on `system.ask`. */
async function toldBy(world: World, system: EventSystem, question: object): Promise<Record<string, unknown>> {
  const raw = await world.raw();
  raw.port.dispatch(raw.envelope(REQUEST, ASK_TOPIC, question), "", system.instance);
  await until(() => raw.answers.length > 0, "it answered");
  return decode((raw.answers[0] as Envelope).data) as Record<string, unknown>;
}

function standingTests(world: World): void {
  test("an instance tells what it counted, all topics together", async () => {
    const [shop, prices] = [world.system({ service: "shop" }), world.system({ service: "prices" })];
    await prices.subscribe("standing.price", (data) => data).ready();
    await prices.subscribe("standing.refuse", () => Promise.reject(new Error("no"))).ready();
    await shop.publish("standing.event", 1);
    await shop.publishAndWait("standing.price", 1);
    await failure(shop.publishAndWait("standing.refuse", 1));
    const made = await toldBy(world, shop, { figures: true });
    const { service, instance, published, called, failed, in_flight, handled, round_trip } = made;
    assert.deepStrictEqual({ service, instance, published, called, failed, in_flight, handled }, {
      service: "shop", instance: shop.instance, published: 1, called: 2, failed: 1, in_flight: 0, handled: 0,
    }); // biome-ignore format: a table
    assert.equal(
      (round_trip as { buckets: number[] }).buckets.reduce((all, each) => all + each, 0),
      1,
    );
    const answered = await toldBy(world, prices, { figures: true });
    assert.deepStrictEqual(
      [answered.handled, answered.handler_failed, answered.pending, answered.called],
      [2, 1, 0, 0],
    );
    assert.ok((answered.since as number) <= (answered.time as number));
  });

  test("an instance tells its calls under way, within the process too", async () => {
    const [shop, prices, go] = [world.system({ service: "shop" }), world.system({ service: "prices" }), gate()];
    await prices.subscribe("standing.slow", () => go.opened).ready();
    await shop.subscribe("standing.here", () => go.opened).ready();
    const calls = ["standing.slow", "standing.slow", "standing.here"].map((topic, at) =>
      shop.publishAndWait(topic, at, { correlationId: `c-standing-${at}` }),
    );
    const told = () => toldBy(world, shop, { calls: 1_000 }) as Promise<{ calls: Record<string, unknown>[] }>;
    let now = await told();
    while (now.calls.length < 3 || now.calls.some(({ topic, responder }) => topic !== "standing.here" && !responder)) {
      now = await told();
    }
    const found = now.calls.map(({ correlation_id, topic, source, responder }) => [
      correlation_id,
      topic,
      source,
      responder,
    ]);
    const source = `shop/${shop.instance}`;
    assert.deepStrictEqual(found.sort(), [
      ["c-standing-0", "standing.slow", source, prices.instance],
      ["c-standing-1", "standing.slow", source, prices.instance],
      ["c-standing-2", "standing.here", source, ""],
    ]);
    const one = await toldBy(world, shop, { calls: 1 });
    assert.deepStrictEqual([(one.calls as unknown[]).length, one.total], [1, 3]);
    go.open();
    await Promise.all(calls);
    assert.deepStrictEqual((await toldBy(world, shop, { calls: 5 })).calls, []);
  });
}

/** The details of a chain's steps by their names; every name is there once. */
async function detailsOf(system: EventSystem, correlationId: string): Promise<Record<string, TrailStep["detail"]>> {
  const { steps } = await system.explain(correlationId, PATIENT);
  const details = Object.fromEntries(steps.map(({ name, detail }) => [name, detail]));
  assert.equal(Object.keys(details).length, steps.length, String(steps.map(({ name }) => name)));
  return details;
}

function underWayTests(world: World): void {
  test("what is under way is explained too", async () => {
    const [shop, prices] = [world.system({ service: "shop" }), world.system({ service: "prices" })];
    const [held, begun] = [gate(), [] as unknown[]];
    const handler = async (data: unknown) => {
      begun.push(data);
      await held.opened;
      return data;
    };
    const subscription = prices.subscribe("inside.held", handler, { name: "price", concurrency: 1 });
    await subscription.ready();
    const calls = [1, 2].map((n) => shop.publishAndWait("inside.held", n, { correlationId: `c-held-${n}` }));
    await until(() => subscription.mailbox.atWork().length === 2, "one runs, one waits");
    const first = begun[0] as number;
    await sleep(20);
    const running = await detailsOf(shop, `c-held-${first}`);
    const queued = await detailsOf(shop, `c-held-${3 - first}`);
    const usual = ["routed_remote", "dispatched", "received", "waiting"];
    assert.deepStrictEqual(Object.keys(running).sort(), [...usual, "running"].sort());
    assert.deepStrictEqual(Object.keys(queued).sort(), [...usual, "queued"].sort());
    assert.deepStrictEqual(Object.keys(running.waiting ?? {}), ["left_ms"]);
    const { left_ms: left } = running.waiting as { left_ms: number };
    assert.ok(left > 0 && left <= 30_000, String(left));
    assert.deepStrictEqual(Object.keys(queued.queued ?? {}), ["subscription", "for_ms"]);
    assert.equal(running.running?.subscription, "price");
    assert.ok(Number(running.running?.for_ms) >= 10);
    held.open();
    await Promise.all(calls);
    assert.ok(!(await namesOf(shop, `c-held-${first}`)).some((name) => /running|waiting/.test(name)));
  });

  test("what runs within the process, for an event or in a batch is explained too", async () => {
    const [system, held] = [world.system({ service: "one" }), gate()];
    const wait = () => held.opened;
    await system.subscribe("inside.held.here", wait, { name: "own" }).ready();
    await system.subscribe("inside.held.batch", wait, { name: "digest", batch: { size: 2 } }).ready();
    const own = { correlationId: "c-held-here" };
    const call = system.publishAndWait("inside.held.here", 1, own);
    assert.deepStrictEqual(await detailsOf(system, "c-held-here"), { running: { subscription: "own" } });
    await system.publish("inside.held.here", 1, { correlationId: "c-held-event" });
    for (let n = 0; n < 2; n++) await system.publish("inside.held.batch", n, { correlationId: `c-held-batch-${n}` });
    const running = { published: {}, running: { subscription: "own" } };
    assert.deepStrictEqual({ ...(await detailsOf(system, "c-held-event")), published: {} }, running);
    assert.deepStrictEqual((await detailsOf(system, "c-held-batch-1")).running, { subscription: "digest" });
    held.open();
    await call;
  });

  test("a request that was given up was received, and is cancelled once", async () => {
    const [shop, prices] = [world.system({ service: "shop" }), world.system({ service: "prices" })];
    const held = gate();
    await prices.subscribe("inside.givenup", () => held.opened, { name: "price" }).ready();
    const error = await fails(shop.publishAndWait("inside.givenup", 1, { ttl: 2_000 }), "TIMEOUT");
    await sleep(300); // both CANCEL and its own expiry have come
    const { steps } = await shop.explain(error.correlationId, PATIENT);
    const told = steps.filter(({ source }) => source.startsWith("prices"));
    assert.deepStrictEqual(
      told.map(({ name }) => name),
      ["received", "accepted", "cancelled", "running"],
      "and its handler does not heed that",
    );
    assert.deepStrictEqual(told[2]?.detail, { subscription: "price" });
    held.open();
  });
}

function explainTests(world: World): void {
  test("a call is explained by both sides", async () => {
    const [shop, prices, other] = ["shop", "prices", "other"].map((service) => world.system({ service })) as [
      EventSystem,
      EventSystem,
      EventSystem,
    ];
    await prices.subscribe("inside.price", (data) => data, { name: "price" }).ready();
    await shop.publishAndWait("inside.price", 1, { correlationId: "c-price" });
    const explained = await other.explain("c-price", PATIENT);
    const told = (name: string) =>
      explained.steps.filter((step) => step.source.startsWith(name)).map((step) => step.name);
    assert.deepStrictEqual(told("shop"), ["routed_remote", "dispatched", "completed"]);
    assert.deepStrictEqual(told("prices"), ["received", "replied"]);
    const details = Object.fromEntries(explained.steps.map((step) => [step.name, step.detail]));
    assert.deepStrictEqual(details.dispatched, { instance: prices.instance });
    assert.deepStrictEqual(details.replied, { subscription: "price" });
    assert.deepStrictEqual([...new Set(explained.steps.map((step) => step.topic))], ["inside.price"]);
    assert.equal(new Set(explained.steps.map((step) => step.callId)).size, 1);
    const missing = explained.missing.filter(({ service }) => service !== "peer"); // killed before it began
    assert.deepStrictEqual(missing, []);
    const lines = String(explained).split("\n");
    assert.deepStrictEqual([lines[0], lines.length], ["c-price", 6]);
  });

  test("an error names the chain of its call", async () => {
    const [system, other] = [world.system(), world.system()];
    const fail = () => {
      throw new RangeError("no such row");
    };
    await other.subscribe("inside.chain.raises", fail).ready();
    await system.subscribe("inside.chain.here", fail).ready();
    await system.subscribe("inside.chain.refuses", fail, { filter: () => false }).ready();
    for (const name of ["raises", "here", "refuses", "nobody"]) {
      const error = await failure(system.publishAndWait(`inside.chain.${name}`, 1));
      assert.ok(inspect(error).includes(`correlationId: '${error.correlationId}'`), inspect(error));
      const { steps } = await system.explain(error.correlationId, PATIENT);
      const failed = steps.filter((step) => step.name === "failed").map(({ detail }) => detail.code);
      assert.deepStrictEqual(new Set(failed), new Set([error.code]), name);
      assert.ok(!steps.some((step) => step.name === "completed"), name);
    }
    const retried = await failure(system.publishAndWait("inside.chain.nobody", 1, { retry: { base: 1, cap: 1 } }));
    assert.equal(
      (await system.explain(retried.correlationId, PATIENT)).steps.filter((s) => s.name === "retried").length,
      2,
    );
  });

  test("a call within the process is explained, and what one act caused is one chain", async () => {
    const [one, two] = [world.system({ service: "one" }), world.system({ service: "two" })];
    let chain = "";
    await one
      .subscribe("inside.outer", async (data, event) => {
        chain = event.correlationId;
        await one.publish("inside.told", data);
        return one.publishAndWait("inside.inner", data);
      })
      .ready();
    await two.subscribe("inside.inner", () => 1).ready();
    let handled = false;
    await two
      .subscribe("inside.told", () => {
        handled = true;
      })
      .ready();
    await one.publishAndWait("inside.outer", 1);
    await until(() => handled, "the event is handled");
    const names = await namesOf(two, chain);
    for (const expected of [
      "one routed_local",
      "one published",
      "one dispatched",
      "one completed",
      "two received",
      "two replied",
      "two handled",
    ]) {
      assert.ok(names.includes(expected), `${expected} of ${names}`);
    }
  });

  test("a failure is remembered when its processes are gone", async () => {
    const [caller, responder, later] = [world.system(), world.system(), world.system()];
    const fail = () => {
      throw new RangeError("no such row");
    };
    await responder.subscribe("inside.fail", fail, { name: "finder" }).ready();
    await later.start();
    await fails(caller.publishAndWait("inside.fail", 1, { correlationId: "c-fail" }), "HANDLER_ERROR");
    await caller.close();
    await responder.close();
    const details = Object.fromEntries(
      (await later.explain("c-fail", PATIENT)).steps.map((step) => [step.name, step.detail]),
    );
    assert.deepStrictEqual(details.failed, { code: "HANDLER_ERROR", outcome: "RAN", message: "no such row" });
    assert.deepStrictEqual(details.replied, { subscription: "finder", error: "HANDLER_ERROR" });
  });

  test("a failure after more than a trail holds is stored all the same", async () => {
    const [caller, responder, later] = [world.system(), world.system(), world.system()];
    const fail = (number: number) => {
      if (number < 0) throw new RangeError(`no row ${number}`);
      return number;
    };
    await responder.subscribe("inside.long", fail, { name: "finder" }).ready();
    await later.start();
    const own = { correlationId: "c-long" };
    for (let n = 0; n < 200; n++) await caller.publishAndWait("inside.long", n, own);
    for (let n = 1; n <= 40; n++) await fails(caller.publishAndWait("inside.long", -n, own), "HANDLER_ERROR");
    await caller.close();
    await responder.close();
    const { steps } = await later.explain("c-long", PATIENT);
    const failed = steps.filter(({ name }) => name === "failed");
    assert.deepStrictEqual(
      failed.slice(-2).map(({ detail }) => detail.message),
      ["no row -39", "no row -40"],
    );
    const last = steps.filter(({ callId }) => callId === failed.at(-1)?.callId).map(({ name }) => name);
    assert.deepStrictEqual(last.sort(), ["dispatched", "failed", "received", "replied", "routed_remote"]);
    assert.ok(failed.length < 40, "the oldest give way");
  });

  test("who cannot tell is missing, and nonsense hides nothing", async () => {
    const [system, raw] = [world.system({ service: "shop" }), await world.raw()];
    await raw.answersTo(ASK_TOPIC);
    await system.subscribe("inside.odd", (data) => data).ready();
    await system.publishAndWait("inside.odd", 1, { correlationId: "c-odd" });
    const error = errorToWire(new InternalError("no"));
    const answers: Partial<Envelope>[] = [
      { data: encode({ trail: Buffer.from([0xff]) }) },
      { data: encode({ trail: 5 }) },
      { data: Buffer.from([0xc1]) },
      { data: Buffer.alloc(0), error },
    ];
    for (const [at, answer] of answers.entries()) {
      raw.requests.length = 0;
      const asking = system.explain("c-odd");
      raw.reply(await raw.request(), undefined, answer);
      const { steps, missing } = await asking;
      assert.deepStrictEqual(
        steps.map(({ name }) => name),
        ["routed_local", "completed"],
      );
      assert.equal(missing.filter(({ service }) => service === "raw").length, at < 2 ? 0 : 1);
    }
  });

  test("unusual steps are told", async () => {
    const steps: Step[] = [];
    const caller = world.system({ observe: (step) => steps.push(step) });
    const own = (correlationId: string) => ({ correlationId });
    await fails(caller.publishAndWait("inside.rare", 1, own("c-none")), "NO_RESPONDERS");
    assert.ok((await namesOf(caller, "c-none")).some((name) => name.endsWith("failed")));
    let [begun, held] = [0, gate()];
    const slow = (data: unknown) => {
      begun += 1;
      return held.opened.then(() => data);
    };
    await world.system().subscribe("inside.rare", slow).ready();
    const keyed = { idempotencyKey: "k", ...own("c-key") };
    const both = [caller.publishAndWait("inside.rare", 1, keyed), caller.publishAndWait("inside.rare", 1, keyed)];
    await until(() => steps.some(({ name }) => name === "joined"), "the second has joined");
    held.open();
    await Promise.all(both);
    await caller.publishAndWait("inside.rare", 1, keyed);
    const names = (await namesOf(caller, "c-key")).map((name) => name.split(" ")[1]);
    for (const name of ["joined", "deduplicated"]) assert.equal(names.filter((one) => one === name).length, 1, name);
    [begun, held] = [0, gate()];
    const control = new AbortController();
    const gone = fails(
      caller.publishAndWait("inside.rare", 1, { signal: control.signal, ...own("c-gone") }),
      "CANCELLED",
    );
    await until(() => begun === 1, "it runs");
    control.abort();
    await gone;
    held.open();
    assert.ok((await namesOf(caller, "c-gone")).some((name) => name.endsWith("cancelled")));
    const stream = caller.publishAndStream("inside.rare", 1, own("c-stream"));
    for await (const _ of stream);
    assert.ok((await namesOf(caller, "c-stream")).some((name) => name.endsWith("completed")));
  });

  test("what nobody remembers is said so, and memory is bounded and can be switched off", async () => {
    const nothing = await world.system().explain("nothing-of-the-kind");
    assert.deepStrictEqual(nothing.steps, []);
    assert.match(String(nothing), /nobody remembers/);
    const silent = world.system({ settings: { explainCalls: 0 } });
    const few = world.system({ settings: { explainCalls: 10 } });
    await few.subscribe("inside.few", (data) => data).ready();
    for (let n = 0; n < 30; n++) await silent.publishAndWait("inside.few", n, { correlationId: `few-${n}` });
    const known: string[][] = [];
    for (let n = 0; n < 30; n++) known.push(await namesOf(silent, `few-${n}`));
    const remembered = known.filter((names) => names.length > 0).length;
    assert.ok(remembered >= 1 && remembered <= 10, String(remembered));
    assert.deepStrictEqual(
      new Set(known.flat().map((name) => name.split(" ")[1])),
      new Set(["received", "replied"]),
      "of the other one only",
    );
  });

  if (world.processes) {
    test("a frozen instance does not hide what the others tell", async () => {
      const caller = world.system();
      const peer = await world.peer();
      await caller.publishAndWait("peer.echo", 1, { correlationId: "c-frozen" });
      peer.process.kill("SIGSTOP");
      const { steps, missing } = await caller.explain("c-frozen", { ttl: 1500 });
      peer.process.kill("SIGCONT");
      assert.ok(missing.some(({ service }) => service === "peer"));
      assert.deepStrictEqual(
        steps.map((step) => step.name),
        ["routed_remote", "dispatched", "completed"],
      );
    });
  }
}
