import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import {
  currentEvent,
  type Event,
  type EventSystem,
  InvalidArgumentError,
  type PublishOptions,
  type Schedule,
  type ScheduleListOptions,
  type When,
} from "../../src/index.js";
import { AT_ONCE, newTopic, Seen } from "../support/durable.js";
import { Lossy } from "../support/lossy.js";
import type { RedisServer } from "../support/server.js";
import { fails, PATIENT, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const SOON = 150;
/** Time enough for what a test does before, also on a machine that stands still for a while. */
const LATER = 3_000;
const HOUR = 3_600_000;
/** A client knows the broker's clock to within a round trip, which takes its time on a busy machine. */
const DOUBT_MS = 2_000;
const ONCE = { maxAttempts: 1 };
const NO_ROOM = "its key or lane holds as many events as it may";
const LONG_AGO = new Date("2001-01-01T00:00:00Z");

/** Remembers what came, and that nothing was early by the broker's clock. */
class Due extends Seen {
  readonly note = (data: unknown, event: Event) => {
    assert.ok(event.scheduled !== undefined);
    assert.ok(event.clock.now() >= event.scheduled.getTime() - DOUBT_MS, "it was early");
    this.push(data);
  };
}

/** A schedule that is over. */
async function ended(system: EventSystem, id: string): Promise<Schedule> {
  for (;;) {
    const schedule = await system.schedules.get(id);
    if (schedule.status !== "pending") return schedule;
    await sleep(10);
  }
}

/** Planned events: published when they are due, once, and looked after until then. */
export function scheduleTests(world: World): void {
  test("a planned event is published when it is due, to everyone, once", async () => {
    const [topic, seen, events] = [newTopic(), new Due(), new Seen<Event>()];
    const systems = [world.system(), world.system(), world.system()] as const;
    for (const system of systems) await system.subscribe(topic, seen.note).ready();
    await systems[1].subscribe(topic, (_, event) => events.push(event)).ready();
    const receipt = await systems[0].publish(topic, "later", { delay: LATER, headers: { x: "1" } });
    assert.deepEqual([receipt.overdue, receipt.stored], [false, undefined]);
    const { status, due, durable, event, ended: over, priority } = await systems[2].schedules.get(receipt.id);
    assert.deepEqual([status, due, durable, event.data], ["pending", receipt.due, false, "later"]);
    assert.deepEqual([event.topic, over, priority], [topic, undefined, 5]);
    await seen.stay(3);
    const [first] = events;
    assert.ok(first !== undefined && events.length === 1);
    assert.deepEqual([first.id, first.scheduled, first.time], [receipt.id, receipt.due, receipt.due]);
    assert.deepEqual([{ ...first.headers }, first.correlationId, first.expiresAt], [{ x: "1" }, receipt.id, undefined]);
    assert.ok(first.source.endsWith(`/${systems[0].instance}`));
    const delivered = await ended(systems[0], receipt.id);
    assert.equal(delivered.status, "delivered");
    assert.ok(delivered.ended !== undefined && delivered.ended >= delivered.due);
  });

  test("a delay of null is no delay", async () => {
    const receipt = await world.system().publish(newTopic(), 1, { delay: null, at: null });
    assert.equal(receipt.due, undefined);
  });

  test("what was put off since is explained", async () => {
    const [planner, other] = [world.system(), world.system()];
    const { id, due } = await planner.publish(newTopic(), 1, { delay: HOUR });
    const moved = await other.schedules.reschedule(id, { delay: 2 * HOUR });
    const { steps } = await other.explain(id, PATIENT);
    await other.schedules.cancel(id);
    const told = steps.map(({ name, source, detail }) => [name, source.split("/").at(-1), detail.due]);
    const known = ["planned", planner.instance, due];
    assert.deepEqual(new Set(told), new Set([known, ["planned", "broker", moved.due]]));
  });

  test("groups and observers get what was planned", async () => {
    const [topic, exact, wild, observed] = [newTopic(), new Due(), new Due(), new Due()];
    const [planner, other] = [world.system(), world.system()];
    for (const system of [planner, other]) {
      await system.subscribe(`${topic}.a`, exact.note, { group: "exact" }).ready();
      await system.subscribe(`${topic}.*`, wild.note, { group: "wild" }).ready();
    }
    await other.subscribe(`${topic}.>`, observed.note, { observe: true }).ready();
    for (let number = 0; number < 4; number++) await planner.publish(`${topic}.a`, number, { delay: SOON });
    await Promise.all([exact.stay(4), wild.stay(4), observed.stay(4)]);
    for (const seen of [exact, wild, observed]) assert.deepEqual([...seen].sort(), [0, 1, 2, 3]);
  });

  test("of what is due together the highest priority goes first", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Due()];
    await system.subscribe(topic, seen.note, { concurrency: 1 }).ready();
    const at = system.clock.now() + LATER;
    for (const priority of [1, 8, 10, 5]) await system.publish(topic, priority, { at, priority });
    await seen.stay(4);
    assert.deepEqual([...seen], [10, 8, 5, 1]);
  });

  test("more than one look takes goes out, once each", async () => {
    const [topic, planner, other, seen] = [newTopic(), world.system(), world.system(), new Due()];
    await other.subscribe(topic, seen.note).ready();
    await planner.start();
    const at = new Date(planner.clock.now() + 1000);
    await Promise.all(Array.from({ length: 450 }, (_, number) => planner.publish(topic, number, { at })));
    await seen.stay(450);
    assert.equal(new Set(seen).size, 450);
  });

  test("what is cancelled is not published", async () => {
    const [topic, system, other, seen] = [newTopic(), world.system(), world.system(), new Due()];
    await other.subscribe(topic, seen.note).ready();
    const { id } = await system.publish(topic, "never", { delay: LATER });
    const cancelled = await other.schedules.cancel(id);
    assert.deepEqual([cancelled.status, cancelled.ended === undefined], ["cancelled", false]);
    assert.equal((await system.schedules.cancel(id)).status, "cancelled");
    await system.publish(topic, "after", { delay: LATER + 300 });
    await seen.stay(1);
    assert.deepEqual([...seen], ["after"]);
    for (const refused of [system.schedules.reschedule(id, { delay: 1 }), system.schedules.retry(id)]) {
      assert.match((await fails(refused, "CONFLICT")).message, /is cancelled at .*, so it cannot be re/);
    }
  });

  test("what is pending can be moved, and what is over cannot", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Due()];
    await system.subscribe(topic, seen.note).ready();
    const sooner = await system.publish(topic, "sooner", { delay: HOUR, ttl: 60_000 });
    const later = await system.publish(topic, "later", { delay: LATER });
    const putOff = await system.schedules.reschedule(later.id, { delay: HOUR });
    assert.deepEqual([putOff.status, putOff.event.scheduled], ["pending", putOff.due]);
    const moved = await system.schedules.reschedule(sooner.id, { at: system.clock.now() + LATER + 300 });
    assert.equal(moved.event.expiresAt?.getTime(), moved.due.getTime() + 60_000);
    await seen.stay(1);
    assert.deepEqual([...seen], ["sooner"]);
    await system.schedules.reschedule(later.id, { at: LONG_AGO });
    await seen.stay(2);
    const again = system.schedules.reschedule(sooner.id, { delay: 1 });
    assert.match((await fails(again, "CONFLICT")).message, /is delivered at .*, so it cannot be rescheduled/);
    const cancel = system.schedules.cancel(sooner.id);
    assert.match((await fails(cancel, "CONFLICT")).message, /is delivered at .*, so it cannot be cancelled/);
  });

  test("a moment that has passed is now, and is told", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Due()];
    await system.subscribe(topic, seen.note).ready();
    const past = await system.publish(topic, 1, { at: LONG_AGO });
    assert.equal(past.overdue, true);
    assert.ok(past.due !== undefined && past.due.getTime() > LONG_AGO.getTime());
    assert.equal((await system.publish(topic, 2, { delay: 0 })).overdue, false);
    await seen.stay(2);
  });

  test("the time to live of a planned event begins when it is due", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<number | undefined>()];
    await system.subscribe(topic, (_, { expiresAt }) => seen.push(expiresAt?.getTime())).ready();
    const { due } = await system.publish(topic, 1, { delay: SOON, ttl: 20_000 });
    await seen.stay(1);
    assert.deepEqual([...seen], [Number(due) + 20_000]);
  });

  test("what is planned survives its planner", async () => {
    const [topic, planner, other, seen] = [newTopic(), world.system(), world.system(), new Due()];
    await other.subscribe(topic, seen.note).ready();
    await planner.publish(topic, "left", { delay: 300 });
    await planner.close();
    await seen.stay(1);
  });

  test("what a handler plans belongs to its chain", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<unknown[]>()];
    await system.subscribe(topic, () => system.publish(`${topic}.later`, 1, { delay: SOON })).ready();
    const note = () => {
      const { correlationId, causationId, hops } = currentEvent() as Event;
      seen.push([correlationId, causationId, hops]);
    };
    await system.subscribe(`${topic}.later`, note).ready();
    const { id } = await system.publish(topic, 0);
    await seen.stay(1);
    assert.deepEqual([...seen], [[id, id, 1]]);
  });

  test("schedules are listed a page at a time", async () => {
    const [topic, system] = [newTopic(), world.system()];
    const { total: before } = await system.schedules.list({ status: "cancelled" });
    const counted = await system.schedules.figures();
    const ids: string[] = [];
    for (let number = 0; number < 5; number++) {
      ids.push((await system.publish(topic, number, { delay: HOUR + number * 1000 })).id);
    }
    const pages = await Promise.all([1, 2, 3].map((page) => system.schedules.list({ page, limit: 2 })));
    assert.deepEqual(
      pages.map(({ total, page, limit }) => [total, page, limit]),
      [1, 2, 3].map((page) => [5, page, 2]),
    );
    assert.deepEqual(
      pages.flatMap(({ items }) => items.map(({ id }) => id)),
      ids,
    );
    assert.deepEqual((await system.schedules.list({ page: 4, limit: 2 })).items, []);
    for (const id of ids) {
      await system.schedules.cancel(id);
      await sleep(2);
    }
    const { total, items } = await system.schedules.list({ status: "cancelled", limit: 5 });
    assert.equal(total, before + 5);
    assert.deepEqual(
      items.map(({ id }) => id),
      [...ids].reverse(),
    );
    assert.equal((await system.schedules.list()).total, 0);
    const { planned, cancelled, pending } = await system.schedules.figures();
    assert.deepEqual([planned - counted.planned, cancelled - counted.cancelled, pending], [5, 5, 0]);
  });

  test("an unknown schedule is not found", async () => {
    const { schedules } = world.system();
    const asked = [
      schedules.get("none"),
      schedules.cancel("none"),
      schedules.reschedule("none", { delay: 1 }),
      schedules.retry("none"),
    ];
    for (const each of asked) {
      const { message } = await fails(each, "NOT_FOUND");
      assert.equal(message, 'there is no schedule "none"; what has ended is remembered for a day');
    }
  });

  test("what cannot be planned is refused and changes nothing", async () => {
    const [topic, system] = [newTopic(), world.system()];
    const bad: [RegExp, object][] = [
      [/delay is in milliseconds, from 0 to 315576000000/, { delay: -1 }],
      [/ten years.*NaN/, { delay: Number.NaN }],
      [/ten years.*true/, { delay: true }],
      [/ten years.*"1"/, { delay: "1" }],
      [/ten years/, { delay: 315_576_000_001 }],
      [/give one of them/, { delay: 1, at: new Date() }],
      [/at is a Date, or milliseconds since 1970, not an invalid Date/, { at: new Date(Number.NaN) }],
      [/milliseconds since 1970, not "2030"/, { at: "2030" }],
      [/^at is in milliseconds since 1970; 1800000000 looks like seconds: multiply by 1000$/, { at: 1_800_000_000 }],
      [/more than ten years ahead/, { at: Date.now() + 3654 * 86_400_000 }],
      [/not later/, { delay: 1, waitLocal: true }],
      [/wait for what is published now/, { delay: 1, waitReplicas: 1 }],
      [/add delay or at/, { retry: ONCE }],
      [/is to be stored/, { delay: 1, retry: ONCE }],
      [/retry of publish is an object/, { delay: 1, retry: 3 }],
      [/maxAttempts/, { delay: 1, retry: { maxAttempts: 0 } }],
      [/add key or durable: true/, { delay: 1, dedupe: "x" }],
      [/what is stored/, { delay: 1, maxStored: 1 }],
      [/priority/, { delay: 1, priority: 3 }],
      [/ttl/, { delay: 1, ttl: -1 }],
    ];
    for (const [message, options] of bad) {
      await assert.rejects(
        async () => system.publish(topic, 1, options as PublishOptions),
        (error) => {
          assert.ok(error instanceof InvalidArgumentError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    }
    assert.equal((await system.schedules.list()).total, 0);
    for (const reserved of ["system.x", "cron.task.x", "no good"]) {
      await fails(system.publish(reserved, 1, { delay: 1 }), "INVALID_TOPIC");
    }
  });

  test("questions that make no sense are refused", async () => {
    const { schedules } = world.system();
    const strange = (options: unknown) => schedules.list(options as ScheduleListOptions);
    const asked = [
      schedules.get(""),
      schedules.get("x".repeat(256)),
      schedules.cancel(7 as never),
      strange({ status: "gone" }),
      strange({ page: 0 }),
      strange({ limit: 0 }),
      strange({ limit: 1001 }),
      strange({ from: 1 }),
      schedules.reschedule("x", undefined as never),
      schedules.reschedule("x", { delay: -1 }),
      schedules.reschedule("x", { after: 1 } as When),
      schedules.retry("x", { delay: Infinity }),
    ];
    for (const each of asked) await fails(each, "INVALID_ARGUMENT");
    const { message } = await fails(schedules.reschedule("x", {}), "INVALID_ARGUMENT");
    assert.equal(message, "say when: delay or at");
    const named = await fails(strange("pending"), "INVALID_ARGUMENT");
    assert.equal(
      named.message,
      'the options of schedules.list are an object, not "pending"; it knows limit, page, status',
    );
  });

  test("a scheduler that closes leaves the role to the next one", async () => {
    const [topic, other, seen] = [newTopic(), world.system(), new Due()];
    await other.subscribe(topic, seen.note).ready();
    const took: number[] = [];
    for (let number = 0; number < 5; number++) {
      const system = world.system();
      await system.publish(topic, number, { delay: 100 });
      await sleep(50);
      const begun = performance.now();
      await system.close();
      await until(() => seen.length > number, "it is published");
      took.push(performance.now() - begun);
    }
    assert.ok(Math.min(...took) < 2500, "it is published before the lease of a role ends");
  });
}

/** What holds of planned events where nothing stands before a Redis. */
export function redisScheduleTests(world: World, redis: RedisServer): void {
  test("a plan is sent again when the link breaks, and planned once", async () => {
    const way = await Lossy.before(redis.port);
    const [watcher, planner] = [world.system(), world.system({ url: way.url })];
    try {
      await planner.start();
      way.mute = true;
      const first = planner.publish("plan.again", 1, { delay: HOUR });
      await sleep(200);
      assert.equal((await watcher.schedules.list()).total, 0, "it was lost");
      way.cut();
      await watcher.schedules.cancel((await first).id);
      way.deaf = true;
      const second = planner.publish("plan.again", 2, { delay: HOUR });
      let planned = 0;
      while (planned === 0) planned = (await watcher.schedules.list()).total;
      way.cut();
      const { id } = await second;
      assert.deepEqual(
        (await watcher.schedules.list()).items.map((each) => each.id),
        [id],
      );
      await watcher.schedules.cancel(id);
    } finally {
      way.stop();
    }
  });

  test("a process that only plans ends at once, and its event goes out all the same", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Due()];
    await system.subscribe(topic, seen.note).ready();
    const index = new URL("../../src/index.js", import.meta.url).href;
    const program = `import { EventSystem } from "${index}";
      await new EventSystem("${redis.url}").publish("${topic}", 1, { delay: 6_000 });`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "ignore", timeout: 60_000 });
    await once(child, "exit");
    assert.equal(seen.length, 0, "it did not wait for the event");
    await seen.stay(1);
  });
}

/** Planned events that are stored when they are due. */
export function durableScheduleTests(world: World): void {
  test("what is planned can be stored, for a key or without one", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<[unknown, string, string]>()];
    const stored = await system.publish(topic, "now", { key: "k" });
    const planned = [
      await system.publish(topic, "key", { key: "k", delay: SOON }),
      await system.publish(topic, "lane", { durable: true, priority: 8, delay: SOON }),
    ];
    for (const { id } of planned) {
      const { status, durable, error } = await ended(system, id);
      assert.deepEqual([status, durable, error], ["delivered", true, ""]);
    }
    await fails(system.schedules.get(stored.id), "NOT_FOUND");
    await system.subscribe(topic, (data, { key, id }) => seen.push([data, key, id]), { durable: true }).ready();
    await seen.stay(3);
    const ofKey = seen.filter(([, key]) => key === "k").map(([data]) => data);
    assert.deepEqual(ofKey, ["now", "key"]);
    assert.deepEqual(new Set(seen.map(([, , id]) => id)), new Set([stored.id, ...planned.map(({ id }) => id)]));
  });

  test("what was planned twice under one name is stored once", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    for (const data of ["a", "b"]) {
      const { id } = await system.publish(topic, data, { key: "k", dedupe: "one", delay: SOON });
      assert.equal((await ended(system, id)).status, "delivered");
    }
    await seen.stay(1);
  });

  test("what finds no room is tried again", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    await system.publish(topic, 1, { key: "k" });
    const retry = { maxAttempts: 50, backoff: 800, cap: 800 };
    const { id, due } = await system.publish(topic, 2, { key: "k", maxStored: 1, delay: 0, retry });
    let waiting = await system.schedules.get(id);
    for (; waiting.attempts < 2; waiting = await system.schedules.get(id)) await sleep(10);
    assert.deepEqual([waiting.status, waiting.error], ["pending", NO_ROOM]);
    assert.ok(due !== undefined && waiting.due > due);
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await seen.stay(2);
    assert.equal((await ended(system, id)).status, "delivered");
  });

  test("what failed for good can be retried", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    const failed = async () => (await system.schedules.list({ status: "failed" })).items.map((each) => each.id);
    await system.publish(topic, 1, { key: "k" });
    const { id } = await system.publish(topic, 2, { key: "k", maxStored: 1, delay: 0, retry: ONCE });
    const { status, attempts, error } = await ended(system, id);
    assert.deepEqual([status, attempts, error], ["failed", 1, NO_ROOM]);
    assert.ok((await failed()).includes(id));
    for (const refused of [system.schedules.cancel(id), system.schedules.reschedule(id, { delay: 1 })]) {
      assert.match((await fails(refused, "CONFLICT")).message, /is failed/);
    }
    await system.subscribe(topic, (data) => seen.push(data), { durable: true, retry: AT_ONCE }).ready();
    await seen.reach(1);
    await system.schedules.retry(id, { delay: SOON });
    await seen.stay(2);
    assert.equal((await ended(system, id)).status, "delivered");
    assert.match((await fails(system.schedules.retry(id), "CONFLICT")).message, /it cannot be retried/);
    assert.ok(!(await failed()).includes(id));
  });
}
