import assert from "node:assert/strict";
import { after, test } from "node:test";
import { agendaKey, noticeChannel, roleKey } from "../src/contract/contract.js";
import { PUT_TASK, putTaskNames } from "../src/contract/scripts.js";
import { type CronTask, cronTask, encodeTask, type Misfire } from "../src/cron/task.js";
import {
  AlreadyExistsError,
  type CronOptions,
  type CronTaskEnded,
  type Event,
  type EventSystem,
  InvalidArgumentError,
  InvalidTopicError,
  NotFoundError,
  EventSystem as System,
} from "../src/index.js";
import { newTopic } from "./support/durable.js";
import { logging } from "./support/logging.js";
import { ask } from "./support/redis.js";
import { until } from "./support/waiting.js";
import { RedisWorld } from "./support/world.js";

const HOUR = 3_600_000;
const SENT = { data: Buffer.from([0xc0]), contentType: "", ttl: 0, headers: {} };
const world = await RedisWorld.start();
after(async () => {
  await world.clean();
  await world.stop();
});

class Heard extends Array<Event> {
  static override get [Symbol.species]() {
    return Array;
  }

  readonly take = async (_data: unknown, event: Event) => {
    this.push(event);
  };
}

async function systems(count: number): Promise<EventSystem[]> {
  const made = Array.from({ length: count }, () => world.system());
  for (const system of made) await system.start();
  return made;
}

test("a tick is an event, and what is told of it", async () => {
  const [maker, other] = (await systems(2)) as [EventSystem, EventSystem];
  const [topic, name, events, told] = [newTopic(), newTopic(), new Heard(), new Heard()];
  await other.subscribe(topic, events.take).ready();
  await other.subscribe("cron.task.*", told.take).ready();
  const made = await maker.cron.create(name, "every 1s", topic, { a: 1 }, { headers: { h: "x" } });
  assert.equal(made.next?.getTime(), made.created.getTime() + 1000);
  await until(() => events.length >= 2, "two ticks");
  const [first] = events;
  assert.equal(first?.id, `${name}:${made.next?.getTime()}`);
  assert.deepEqual([first?.data, first?.headers.h], [{ a: 1 }, "x"]);
  await until(() => told.filter(({ topic: of }) => of === "cron.task.completed").length >= 2, "completed");
  await maker.cron.delete(name);
  await until(() => told.some(({ topic: of }) => of === "cron.task.deleted"), "deleted");
  const ofFirst = told.filter(({ data }) => (data as { id?: string }).id === first?.id);
  const topics = [told[0], ...ofFirst].map((event) => event?.topic);
  assert.deepEqual(topics, ["cron.task.created", "cron.task.executed", "cron.task.completed"]);
  const about = { task: name, topic, call: false };
  const next = made.next ?? null;
  assert.deepEqual(told[0]?.data, { ...about, expression: "every 1s", zone: "UTC", paused: false, next });
  assert.deepEqual(ofFirst[0]?.data, { ...about, id: first?.id, tick: next });
  const tick = { id: first?.id, tick: next, attempts: 1, error: null };
  assert.deepEqual(ofFirst[1]?.data, { task: name, call: false, ...tick });
});

const MISSED: [Misfire, number[]][] = [
  ["skip", []],
  ["fire_once", [0]],
  ["catch_up", [3, 2, 1, 0]],
];
for (const [misfire, ticks] of MISSED) {
  test(`what was missed: ${misfire}`, async () => {
    await world.clean(); // so that it is the one that fires
    const { told, logger } = logging();
    await using system = await new System({ url: world.redis.url, service: "test", logger }).start();
    const [topic, name, events] = [newTopic(), newTopic(), new Heard()];
    await system.subscribe(topic, events.take).ready();
    // Half an hour from now, so that no tick comes while this one is looked at.
    const minute = (new Date(system.clock.now()).getUTCMinutes() + 30) % 60;
    const offset = minute * 60_000;
    const now = Math.floor((system.clock.now() - offset) / HOUR) * HOUR + offset;
    const action = { kind: "event", ...SENT, topic, key: "", durable: false, priority: 0 } as const;
    const task: CronTask = cronTask({ name, expression: `${minute} * * * *`, action, misfire, grace: 0 });
    const expected = String(now - 3 * HOUR);
    const keys = [String(PUT_TASK.names), ...putTaskNames("tl:")];
    await ask(world.redis, "EVAL", PUT_TASK.source, ...keys, name, "0", encodeTask(task), expected, expected, "10000");
    let job = await system.cron.get(name);
    while (job.next?.getTime() !== now + HOUR) job = await system.cron.get(name);
    await until(() => events.length === ticks.length, "ticks");
    const ids = ticks.map((back) => `${name}:${now - back * HOUR}`);
    assert.deepEqual(
      events.map(({ id }) => id),
      ids,
    );
    assert.equal(job.runs, ticks.length);
    const missed = `cron task ${name}: ticks since ${new Date(Number(expected)).toISOString()} were missed: ${misfire}`;
    const warned = told.map(([, message]) => message).filter((message) => message.includes("were missed"));
    assert.deepEqual(warned, misfire === "catch_up" ? [] : [missed]);
    await system.cron.delete(name);
  });
}

test("a call, its reply, and one that fails", async () => {
  const [asking, answering] = (await systems(2)) as [EventSystem, EventSystem];
  const [good, bad, told] = [newTopic(), newTopic(), new Heard()];
  let tries = 0;
  await asking.subscribe("cron.task.*", told.take).ready();
  await answering.subscribe(good, (data: number[]) => data.length).ready();
  const fail = () => {
    tries += 1;
    throw new Error(`no ${tries}`);
  };
  await answering.subscribe(bad, fail).ready();
  await asking.cron.create(good, "@yearly", good, [1, 2, 3], { call: true });
  await asking.cron.create(bad, "@yearly", bad, null, { call: true, retries: 2, retryDelay: 50 });
  const id = await asking.cron.runNow(good);
  const failed = await asking.cron.runNow(bad);
  const over = () => told.filter(({ topic }) => /completed|failed/.test(topic));
  await until(() => over().length === 2, "both are over");
  const payloads = over().map(({ data }) => data as CronTaskEnded);
  assert.deepEqual(payloads.map((payload) => payload.id).sort(), [id, failed].sort());
  const { last } = await asking.cron.get(good);
  assert.deepEqual([last?.status, last?.reply, last?.attempts, last?.error], ["completed", 3, 1, undefined]);
  const wrong = (await asking.cron.get(bad)).last;
  assert.deepEqual([wrong?.status, wrong?.attempts, wrong?.error?.message, tries], ["failed", 3, "no 3", 3]);
  assert.equal((await asking.schedules.get(failed)).status, "failed");
  const odd = newTopic();
  await answering.subscribe(odd, async () => Buffer.from([0xff])).ready();
  const json = { call: true, contentType: "application/json" };
  await asking.cron.create(odd, "@yearly", odd, null, json);
  await asking.cron.runNow(odd);
  await until(() => over().length === 3, "a reply that is no JSON");
  const bytes = (await asking.cron.get(odd)).last;
  assert.deepEqual([bytes?.status, bytes?.attempts, bytes?.reply], ["completed", 1, new Uint8Array([0xff])]);
  for (const name of [good, bad, odd]) await asking.cron.delete(name);
});

test("a call whose scheduler closes goes on: whoever gets it next joins its run", async () => {
  const [leaving, answering] = (await systems(2)) as [EventSystem, EventSystem];
  const name = newTopic();
  let [runs, called, goOn] = [0, () => {}, () => {}];
  const begun = new Promise<void>((resolve) => {
    called = resolve;
  });
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const answer = async () => {
    runs += 1;
    called();
    await gate;
    return 42;
  };
  await answering.subscribe(name, answer).ready();
  await ask(world.redis, "SET", roleKey("tl:"), leaving.instance, "PX", "3000");
  await leaving.cron.create(name, "@yearly", name, null, { call: true });
  const id = await leaving.cron.runNow(name);
  await begun;
  await leaving.close();
  let { last } = await answering.cron.get(name);
  assert.deepEqual([last?.status, last?.error], ["executed", undefined]);
  const planned = (await ask(world.redis, "ZRANGE", agendaKey("tl:"), "0", "-1")) as unknown[];
  const call = planned.map(String).find((place) => place.includes(id)) as string;
  await ask(world.redis, "ZADD", agendaKey("tl:"), "XX", "1", call); // as if its lease had ended
  const [heir] = (await systems(1)) as [EventSystem];
  goOn();
  while (last?.status === "executed") ({ last } = await heir.cron.get(name));
  assert.deepEqual([last?.status, last?.reply, last?.attempts, runs], ["completed", 42, 1, 1]);
  await heir.cron.delete(name);
});

test("a notice that makes no sense is ignored, and told", async () => {
  const { told, logger } = logging();
  const system = new System({ url: world.redis.url, service: "test", logger });
  await system.start();
  const [topic, seen] = [newTopic(), new Heard()];
  await system.subscribe(topic, seen.take).ready();
  for (const notice of ["s\0", "s\0soon\0me", "s\0-5\0me", `s\0${"9".repeat(400)}`]) {
    await ask(world.redis, "PUBLISH", noticeChannel("tl:"), notice);
  }
  await system.publish(topic, 1, { delay: 100 });
  await until(() => seen.length === 1, "what is planned");
  await system.close();
  const warnings = told.filter(([level, message]) => level === "warn" && message.includes("which is no moment"));
  assert.equal(warnings.length, 4);
});

test("pause, resume, update and list", async () => {
  const [system] = (await systems(1)) as [EventSystem];
  const { cron } = system;
  const options: CronOptions = { zone: "Europe/Berlin", jitter: 5_000, durable: true, priority: 8 };
  for (const name of ["b", "a", "c"]) await cron.create(name, "0 0 1 1 *", "x.y", name, options);
  const page = await cron.list({ limit: 2 });
  assert.deepEqual([page.items.map(({ name }) => name), page.total], [["a", "b"], 3]);
  const paused = await cron.pause("a");
  assert.deepEqual([paused.paused, paused.next], [true, undefined]);
  assert.deepEqual((await cron.resume("a")).next, (await cron.get("b")).next);
  const changed = await cron.update("a", { expression: "0 0 * * *", data: [1], topic: "x.z", misfire: "skip" });
  assert.deepEqual(changed, await cron.get("a"));
  assert.deepEqual([changed.topic, changed.data, changed.misfire], ["x.z", [1], "skip"]);
  assert.deepEqual(
    [changed.zone, changed.jitter, changed.priority, changed.durable],
    ["Europe/Berlin", 5_000, 8, true],
  );
  await assert.rejects(cron.create("b", "@daily", "x.y"), AlreadyExistsError);
  for (const name of ["a", "b", "c"]) assert.equal((await cron.delete(name)).name, name);
  for (const again of [cron.get("a"), cron.delete("a"), cron.pause("a"), cron.runNow("a")]) {
    await assert.rejects(again, NotFoundError);
  }
});

test("nonsense is refused and changes nothing", async () => {
  const [system] = (await systems(1)) as [EventSystem];
  const create = (expression: string, options: object = {}, name = "n") =>
    system.cron.create(name, expression, "a.b", null, options);
  const refused: [Promise<unknown>, RegExp][] = [
    [create("0 0 30 2 *"), /^day-of-month "30" never comes/],
    [create("every 10ms"), /^interval "10ms"/],
    [create("@daily", {}, "a b"), /^name of a cron task has/],
    [create("@daily", { zone: "Mars/Olympus" }), /^zone "Mars\/Olympus" is not known/],
    [create("@daily", { jitter: -1 }), /^jitter of a cron task is in milliseconds/],
    [create("@daily", { jitter: 172_800_000 }), /^jitter of a cron task is in milliseconds, from 0 to 86400000, not/],
    [create("@daily", { retries: -1 }), /^retries of a cron task is a whole number from 0 to 1000, not -1/],
    [create("@daily", { misfire: "never" }), /^misfire of a cron task is/],
    [create("@daily", { start: 5 }), /^start of a cron task is a Date/],
    [create("@daily", { end: new Date("2020-01-01") }), /^end of a cron task has passed/],
    [create("@daily", { priority: 8 }), /^priority is for what is stored/],
    [create("@daily", { call: true, key: "k" }), /^key is for events/],
    [create("@daily", { content: 1 }), /^a cron task does not know content/],
  ];
  for (const [creation, message] of refused) {
    await assert.rejects(creation, (error) => error instanceof InvalidArgumentError && message.test(error.message));
  }
  for (const topic of [undefined, null, "", 7] as unknown as string[]) {
    await assert.rejects(system.cron.create("n", "@daily", topic), InvalidTopicError);
  }
  assert.equal((await system.cron.list()).total, 0);
});
