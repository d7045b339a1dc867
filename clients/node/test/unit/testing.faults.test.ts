import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { EventSystem } from "../../src/index.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import * as testing from "../../src/testing/index.js";
import { chooseTransport } from "../../src/transports/choose.js";
import { RedisServer } from "../support/server.js";
import { fails, until } from "../support/waiting.js";
import { never, Watched } from "../support/watched.js";
import { silent } from "../support/world.js";

/** Two systems, their broker, and what the second one's handlers got. */
class World {
  readonly broker = new testing.Broker();
  readonly faults = this.broker.faults;
  readonly clock = this.broker.clock;
  readonly shop = this.broker.system("shop", { logger: silent });
  readonly stock = this.broker.system("stock", { logger: silent });
  readonly got: unknown[] = [];

  static async make(t: TestContext): Promise<World> {
    const world = new World();
    t.after(() => world.broker.close());
    const { stock, got } = world;
    stock.subscribe("stock.reserve", (order) => {
      got.push(order);
      return "reserved";
    });
    stock.subscribe<number>("stock.count", function* (end) {
      for (let number = 0; number < end; number++) yield number;
    });
    stock.subscribe("order.*", (data) => void got.push(data));
    await Promise.all([world.shop.start(), stock.start()]);
    await world.broker.inStep();
    return world;
  }

  /** A call of the first one, in the background. */
  call(topic: string, data?: unknown, options = {}): Watched<unknown> {
    return new Watched(this.shop.publishAndWait(topic, data, options));
  }
}

test("what is delayed arrives later", async (t) => {
  const { faults, shop, clock, got } = await World.make(t);
  const rule = faults.delay(5000, "order.placed");
  await shop.publish("order.placed", 1);
  await shop.publish("order.paid", 2);
  await clock.advance(4900);
  assert.deepEqual(got, [2]);
  await clock.advance(100);
  assert.deepEqual(got, [2, 1]);
  assert.equal(rule.hits, 1);
});

test("a reply that comes too late is a timeout", async (t) => {
  const world = await World.make(t);
  world.faults.delay(20_000, ">", { kind: "request" });
  world.faults.delay(20_000, "stock.reserve", { kind: "reply" });
  const calling = world.call("stock.reserve", 1, { ttl: 30_000 });
  await world.clock.advance(30_000);
  assert.equal((await fails(calling.value(), "TIMEOUT")).outcome, "MAY_HAVE_RUN");
  assert.deepEqual(world.got, [1]);
  world.faults.clear();
  assert.equal(await world.shop.publishAndWait("stock.reserve", 2), "reserved");
});

for (const [kind, ran] of [["request", []] as const, ["reply", [1]] as const]) {
  test(`a ${kind} that is lost never arrives`, async (t) => {
    const world = await World.make(t);
    world.faults.lose("stock.reserve", { kind, times: 1 });
    const calling = world.call("stock.reserve", 1, { ttl: 10_000 });
    await world.clock.advance(10_000);
    await fails(calling.value(), "TIMEOUT");
    assert.deepEqual(world.got, ran);
    assert.equal(await world.shop.publishAndWait("stock.reserve", 2), "reserved");
  });
}

test("a lost item of a stream is noticed", async (t) => {
  const { faults, shop } = await World.make(t);
  faults.lose("stock.count", { kind: "stream_item", times: 1 });
  await fails(shop.publishAndStream("stock.count", 3).next(), "UNAVAILABLE");
});

test("duplicates arrive twice", async (t) => {
  const { faults, shop, clock, got } = await World.make(t);
  faults.duplicate("order.*");
  faults.duplicate(">", { kind: "reply" });
  faults.duplicate("stock.count", { kind: "stream_item" });
  await shop.publish("order.placed", 1);
  await clock.settle();
  assert.deepEqual(got, [1, 1]);
  assert.equal(await shop.publishAndWait("stock.reserve", 2), "reserved");
  const read: unknown[] = [];
  for await (const item of shop.publishAndStream("stock.count", 40)) read.push(item);
  assert.deepEqual(read, [...Array(40).keys()]);
});

test("a part is lost by chance, and the same one each time", async () => {
  const arrived = async (seed: number) => {
    const broker = new testing.Broker({ seed });
    const got: unknown[] = [];
    broker.system("stock").subscribe("order.*", (data) => void got.push(data));
    broker.faults.lose(">", { share: 0.5 });
    const shop = broker.system("shop");
    for (let number = 0; number < 200; number++) await shop.publish("order.placed", number);
    await broker.close();
    return got;
  };
  const first = await arrived(1);
  assert.ok(first.length > 50 && first.length < 150);
  assert.deepEqual(await arrived(1), first);
  assert.notDeepEqual(await arrived(2), first);
});

test("one of two systems may be worse off", async (t) => {
  const { broker, faults, shop, stock, clock, got } = await World.make(t);
  const other: unknown[] = [];
  broker.system("audit").subscribe("order.*", (data) => void other.push(data));
  faults.lose(">", { to: stock });
  await shop.publish("order.placed", 1);
  await clock.settle();
  assert.deepEqual([got, other], [[], [1]]);
});

test("what a system handles itself does not cross the wire", async (t) => {
  const { faults, stock } = await World.make(t);
  faults.lose();
  assert.equal(await stock.publishAndWait("stock.reserve", 1), "reserved");
});

test("behind a cut link nobody is reached until it is mended", async (t) => {
  const { broker, faults, shop, stock, clock, got } = await World.make(t);
  const gaps: number[] = [];
  stock.subscribe("order.*", () => undefined, { onGap: (since, until) => void gaps.push(+until - +since) });
  await broker.inStep();
  await faults.cut(stock);
  assert.deepEqual([stock.connected, shop.connected], [false, true]);
  await fails(shop.publishAndWait("stock.reserve", 1), "NO_RESPONDERS");
  assert.equal((await fails(stock.publish("order.placed", 2), "UNAVAILABLE")).outcome, "NOT_DELIVERED");
  await shop.publish("order.placed", 3);
  await clock.advance(2000);
  await faults.restore(stock);
  await clock.settle();
  assert.deepEqual(got, []);
  assert.deepEqual(gaps, [2000]);
  assert.equal(await shop.publishAndWait("stock.reserve", 4), "reserved");
});

test("a reply waits for the link, and a lease that has ended does not", async (t) => {
  const world = await World.make(t);
  const { faults, stock, clock } = world;
  stock.subscribe<number>("slow", async (ms) => {
    await clock.sleep(ms);
    return "late";
  });
  const first = world.call("slow", 1000);
  await clock.settle();
  await faults.cut(stock);
  await clock.advance(1000);
  assert.equal(first.done, false);
  await faults.restore(stock);
  assert.equal(await first.value(), "late");
  const second = world.call("slow", 60_000, { ttl: 120_000 });
  await clock.settle();
  await faults.cut(stock);
  await clock.advance(16_000);
  assert.ok(second.done);
  await fails(second.value(), "RESPONDER_LOST");
});

test("without a broker calls in flight end, and new ones wait if they may", async (t) => {
  const world = await World.make(t);
  const { broker, faults, shop, clock } = world;
  faults.lose("stock.reserve", { times: 1 });
  const flying = world.call("stock.reserve", 1);
  await clock.settle();
  await faults.cut();
  assert.equal((await fails(flying.value(), "UNAVAILABLE")).outcome, "MAY_HAVE_RUN");
  assert.equal((await fails(shop.publishAndWait("stock.reserve", 2), "UNAVAILABLE")).outcome, "NOT_DELIVERED");
  await assert.rejects(broker.system("late", { logger: silent }).start(), { code: "UNAVAILABLE" });
  const waiting = world.call("stock.reserve", 3, { waitForConnection: 10_000 });
  await clock.advance(5000);
  assert.equal(waiting.done, false);
  await faults.restore();
  assert.equal(await waiting.value(), "reserved");
});

test("what is subscribed behind a cut link is registered when it is mended", async (t) => {
  const { faults, shop, stock, clock } = await World.make(t);
  await faults.cut(stock);
  const subscription = stock.subscribe("new", () => "new");
  const ready = new Watched(subscription.ready());
  await clock.settle();
  assert.equal(ready.done, false);
  await fails(shop.publishAndWait("new"), "NO_RESPONDERS");
  await faults.restore();
  await ready.value();
  assert.equal(await shop.publishAndWait("new"), "new");
});

test("after a death an idempotent call goes to another", async (t) => {
  const world = await World.make(t);
  const { broker, faults, shop, stock, clock } = world;
  stock.subscribe("pay", never);
  await broker.inStep();
  const calling = world.call("pay", 1, { idempotent: true });
  await clock.settle();
  broker.system("stock").subscribe("pay", () => "by the other");
  await broker.inStep();
  await faults.kill(stock);
  await clock.advance(3000);
  assert.equal(await calling.value(), "by the other");
  await fails(shop.publishAndWait("stock.reserve", 1), "NO_RESPONDERS");
});

test("who reads the trail of a lost reply sees where it went", async (t) => {
  const world = await World.make(t);
  world.faults.lose("stock.reserve", { kind: "reply" });
  const calling = world.call("stock.reserve", 1, { ttl: 1000, correlationId: "c" });
  await world.clock.advance(1000);
  await fails(calling.value(), "TIMEOUT");
  world.faults.clear();
  const { steps } = await world.shop.explain("c");
  const told = steps.map((step) => `${step.source.split("/")[0]} ${step.name}`);
  assert.ok(told.includes("stock replied") && told.includes("shop failed"), told.join(", "));
});

test("faults work over Redis", async (t) => {
  const server = await RedisServer.start();
  t.after(() => server.stop());
  const faults = new testing.Faults();
  const make = async () => {
    const transport = await chooseTransport(server.url, "", DEFAULT_SETTINGS)();
    const events = new EventSystem({ transport: faults.around(transport), logger: silent });
    t.after(() => events.close());
    return events.start();
  };
  const [shop, stock] = [await make(), await make()];
  const got: unknown[] = [];
  await stock.subscribe("order.*", (data) => void got.push(data)).ready();
  faults.lose("order.placed", { times: 1 });
  faults.delay(10, "order.paid");
  await shop.publish("order.placed", 0);
  await shop.publish("order.placed", 1);
  await shop.publish("order.paid", 2);
  await until(() => got.length === 2, "two events arrive");
  await faults.cut(stock);
  await shop.publish("order.placed", 3);
  await faults.restore(stock);
  await shop.publish("order.placed", 4);
  await until(() => got.length === 3, "an event arrives after the link was mended");
  assert.deepEqual(got, [1, 2, 4]);
});

test("rules that make no sense are refused", () => {
  const faults = new testing.Faults();
  const wrong: [() => unknown, RegExp][] = [
    [() => faults.delay(0), /above 0/],
    [() => faults.lose("order.>.x"), /order/],
    [() => faults.lose(">", { kind: "letter" as testing.Kind }), /stream_item/],
    [() => faults.lose(">", { share: 1.5 }), /share/],
    [() => faults.lose(">", { times: 0 }), /times/],
  ];
  for (const [make, says] of wrong) assert.throws(make, { message: says });
});

test("a system of another broker has no link here", async (t) => {
  const { faults } = await World.make(t);
  const stranger = await testing.system();
  t.after(() => stranger.close());
  await assert.rejects(faults.cut(stranger), { code: "INVALID_ARGUMENT", message: /this broker/ });
});
