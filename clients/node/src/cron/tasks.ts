import type { Clock } from "../clock.js";
import { DEFAULT_PAGE, LIMIT_CRON_TASKS, LIMIT_PAGE } from "../contract/contract.js";
import { AlreadyExistsError, ConflictError, InvalidArgumentError, NotFoundError, OverloadedError } from "../errors.js";
import { checkOptions, type Kinds, NO_OPTIONS, shown, whole } from "../options.js";
import type { Agenda } from "../schedules/agenda.js";
import { changed, executed } from "./events.js";
import { type CronJob, type CronPage, jobOf } from "./job.js";
import { type CronChanges, type CronOptions, changedTask } from "./options.js";
import type { Kept } from "./roster.js";
import { begun, besides, type Tell, tickOf } from "./runner.js";
import { type CronTask, checkTask, cronTask, decodeTask, encodeTask, fireTime, tickAfter } from "./task.js";

const TRIES = 10;
const RUN_TRIES = 100;
const TIMES = ["expression", "zone", "start", "end", "paused", "jitter"] as const;
const NOTHING = { kind: "event", topic: "", data: Buffer.alloc(0), contentType: "", ttl: 0, headers: {} } as const;

/** Where the agenda is. */
export interface House {
  /** Connects if need be. */
  start(): Promise<unknown>;
  readonly agenda: Agenda;
  /** The broker's clock. */
  readonly clock: Clock;
  /** "service/instance". */
  readonly source: string;
  readonly settings: { readonly callTtl: number };
}

/** Which tasks are listed. */
export interface CronListOptions {
  /** From 1, which it is unless given. */
  readonly page?: number;
  /** How many a page has, 1 to 1,000; 50 unless given. */
  readonly limit?: number;
}

const LIST_KINDS: Kinds<CronListOptions> = { page: whole(1, 1_000_000_000), limit: whole(1, LIMIT_PAGE) };

/**
 * Looks after tasks that recur: `events.cron` (SPEC.md, section 16). They are the broker's: they go on while the program
 * that made them is away, as long as any instance runs. Its methods reject with UnavailableError without a broker, and with
 * InvalidArgumentError for a name that is none.
 */
export class CronTasks {
  readonly #house: House;
  readonly #tell: Tell;

  /** `EventSystem` makes it. */
  constructor(house: House, tell: Tell) {
    this.#house = house;
    this.#tell = tell;
  }

  /**
   * Has an event published, or a call made, whenever an expression says so: five fields (minute, hour, day of month, month,
   * day of week), six with the second before them, "@yearly" … "@hourly", or "every 90m" (s, m, h, d). The event of a tick
   * has the id `<name>:<ms since 1970>`. Rejects with AlreadyExistsError if there is a task of that name,
   * InvalidArgumentError if something makes no sense or no tick would ever come (`details.field` says what),
   * InvalidTopicError, InvalidPayloadError or PayloadTooLargeError, and OverloadedError if there are 10,000 tasks.
   */
  async create(
    name: string,
    expression: string,
    topic: string,
    data?: unknown,
    options: CronOptions = NO_OPTIONS,
  ): Promise<CronJob> {
    await this.#house.start();
    const { source, clock } = this.#house;
    const now = clock.now();
    const action = { ...NOTHING, key: "", durable: false, priority: 0 };
    const empty = cronTask({ name, expression, action, created: now, source });
    const task = changedTask(empty, { ...options, expression, topic, data }, this.#house, now);
    const kept = await this.#put(undefined, task, firstOf(task, now));
    if (kept === undefined) {
      throw new AlreadyExistsError(`there is a cron task ${shown(name)}; update it, or delete it first`);
    }
    await this.#tell(changed("created", task, kept.expected));
    return jobOf(kept);
  }

  /**
   * Changes a task; what is not named stays. If its times change, the next tick is the first one from now on. Rejects with
   * NotFoundError, and as `create` does.
   */
  async update(name: string, changes: CronChanges = NO_OPTIONS): Promise<CronJob> {
    await this.#house.start();
    for (let tries = 0; tries < TRIES; tries++) {
      const kept = await this.#find(name);
      const now = this.#house.clock.now();
      const task = changedTask(decodeTask(kept.task), changes, this.#house, now);
      const isTimed = TIMES.some((option) => changes[option] !== undefined);
      const expected = isTimed ? firstOf(task, now) : kept.expected;
      const put = await this.#put(kept, task, expected);
      if (put === undefined) continue;
      await this.#tell(changed("updated", task, expected));
      return jobOf(put);
    }
    throw busy(name);
  }

  /** Lets no tick come until `resume`; those of the meantime are not missed. Rejects with NotFoundError. */
  async pause(name: string): Promise<CronJob> {
    return this.update(name, { paused: true });
  }

  /** Lets ticks come again, from now on. Rejects with NotFoundError. */
  async resume(name: string): Promise<CronJob> {
    return this.update(name, { paused: false });
  }

  /** Forgets a task; what it fired before goes on. Resolves to what it was. Rejects with NotFoundError. */
  async delete(name: string): Promise<CronJob> {
    checkName(name);
    await this.#house.start();
    const kept = await this.#house.agenda.roster.drop(name);
    if (kept === undefined) throw unknown(name);
    await this.#tell(changed("deleted", decodeTask(kept.task), undefined));
    return jobOf(kept);
  }

  /** A task, with its next tick and its last run. Rejects with NotFoundError. */
  async get(name: string): Promise<CronJob> {
    await this.#house.start();
    return jobOf(await this.#find(name));
  }

  /** A page of all tasks, in the order of their names; one beyond the end is empty. Rejects with InvalidArgumentError. */
  async list(options: CronListOptions = NO_OPTIONS): Promise<CronPage> {
    checkOptions(options, LIST_KINDS, "cron.list");
    const { page = 1, limit = DEFAULT_PAGE } = options;
    await this.#house.start();
    const { total, found } = await this.#house.agenda.roster.page((page - 1) * limit, limit);
    return { items: found.map(jobOf), total, page, limit };
  }

  /**
   * Runs a task besides its ticks, also if it is paused; resolves to the id of the event, which no other run has. Rejects
   * with NotFoundError.
   */
  async runNow(name: string): Promise<string> {
    await this.#house.start();
    const { agenda, clock, settings } = this.#house;
    for (let tries = 0; tries < RUN_TRIES; tries++) {
      const kept = await this.#find(name);
      const task = decodeTask(kept.task);
      const now = clock.now();
      const ran = besides(task, kept, now);
      const tick = tickOf(task, ran, now, settings.callTtl);
      const stays = { version: kept.version, expected: undefined, following: undefined, fireAt: 0 };
      const run = begun(task, ran, now);
      if (await agenda.roster.turn(name, { ...stays, ran, run, ticks: [tick] })) {
        await this.#tell(executed(task, ran));
        return tick.id;
      }
    }
    throw busy(name);
  }

  async #find(name: string): Promise<Kept> {
    checkName(name);
    const kept = await this.#house.agenda.roster.find(name);
    if (kept === undefined) throw unknown(name);
    return kept;
  }

  /** Keeps a task; undefined if it is there with another version. */
  async #put(kept: Kept | undefined, task: CronTask, expected: number | undefined): Promise<Kept | undefined> {
    const serialized = encodeTask(task);
    const fireAt = expected === undefined ? 0 : fireTime(task, expected);
    const { roster } = this.#house.agenda;
    const version = await roster.put(task.name, kept?.version ?? 0, serialized, expected, fireAt);
    if (version < 0) {
      const most = LIMIT_CRON_TASKS.toLocaleString("en-US");
      throw new OverloadedError(`there are ${most} cron tasks, and no more may be; delete some first`);
    }
    const { runs, run } = kept ?? { runs: 0, run: Buffer.alloc(0) };
    return version === 0 ? undefined : { name: task.name, version, task: serialized, expected, runs, run };
  }
}

/** Its first tick from now on. Throws InvalidArgumentError if the task makes no sense, or is over before it begins. */
function firstOf(task: CronTask, now: number): number | undefined {
  checkTask(task);
  const expected = tickAfter(task, now);
  if (expected === undefined && !task.paused) {
    const message = "end of a cron task has passed, or comes before the next tick";
    throw new InvalidArgumentError(message, { details: { field: "end" } });
  }
  return expected;
}

function checkName(name: unknown): void {
  if (typeof name === "string" && name !== "") return;
  const message = `the name of a cron task is text, not ${shown(name)}`;
  throw new InvalidArgumentError(message, { details: { field: "name" } });
}

function unknown(name: string): NotFoundError {
  return new NotFoundError(`there is no cron task ${shown(name)}`);
}

function busy(name: string): ConflictError {
  return new ConflictError(`the cron task ${shown(name)} is being changed by others all the time; try again`);
}
