import assert from "node:assert/strict";
import { test } from "node:test";
import { streamKey, wakeChannel } from "../../src/contract/contract.js";
import type { DurableDelivery, Event, Receipt } from "../../src/index.js";
import { chooseSettings } from "../../src/settings.js";
import { RedisTransport } from "../../src/transports/redis.js";
import { consumerOf, deliveryOf, Keys, newTopic, Seen } from "../support/durable.js";
import { Lossy } from "../support/lossy.js";
import { ask, killLinks } from "../support/redis.js";
import type { RedisServer } from "../support/server.js";
import { fails, gate, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const SHORT = { settings: { lease: 600, leaseRefresh: 200 } };
const WORK = /^tieline:.*:work$/;

/** What breaks: processes that stand still, connections, servers that forget. */
export function durableLeaseTests(world: World, redis: RedisServer): void {
  test("who lost its lease is told, cannot acknowledge, and what it does then is ignored", async () => {
    const topic = newTopic();
    const [begun, again, held, done] = [new Seen<Event>(), new Seen<DurableDelivery>(), gate(), gate()];
    const transport = new RedisTransport(redis.url, { namespace: "", settings: chooseSettings(SHORT.settings) });
    const slow = world.system({ ...SHORT, transport });
    const options = { durable: true, retry: { maxAttempts: 1 } }; // a lost process does not count as the event's failure at once
    const subscription = slow.subscribe(topic, (_, event) => begun.after(event, held.opened), options);
    await subscription.ready();
    await slow.publish(topic, 1, { key: "k" });
    await begun.reach(1);
    const thaw = freeze(transport);
    const other = world.system(SHORT);
    await other.subscribe(topic, (_, event) => again.after(deliveryOf(event), done.opened), options).ready();
    await again.reach(1);
    thaw();
    const [event, next] = [begun[0] as Event, again[0] as DurableDelivery];
    const delivery = deliveryOf(event);
    await until(() => delivery.lost, "it is told");
    assert.equal(next.attempt, 2);
    assert.ok(next.token > delivery.token);
    assert.throws(() => delivery.ack(), { code: "CONFLICT" });
    assert.equal(event.signal.aborted, true);
    held.open();
    await until(() => subscription.consumer?.held === 0, "it holds nothing");
    done.open();
    await again.stay(1);
    await begun.stay(1);
  });

  test("a batch whose leases are lost is told, and others handle its events", async () => {
    const [topic, begun, again, done] = [newTopic(), new Seen<Event>(), new Seen(), gate()];
    const transport = new RedisTransport(redis.url, { namespace: "", settings: chooseSettings(SHORT.settings) });
    const slow = world.system({ ...SHORT, transport });
    const hang = (_: unknown, event: Event) => begun.after(event, done.opened);
    const subscription = slow.subscribe(topic, hang, { durable: true, batch: { size: 2, ms: 60_000 } });
    await subscription.ready();
    await slow.publishMany(topic, [
      { data: 1, key: "k" },
      { data: 2, key: "l" },
    ]);
    await begun.reach(1);
    const thaw = freeze(transport);
    const take = (data: unknown) => again.push(data);
    await world.system(SHORT).subscribe(topic, take, { durable: true }).ready();
    await again.reach(2);
    thaw();
    await until(() => begun[0]?.signal.aborted === true, "it is told");
    assert.match(String(begun[0]?.signal.reason), /the lease of this event was lost; somebody else handles it/);
    await until(() => consumerOf(subscription).held === 0, "it holds nothing");
    done.open();
    await again.stay(2);
    await begun.stay(1);
  });

  test("what failed before is not begun by who lost it, and that is no failure", async () => {
    const topic = newTopic();
    const [tried, others, late] = [new Seen(), new Seen(), gate()];
    const transport = new RedisTransport(redis.url, { namespace: "", settings: chooseSettings(SHORT.settings) });
    const slow = world.system({ ...SHORT, transport });
    const failing = (_: unknown, event: Event) => {
      tried.push(deliveryOf(event).attempt);
      throw new Error("not yet");
    };
    const retry = { maxAttempts: 9, backoff: 1, jitter: false };
    const subscription = slow.subscribe(topic, failing, { durable: true, retry });
    await subscription.ready();
    const { mail } = transport;
    const { settle } = mail;
    let thaw: (() => void) | undefined;
    mail.settle = async (...given) => {
      if (given[2].some(({ verdict }) => verdict === "begin")) {
        thaw = freeze(transport);
        await late.opened;
      }
      return settle.apply(mail, given);
    };
    await slow.publish(topic, 1, { key: "k" });
    await until(() => thaw !== undefined, "it is to be begun again");
    const take = (_: unknown, event: Event) => void others.push(deliveryOf(event).attempt);
    await world.system(SHORT).subscribe(topic, take, { durable: true }).ready();
    await others.reach(1);
    late.open();
    thaw?.();
    await others.stay(1);
    assert.deepEqual([[...tried], [...others]], [[1], [2]]);
  });

  test("what has a stream's name stops nobody but its publisher, who is told", async () => {
    const [topic, system, keys] = [newTopic(), world.system(), new Keys()];
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    const taken = streamKey("tl:", topic, "a");
    await ask(redis, "SET", taken, "x");
    const stored = ["b", "c"].map((key) => system.publish(topic, 1, { key }));
    const error = await fails(system.publish(topic, 1, { key: "a" }), "CONFLICT");
    assert.match(error.message, /nothing was stored: .* that is no stream; remove that, or choose another key$/);
    assert.equal(error.outcome, "NOT_DELIVERED");
    await Promise.all(stored);
    await until(() => keys.count === 2, "the others are handled");
    await ask(redis, "DEL", taken);
    await system.publish(topic, 1, { key: "a" });
    await until(() => keys.count === 3, "the name is free again");
  });

  test("who stops instead of claiming wakes the others", async () => {
    const topic = newTopic();
    const [begun, seen, held, answered] = [new Seen(), new Seen(), gate(), gate()];
    const transport = new RedisTransport(redis.url, { namespace: "", settings: chooseSettings({}) });
    const first = world.system({ transport });
    const options = { durable: true, concurrency: 2 };
    const subscription = first.subscribe(topic, (data) => begun.after(data, held.opened), options);
    await subscription.ready();
    await first.publish(topic, 1, { key: "k" });
    await begun.reach(1);
    await world
      .system()
      .subscribe(topic, (data) => seen.push(data), { durable: true })
      .ready();
    const { mail } = transport;
    const { claim } = mail;
    let claimed = false;
    mail.claim = async (...given) => {
      const found = await claim.apply(mail, given);
      claimed = true;
      await answered.opened;
      return found;
    };
    const consumer = consumerOf(subscription);
    consumer.wake();
    await until(() => claimed, "nothing was to be claimed");
    mail.claim = claim;
    await first.publish(topic, 2, { key: "k" });
    held.open();
    await until(() => consumer.held === 0, "the first event is handled");
    await sleep(50);
    const leaving = subscription.unsubscribe();
    await until(() => consumer.stopped, "it claims nothing new");
    const before = Date.now();
    answered.open();
    await leaving;
    await seen.reach(1);
    assert.ok(Date.now() - before < 8000, "a lease lasts longer");
  });

  test("an idle consumer is woken by a publish, and asks for nothing else", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const subscription = world.system().subscribe(topic, (data) => seen.push(data), { durable: true, group: "g" });
    await subscription.ready();
    const publisher = world.system();
    const asleep = () => ask(redis, "HGET", `tl:as:{${topic}}`, "g");
    for (const number of [1, 2, 3]) {
      while (String(await asleep()) !== "1") await sleep(5);
      assert.deepEqual(await ask(redis, "PUBSUB", "SHARDNUMSUB", wakeChannel("tl:", topic)), [
        Buffer.from(wakeChannel("tl:", topic)),
        1,
      ]);
      await publisher.publish(topic, number, { key: "k" });
      await seen.reach(number);
    }
  });

  test("what was not answered when the connection broke is stored once, in its order", async () => {
    const [topic, keys] = [newTopic(), new Keys()];
    const system = world.system({ service: "breaking" });
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    const receipts: Promise<Receipt>[] = [];
    let published = 0;
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 300; n++) {
        receipts.push(system.publish(topic, published++, { key: "k", waitForConnection: 20_000 }));
        if (n % 50 === 0) await new Promise(setImmediate);
        if (n === 150) void killLinks(redis, /^tieline:breaking:[^:]*$/);
      }
      await until(() => !system.connected, "the link broke", 2000).catch(() => undefined);
      await until(() => system.connected, "the link is back");
    }
    await Promise.all(receipts);
    await until(() => keys.count >= published, "all are handled");
    assert.deepEqual(
      keys.of("k"),
      Array.from({ length: published }, (_, number) => number),
    );
  });

  test("what is stored when the answer is lost is not stored again", async (context) => {
    const topic = newTopic();
    const way = await Lossy.before(redis.port);
    context.after(() => way.stop());
    const system = world.system({ url: way.url });
    const length = () => ask(redis, "XLEN", streamKey("tl:", topic, "k"));
    await system.publish(topic, 0, { key: "k" });
    way.deaf = true;
    const publications = [1, 2, 3].map((number) => system.publish(topic, number, { key: "k" }));
    while ((await length()) !== 4) await sleep(5);
    way.cut();
    for (const { stored } of await Promise.all(publications)) {
      assert.deepEqual(stored, { stream: streamKey("tl:", topic, "k"), entry: "", duplicate: false });
    }
    await system.publish(topic, 4, { key: "k" });
    assert.equal(await length(), 5);
  });

  test("a publish ends when the system closes while the broker is away", async () => {
    const topic = newTopic();
    const system = world.system();
    await system.publish(topic, 0, { key: "k" });
    redis.pause();
    const publication = system.publish(topic, 1, { key: "k" });
    await sleep(50);
    await system.close(0);
    redis.resume();
    const error = await fails(publication, "UNAVAILABLE");
    assert.equal(error.outcome, "MAY_HAVE_RUN");
  });

  for (const loses of ["deaf", "mute"] as const) {
    test(`what is handled when the way to the server is ${loses} is settled as soon as it is back`, async (context) => {
      const [topic, seen] = [newTopic(), new Seen<[unknown, number]>()];
      const way = await Lossy.before(redis.port);
      context.after(() => way.stop());
      const system = world.system({ url: way.url, settings: { lease: 60_000 } });
      const handler = (data: unknown, event: Event) => {
        seen.push([data, deliveryOf(event).attempt]);
        if (data === 15) way[loses] = true; // the last one of the first claim
      };
      // A claim whose answer is lost leases what nobody has; so there is nothing to claim then.
      const numbers = Array.from({ length: loses === "deaf" ? 16 : 20 }, (_, number) => number);
      for (const number of numbers) await system.publish(topic, number, { key: "k" });
      await system.subscribe(topic, handler, { durable: true, concurrency: 1 }).ready();
      await seen.reach(16);
      await sleep(100); // what is settled now is lost
      way.cut();
      await seen.stay(numbers.length);
      await world.system().publish(topic, numbers.push(numbers.length) - 1, { key: "k" });
      await seen.stay(numbers.length);
      assert.deepEqual(
        [...seen],
        numbers.map((number) => [number, 1]),
      );
    });
  }

  test("the work link breaks now and then: each key keeps its order", async () => {
    const [topic, keys] = [newTopic(), new Keys(2)];
    const system = world.system();
    await system.subscribe(topic, keys.take, { durable: true, concurrency: 2 }).ready();
    let broken = 0;
    for (let number = 0; number < 60; number++) {
      await system.publish(topic, number, { key: `k${number % 3}` });
      if (number % 20 === 10) broken += await killLinks(redis, WORK);
    }
    const handled = () => ["k0", "k1", "k2"].map((key) => new Set(keys.of(key).map(Number)));
    await until(() => handled().every(({ size }) => size === 20), "all are handled", 40_000);
    assert.ok(broken > 0);
    for (const seen of handled())
      assert.deepEqual(
        [...seen],
        [...seen].sort((one, other) => one - other),
      );
  });

  test("scripts that the server forgot are sent again, without confusing the numbers", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const system = world.system();
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await system.publish(topic, 0, { key: "k" });
    await ask(redis, "SCRIPT", "FLUSH");
    await Promise.all([1, 2, 3].map((number) => system.publish(topic, number, { key: "k", maxStored: 100 + number })));
    await seen.stay(4);
    assert.deepEqual([...seen], [0, 1, 2, 3]);
  });

  test("a server that lost everything: the group is there again, and what comes then is handled", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const system = world.system();
    await system.subscribe(topic, (data) => seen.push(data), { durable: true, group: "g" }).ready();
    await system.publish(topic, 1, { key: "k" });
    await seen.reach(1);
    await ask(redis, "FLUSHALL");
    await system.publish(topic, 2, { key: "k" });
    await seen.stay(2);
  });

  test("several systems of one connection are woken for their own groups, also after one of them has left", async () => {
    const topic = newTopic();
    const [system, one, two] = [world.system(), new Seen(), new Seen()];
    const first = system.subscribe(topic, (data) => one.push(data), { durable: true, group: "one" });
    await first.ready();
    await system.subscribe(topic, (data) => two.push(data), { durable: true, group: "two" }).ready();
    await system.publish(topic, 1, { key: "k" });
    await Promise.all([one.reach(1), two.reach(1)]);
    await until(() => consumerOf(first).held === 0, "nothing is held");
    await first.unsubscribe();
    await system.publish(topic, 2, { key: "k" });
    await two.stay(2);
    await one.stay(1);
  });
}

/** Has a process neither extend its leases nor claim, as if it stood still. Returns how to undo that. */
function freeze({ mail }: RedisTransport): () => void {
  const { open, opened } = gate();
  const { claim, extend } = mail;
  mail.claim = (...given) => opened.then(() => claim.apply(mail, given));
  mail.extend = (...given) => opened.then(() => extend.apply(mail, given));
  return open;
}
