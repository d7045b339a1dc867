import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { UnavailableError, UnsupportedError } from "../../src/errors.js";
import { guardedLogger } from "../../src/log.js";
import { type Agenda, type Fired, NoAgenda, type Told } from "../../src/schedules/agenda.js";
import { Scheduler } from "../../src/schedules/scheduler.js";
import * as testing from "../../src/testing/index.js";
import { MemoryAgenda } from "../../src/transports/memoryAgenda.js";
import { fails } from "../support/waiting.js";
import { silent } from "../support/world.js";

const NOTHING: Fired = { again: undefined, events: [] };
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** An agenda that answers what the test says, and remembers when it was looked at. */
class Looks extends NoAgenda implements Agenda {
  override readonly fires = false;
  readonly at: number[] = [];
  readonly answers: (Fired | Error)[] = [];
  left = 0;
  deaf = 0;
  tell: Told = () => undefined;
  meanwhile: () => void = () => undefined;

  constructor(readonly clock: testing.Clock) {
    super("it is a test");
  }

  override listen(told: Told = () => undefined): () => void {
    this.tell = told;
    return () => {
      this.deaf += 1;
    };
  }

  override fire = async (): Promise<never> => {
    this.at.push(this.clock.now() - BEGAN);
    const answer = this.answers.shift() ?? NOTHING;
    const { meanwhile } = this;
    this.meanwhile = () => undefined;
    meanwhile();
    await Promise.resolve();
    if (answer instanceof Error) throw answer;
    return answer as never;
  };

  override async stepDown(): Promise<void> {
    this.left += 1;
  }
}

const BEGAN = Date.UTC(2030, 0, 1);

function scene(...answers: (Fired | Error)[]) {
  const clock = new testing.Clock(BEGAN);
  const agenda = new Looks(clock);
  agenda.answers.push(...answers);
  const errors: string[] = [];
  const fired: Fired[] = [];
  const log = guardedLogger({ ...silent, error: (message: string) => errors.push(message) });
  const house = { clock, log, fired: (one: Fired) => void fired.push(one) };
  return { clock, agenda, errors, fired, scheduler: new Scheduler(house, agenda, "me") };
}

test("it looks when the next one is due, and not before", async () => {
  const out = { id: "a", status: "delivered" as const, due: 1 };
  const second = { again: 500, events: [out] };
  const third = { again: undefined, events: [], ticks: [{ name: "a task", at: 7 }], calls: ["a call"] };
  const { clock, agenda, fired, scheduler } = scene({ again: 500, events: [] }, second, third);
  scheduler.begin();
  await clock.advance(499);
  assert.deepEqual([agenda.at, fired], [[0], []]);
  await clock.advance(1);
  await clock.advance(YEAR);
  assert.deepEqual(
    [agenda.at, fired],
    [
      [0, 500, 1000],
      [second, third],
    ],
  );
});

test("a pause beyond what a timer can hold is not over early", async () => {
  const { clock, agenda, scheduler } = scene(
    ...Array.from({ length: 40 }, (_, hour) => ({ again: (40 * 24 - hour) * HOUR, events: [] })),
  );
  scheduler.begin();
  await clock.advance(40 * HOUR - 1);
  assert.equal(agenda.at.length, 40, "once an hour at the most");
  await clock.advance(1);
  assert.equal(agenda.at.at(-1), 40 * HOUR);
});

test("what is far off is looked at again, for the broker's clock may have been set", async () => {
  const answers = [1_000_000, 100_000, 5_000].map((again) => ({ again, events: [] }));
  const { clock, agenda, scheduler } = scene(...answers, NOTHING);
  scheduler.begin();
  await clock.advance(YEAR);
  assert.deepEqual(agenda.at, [0, 900_000, 990_000, 995_000]);
});

test("it is told of an earlier one, also while it looks", async () => {
  const { clock, agenda, scheduler } = scene(NOTHING, { again: 1000, events: [] });
  agenda.meanwhile = () => agenda.tell(BEGAN + 100, "");
  scheduler.begin();
  await clock.advance(100);
  assert.deepEqual(agenda.at, [0, 100]);
  agenda.tell(BEGAN + 300, "me");
  agenda.tell(BEGAN + 900, "me");
  await clock.advance(200);
  assert.deepEqual(agenda.at, [0, 100, 300]);
});

test("what another one fires it looks at when that one's role would have ended", async () => {
  const { clock, agenda, scheduler } = scene();
  scheduler.begin();
  await clock.settle();
  agenda.tell(BEGAN + 1000, "other");
  await clock.advance(3999);
  assert.deepEqual(agenda.at, [0]);
  await clock.advance(1);
  assert.deepEqual(agenda.at, [0, 4000]);
});

test("a look that fails is told once and tried again", async () => {
  const broken = new UnsupportedError("no room on the disk");
  const { clock, agenda, errors, scheduler } = scene(new UnavailableError("away"), broken, broken, NOTHING);
  scheduler.begin();
  await clock.advance(1000);
  assert.deepEqual([agenda.at, errors.length], [[0, 1000], 1]);
  await clock.advance(10_000);
  assert.deepEqual(agenda.at, [0, 1000, 2000, 3000]);
  assert.match(
    errors.join("\n"),
    /^what is planned cannot be published now, and is tried again every second: UNSUPPORTED: no room on the disk$/,
  );
});

test("one that stopped leaves the role, and does not look again", async () => {
  const { clock, agenda, scheduler } = scene({ again: 500, events: [] });
  scheduler.begin();
  await clock.settle();
  await scheduler.stop();
  await scheduler.stop();
  agenda.tell(BEGAN + 10, "");
  scheduler.look();
  await clock.advance(YEAR);
  assert.deepEqual([agenda.at, agenda.left, agenda.deaf], [[0], 1, 1]);
});

// --- in memory -------------------------------------------------------------------------------------------------------

test("who listens no more is told nothing, and not kept", async () => {
  const agenda = new MemoryAgenda(new testing.Clock(BEGAN), () => undefined);
  const told: string[] = [];
  const stops = ["one", "two"].map((name) => agenda.listen(() => told.push(name)));
  const plan = { topic: "a.b", way: "live", key: "", priority: 5, expires: 0, attempts: 1, backoff: 0 } as const;
  const rest = { cap: 0, knownAs: "", window: 0, most: 0, envelope: Buffer.alloc(0) };
  await agenda.plan({ ...plan, ...rest, id: "a", due: BEGAN + HOUR });
  stops[0]?.();
  await agenda.plan({ ...plan, ...rest, id: "b", due: BEGAN + 1 });
  assert.deepEqual(told, ["one", "two", "two"]);
});

function broker(t: TestContext): testing.Broker {
  const made = new testing.Broker();
  t.after(() => made.close());
  return made;
}

test("planned events wait by the clock that a test turns, for months if need be", async (t) => {
  const events = broker(t).system();
  const seen: unknown[] = [];
  events.subscribe("t", (data) => seen.push(data));
  const { id, due } = await events.publish("t", "later", { delay: 60 * DAY });
  assert.equal(due?.getTime(), events.clock.now() + 60 * DAY);
  await events.clock.advance(60 * DAY - 1);
  assert.deepEqual(seen, []);
  await events.clock.advance(1);
  assert.deepEqual(seen, ["later"]);
  assert.equal((await events.schedules.get(id)).status, "delivered");
  await events.clock.advance(DAY);
  await fails(events.schedules.get(id), "NOT_FOUND");
});

test("what expires before anybody can fire it is not published", async (t) => {
  const shared = broker(t);
  const planner = shared.system("planner");
  const { id } = await planner.publish("t", "late", { delay: 1000, ttl: 500 });
  await planner.close();
  await shared.clock.advance(2000);
  const later = shared.system("later");
  const seen: unknown[] = [];
  later.subscribe("t", (data) => seen.push(data));
  await later.start();
  await shared.clock.settle();
  assert.equal((await later.schedules.get(id)).status, "expired");
  assert.deepEqual(seen, []);
});

test("a process stays for what is planned in memory", () => {
  const index = new URL("../../src/index.js", import.meta.url).href;
  const program = `import { EventSystem } from "${index}";
    const events = new EventSystem("memory://");
    events.subscribe("t", (data) => console.log("got", data));
    await events.publish("t", 1, { delay: 300 });`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { timeout: 60_000 });
  assert.equal(String(stdout), "got 1\n");
});

test("what is to be stored cannot be planned in memory", async (t) => {
  const events = broker(t).system();
  const { message } = await fails(events.publish("t", 1, { key: "k", delay: 1 }), "UNSUPPORTED");
  assert.equal(message, "durable events cannot be kept here; use redis:// or grpc://");
  assert.equal((await events.schedules.list()).total, 0);
});
