import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeadLetter, Event, EventSystem, SubscribeOptions } from "../../src/index.js";
import { AT_ONCE, deliveryOf, newTopic, Seen } from "../support/durable.js";
import { fails, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const ONCE = { maxAttempts: 1, redrives: 1, redriveAfter: 1000 };
const TWICE = { maxAttempts: 1, redrives: 2, redriveAfter: 1000 };
const ON_FAILURE: SubscribeOptions = { durable: true, onPoison: "dead_letter" };

/** Dead letters that are put back by themselves: after a while, so often, and each once however many handle them. */
export function durableRedriveTests(world: World): void {
  test("a dead letter comes back so often, and then stays", async () => {
    const [topic, system, seen, begun] = [newTopic(), world.system(), new Seen(), performance.now()];
    await system.subscribe(topic, failing(seen), { ...ON_FAILURE, retry: TWICE }).ready();
    const { id } = await system.publish(topic, 1, { key: "k" });
    await seen.reach(3);
    assert.ok(performance.now() - begun >= 1990, "it lies for a second each time");
    const [letter] = await lettersOf(system, topic, 2);
    assert.deepEqual([letter?.event.id, letter?.event.data, letter?.event.key], [id, 1, "k"]);
    assert.deepEqual([letter?.redriven, letter?.attempts], [2, 1]);
    await sleep(1500);
    await seen.stay(3);
    assert.equal((await system.deadLetters.list(topic)).length, 1);
  });

  test("a dead letter whose cause is gone is handled", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    let mended = false;
    const take = (data: unknown) => {
      seen.push(data);
      if (!mended) throw new RangeError("not yet");
    };
    await system.subscribe(topic, take, { ...ON_FAILURE, retry: ONCE }).ready();
    for (const number of [0, 1, 2]) await system.publish(topic, number, { durable: true });
    await seen.reach(3);
    mended = true;
    await seen.stay(6);
    assert.deepEqual([...seen].sort(), [0, 0, 1, 1, 2, 2]);
    assert.deepEqual(await system.deadLetters.list(topic), []);
  });

  test("each letter comes back once, however many handle the topic", async () => {
    const [topic, publisher, seen] = [newTopic(), world.system(), new Seen()];
    for (const system of [1, 2, 3].map(() => world.system())) {
      await system.subscribe(topic, failing(seen), { ...ON_FAILURE, retry: ONCE }).ready();
    }
    for (let number = 0; number < 150; number++) await publisher.publish(topic, number, { key: `k${number % 7}` });
    await seen.reach(300);
    while ((await lettersOf(publisher, topic, 1)).length < 150) await sleep(10);
    await seen.stay(300);
    assert.equal(new Set(seen).size, 150);
  });

  test("nothing comes back where nobody wants it", async () => {
    const [topic, system, plain, wanted] = [newTopic(), world.system(), new Seen(), new Seen()];
    await system.subscribe(topic, failing(plain), { ...ON_FAILURE, retry: AT_ONCE, group: "by-hand" }).ready();
    await system.subscribe(topic, failing(wanted), { ...ON_FAILURE, retry: ONCE, group: "by-itself" }).ready();
    await system.publish(topic, 1, { key: "k" });
    await wanted.reach(2);
    await until(() => plain.length >= 3, "it failed for the last time");
    await wanted.stay(2);
    await plain.stay(3);
    const byHand = await system.deadLetters.list(topic, { group: "by-hand" });
    assert.deepEqual(
      byHand.map(({ redriven }) => redriven),
      [0],
    );
  });

  test("what was rejected stays dead", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    const take = (data: unknown, event: Event) => {
      seen.push(data);
      if (data === "no") deliveryOf(event).reject("no such card");
      throw new RangeError("not yet");
    };
    await system.subscribe(topic, take, { ...ON_FAILURE, retry: ONCE }).ready();
    for (const data of ["no", "perhaps"]) await system.publish(topic, data, { durable: true });
    await seen.stay(2);
    await seen.stay(3);
    assert.deepEqual([...seen].sort(), ["no", "perhaps", "perhaps"]);
  });

  test("a letter that was put back by hand remembers that", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    await system.subscribe(topic, failing(seen), { ...ON_FAILURE, retry: AT_ONCE }).ready();
    await system.publish(topic, 1, { key: "k" });
    for (const redriven of [0, 1, 2]) {
      const [{ id }] = (await lettersOf(system, topic, redriven)) as [DeadLetter];
      if (redriven === 1) await system.deadLetters.edit(topic, id, 1);
      else await system.deadLetters.redrive(topic, { ids: [id] });
    }
    assert.equal((await lettersOf(system, topic, 3)).length, 1);
  });

  test("what died while nobody ran comes back at once, if it has lain long enough", async () => {
    const [topic, system, seen, handled] = [newTopic(), world.system(), new Seen(), new Seen()];
    const subscription = system.subscribe(topic, failing(seen), { ...ON_FAILURE, retry: AT_ONCE });
    await subscription.ready();
    await system.publish(topic, 1, { key: "k" });
    await lettersOf(system, topic, 0);
    await subscription.unsubscribe();
    await sleep(1100);
    await world
      .system()
      .subscribe(topic, (data) => handled.push(data), { durable: true, retry: ONCE })
      .ready();
    await handled.reach(1);
  });

  for (const wrong of [{ redrives: -1 }, { redrives: 1.5 }, { redriveAfter: 500 }]) {
    test(`redrives that make no sense are refused: ${JSON.stringify(wrong)}`, async () => {
      const subscribe = async () => world.system().subscribe(newTopic(), () => {}, { durable: true, retry: wrong });
      const { message } = await fails(subscribe(), "INVALID_ARGUMENT");
      assert.match(message, /of a retry policy is/);
    });
  }
}

/** Remembers, and throws. */
function failing(seen: Seen) {
  return (data: unknown) => {
    seen.push(data);
    throw new RangeError("never");
  };
}

/** The dead letters of a topic, when there are some that were all put back so often. */
async function lettersOf(system: EventSystem, topic: string, often: number): Promise<DeadLetter[]> {
  for (;;) {
    const letters = await system.deadLetters.list(topic, { limit: 1_000 });
    if (letters.length > 0 && letters.every(({ redriven }) => redriven === often)) return letters;
    await sleep(10);
  }
}
