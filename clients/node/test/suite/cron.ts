import assert from "node:assert/strict";
import { test } from "node:test";
import { AlreadyExistsError, type Event, type EventSystem, NotFoundError, UnsupportedError } from "../../src/index.js";
import { newTopic, Seen } from "../support/durable.js";
import { until } from "../support/waiting.js";
import type { World } from "../support/world.js";

type Told = { readonly what: string; readonly data: Record<string, unknown> };

/** What is told of a task, by the last token of the topic. */
async function toldOf(system: EventSystem, task: string): Promise<Told[]> {
  const told: Told[] = [];
  const take = (data: Record<string, unknown>, event: Event) => {
    if (data.task === task) told.push({ what: event.topic.split(".").at(-1) ?? "", data });
  };
  await system.subscribe("cron.task.*", take).ready();
  return told;
}

function isOver(told: readonly Told[], how: string): () => boolean {
  return () => told.some(({ what }) => what === how);
}

/** Cron tasks: each tick once, whoever fires it, and what is told of it. */
export function cronTests(world: World): void {
  test("a tick is an event for everyone, once", async () => {
    const [maker, other, topic] = [world.system(), world.system(), newTopic()];
    const [events, mine] = [new Seen<Event>(), new Seen<Event>()];
    await other.subscribe(topic, (_, event) => events.push(event)).ready();
    await maker.subscribe(topic, (_, event) => mine.push(event)).ready();
    const told = await toldOf(other, topic);
    const made = await maker.cron.create(topic, "every 1s", topic, { a: 1 }, { headers: { h: "x" } });
    assert.deepEqual([made.last, made.runs], [undefined, 0]);
    await until(() => events.length >= 2 && mine.length >= 2, "two ticks");
    for (const [at, event] of events.slice(0, 2).entries()) {
      const tick = made.created.getTime() + 1000 * (at + 1);
      assert.deepEqual([event.scheduled?.getTime(), event.id], [tick, `${topic}:${tick}`]);
      assert.ok(event.time.getTime() >= tick);
      assert.deepEqual([event.data, event.headers.h], [{ a: 1 }, "x"]);
    }
    const ofFirst = () => told.filter(({ data }) => data.id === events[0]?.id).map(({ what }) => what);
    await until(() => ofFirst().includes("completed"), "completed");
    await other.cron.delete(topic);
    await until(isOver(told, "deleted"), "deleted");
    assert.deepEqual([told[0]?.what, ...ofFirst()], ["created", "executed", "completed"]);
    await assert.rejects(maker.cron.get(topic), NotFoundError);
  });

  test("a call, its reply, and one that fails and is retried", async () => {
    const [asking, answering, good, bad] = [world.system(), world.system(), newTopic(), newTopic()];
    const [done, failed] = [await toldOf(asking, good), await toldOf(asking, bad)];
    let tries = 0;
    await answering.subscribe(good, (data: number[]) => data.length).ready();
    const fail = () => {
      tries += 1;
      if (tries < 4) throw new Error(`no ${tries}`);
    };
    await answering.subscribe(bad, fail).ready();
    await asking.cron.create(good, "@yearly", good, [1, 2, 3], { call: true });
    await asking.cron.create(bad, "@yearly", bad, null, { call: true, retries: 2, retryDelay: 50 });
    const id = await asking.cron.runNow(good);
    const other = await asking.cron.runNow(bad);
    await until(isOver(done, "completed"), "completed");
    await until(isOver(failed, "failed"), "failed");
    const ids = [done.find(({ what }) => what === "completed"), failed.find(({ what }) => what === "failed")];
    assert.deepEqual(
      ids.map((each) => each?.data.id),
      [id, other],
    );
    const { last, runs } = await asking.cron.get(good);
    assert.deepEqual([last?.status, last?.reply, last?.attempts, runs], ["completed", 3, 1, 1]);
    const wrong = (await asking.cron.get(bad)).last;
    assert.deepEqual([wrong?.status, wrong?.attempts, wrong?.error?.message, tries], ["failed", 3, "no 3", 3]);
    assert.equal((await asking.schedules.get(other)).status, "failed");
    await asking.schedules.retry(other);
    await until(isOver(failed, "completed"), "completed after all");
    assert.equal(tries, 4);
    for (const name of [good, bad]) await asking.cron.delete(name);
  });

  test("each run that is asked for has an id of its own, and is told", async () => {
    const [maker, other, topic, seen] = [world.system(), world.system(), newTopic(), new Seen<Event>()];
    const told = await toldOf(other, topic);
    await other.subscribe(topic, (_, event) => seen.push(event)).ready();
    await maker.cron.create(topic, "@yearly", topic, null, { paused: true });
    const asked = [maker, other].flatMap(({ cron }) => Array.from({ length: 5 }, () => cron.runNow(topic)));
    const made = (await Promise.all(asked)).sort();
    assert.equal(new Set(made).size, 10);
    await until(() => told.length >= 21 && seen.length >= 10, "all that is told");
    assert.deepEqual(seen.map(({ id }) => id).sort(), made);
    for (const how of ["executed", "completed"]) {
      const ids = told.filter(({ what }) => what === how).map(({ data }) => data.id);
      assert.deepEqual(ids.sort(), made);
    }
    const executed = told.find(({ what }) => what === "executed")?.data;
    assert.equal(executed?.id, `${topic}:${Number(executed?.tick as Date)}`);
    assert.deepEqual([executed?.topic, executed?.call], [topic, false]);
    assert.equal((await maker.cron.get(topic)).runs, 10);
    await maker.cron.delete(topic);
  });

  test("a task is paused, run, resumed, updated, listed and deleted", async () => {
    const [system, topic, seen] = [world.system(), newTopic(), new Seen<Event>()];
    const [{ cron }, one, other] = [system, `${topic}.a`, `${topic}.b`];
    await system.subscribe(topic, (_, event) => seen.push(event)).ready();
    for (const name of [other, one]) await cron.create(name, "0 0 1 1 *", topic, name, { zone: "Europe/Berlin" });
    const names = (await cron.list({ limit: 1000 })).items.map(({ name }) => name);
    assert.deepEqual(
      names.filter((name) => name.startsWith(`${topic}.`)),
      [one, other],
    );
    const paused = await cron.pause(one);
    assert.deepEqual([paused.paused, paused.next], [true, undefined]);
    const made = await cron.runNow(one);
    await until(() => seen.length === 1, "the run");
    assert.equal(seen[0]?.id, made);
    assert.deepEqual((await cron.resume(one)).next, (await cron.get(other)).next);
    const changed = await cron.update(one, { expression: "0 0 * * *", data: [1], misfire: "skip" });
    assert.deepEqual(changed, await cron.get(one));
    const again = await cron.update(one);
    assert.deepEqual([again.expression, again.data, again.next], [changed.expression, changed.data, changed.next]);
    assert.deepEqual([changed.data, changed.misfire, changed.zone], [[1], "skip", "Europe/Berlin"]);
    await assert.rejects(cron.create(other, "@daily", topic), AlreadyExistsError);
    for (const name of [one, other]) assert.equal((await cron.delete(name)).name, name);
    for (const again of [cron.get(one), cron.delete(one), cron.pause(one), cron.runNow(one), cron.update(one)]) {
      await assert.rejects(again, NotFoundError);
    }
  });

  test("a tick with a key is stored, where events can be", async () => {
    const [system, topic, seen] = [world.system(), newTopic(), new Seen<Event>()];
    const creation = system.cron.create(topic, "@yearly", topic, 7, { key: "k" });
    if (!world.redis && !world.gateway) {
      await assert.rejects(creation, UnsupportedError);
      return;
    }
    await creation;
    const made = await system.cron.runNow(topic);
    await system.subscribe(topic, (_, event) => seen.push(event), { durable: true }).ready();
    await until(() => seen.length === 1, "the run");
    assert.deepEqual([seen[0]?.id, seen[0]?.key, seen[0]?.data], [made, "k", 7]);
    await system.cron.delete(topic);
  });
}
