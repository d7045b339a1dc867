import type { Clock } from "../clock.js";
import { Event } from "../context.js";
import { DEFAULT_PAGE, LIMIT_KEY_BYTES, LIMIT_PAGE } from "../contract/contract.js";
import { EVENT, newEnvelope, parse, serialize } from "../envelope.js";
import { ConflictError, InvalidArgumentError, NotFoundError } from "../errors.js";
import type { Tally } from "../figures/tally.js";
import { ANY, checkOptions, type Kinds, NO_OPTIONS, oneOf, shown, whole } from "../options.js";
import { isText } from "../wellFormed.js";
import { type Agenda, type Planned, SCHEDULE_STATUSES, type ScheduleStatus } from "./agenda.js";
import { dueOf, putOff, saysWhen, type When } from "./planner.js";

const MOST_PAGES = 1_000_000_000;
const WHY: Readonly<Record<string, string>> = {
  "no room": "its key or lane holds as many events as it may",
  "no stream": "the broker has something under the name of its stream that is no stream",
};

/** Where the agenda is. */
export interface House {
  /** Connects if need be. */
  start(): Promise<unknown>;
  /** What is planned. */
  readonly agenda: Agenda;
  /** The broker's clock. */
  readonly clock: Clock;
  /** Counts what is cancelled. */
  readonly tally: Tally;
}

/** A planned event. Moments are of the broker's clock. */
export interface Schedule {
  /** Of the schedule, and of the event. */
  readonly id: string;
  /** "pending", "delivered" (published, or stored), "failed", "expired" or "cancelled". */
  readonly status: ScheduleStatus;
  /** When it is, or was, to be published; of one that is tried again, when that is. */
  readonly due: Date;
  /** Of the event. */
  readonly topic: string;
  /** Its ordering key; empty for none. */
  readonly key: string;
  /** Whether it is stored for durable subscriptions. */
  readonly durable: boolean;
  /** 1 low, 5 normal, 8 high, 10 critical. */
  readonly priority: number;
  /** How often storing it failed. */
  readonly attempts: number;
  /** When it was planned. */
  readonly created: Date;
  /** When it was published, or given up; undefined while it is pending. */
  readonly ended: Date | undefined;
  /** Why it could not be stored the last time; empty if it could, or was not tried. */
  readonly error: string;
  /** The event itself. */
  readonly event: Event;
}

/** Some schedules with one status. */
export interface SchedulePage {
  /** Pending ones by when they are due, others the last first. */
  readonly items: Schedule[];
  /** How many there are in all. */
  readonly total: number;
  /** Number of this one, from 1. */
  readonly page: number;
  /** How many a page has. */
  readonly limit: number;
}

/**
 * How many events were planned, and what became of them, for as long as the broker remembers. What failed and is tried anew
 * counts as pending again.
 */
export interface ScheduleFigures {
  /** In all. */
  readonly planned: number;
  /** That wait now. */
  readonly pending: number;
  /** That ended so. */
  readonly delivered: number;
  readonly failed: number;
  readonly expired: number;
  readonly cancelled: number;
}

/** Which schedules are listed. */
export interface ScheduleListOptions {
  /** "pending" unless given. */
  readonly status?: ScheduleStatus;
  /** From 1, which it is unless given. */
  readonly page?: number;
  /** How many a page has, 1 to 1,000; 50 unless given. */
  readonly limit?: number;
}

const LIST_KINDS: Kinds<ScheduleListOptions> = {
  status: oneOf(...SCHEDULE_STATUSES),
  page: whole(1, MOST_PAGES),
  limit: whole(1, LIMIT_PAGE),
};
const WHEN_KINDS: Kinds<When> = { delay: ANY, at: ANY };

/**
 * Looks after planned events: `events.schedules`. Its methods reject with UnavailableError without a broker. What has ended
 * is remembered for 24 hours, the last 10,000 with each status.
 */
export class Schedules {
  readonly #house: House;

  /** `EventSystem` makes it. */
  constructor(house: House) {
    this.#house = house;
  }

  /** The schedule with the id that a receipt told. Rejects with NotFoundError: there is none, or it ended too long ago. */
  async get(id: string): Promise<Schedule> {
    checkId(id);
    return this.#read(await this.#find(id));
  }

  /** A page of the schedules with a status; one beyond the end is empty. Rejects with InvalidArgumentError. */
  async list(options: ScheduleListOptions = NO_OPTIONS): Promise<SchedulePage> {
    checkOptions(options, LIST_KINDS, "schedules.list");
    const { status = "pending", page = 1, limit = DEFAULT_PAGE } = options;
    await this.#house.start();
    const { total, found } = await this.#house.agenda.page(status, (page - 1) * limit, limit);
    return { items: found.map((each) => this.#read(each)), total, page, limit };
  }

  /** How many were planned, wait, and ended with each status. */
  async figures(): Promise<ScheduleFigures> {
    await this.#house.start();
    const {
      planned = 0,
      pending = 0,
      delivered = 0,
      failed = 0,
      expired = 0,
      cancelled = 0,
    } = await this.#house.agenda.sums();
    return { planned, pending, delivered, failed, expired, cancelled };
  }

  /**
   * Has an event not published; one that was cancelled before stays so. Rejects with NotFoundError (there is none, or it
   * ended too long ago) or ConflictError (it was published before, or given up).
   */
  async cancel(id: string): Promise<Schedule> {
    checkId(id);
    await this.#house.start();
    const was = await this.#house.agenda.cancel(id);
    if (was === undefined) throw unknown(id);
    if (was.status !== "pending" && was.status !== "cancelled") throw tooLate(was, "cancelled");
    if (was.status === "pending") this.#house.tally.count("schedulesCancelled");
    return this.#read(await this.#find(id));
  }

  /**
   * Has a pending event published at another time; a moment in the past is now. Rejects with NotFoundError (there is none,
   * or it ended too long ago), ConflictError (it was published before, or given up) or InvalidArgumentError (the time
   * cannot be meant).
   */
  async reschedule(id: string, when: When): Promise<Schedule> {
    return this.#move(id, when, "pending", "reschedule");
  }

  /**
   * Plans an event anew that could not be stored: for now, unless told. Rejects with NotFoundError (there is none, or it
   * ended too long ago), ConflictError (it did not fail) or InvalidArgumentError (the time cannot be meant).
   */
  async retry(id: string, when: When = NO_OPTIONS): Promise<Schedule> {
    return this.#move(id, saysWhen(when) ? when : { ...when, delay: 0 }, "failed", "retry");
  }

  async #move(id: string, when: When, was: ScheduleStatus, how: "reschedule" | "retry"): Promise<Schedule> {
    checkId(id);
    checkOptions(when, WHEN_KINDS, `schedules.${how}`);
    dueOf(when, this.#house.clock.now());
    const planned = await this.#find(id);
    const now = this.#house.clock.now();
    const due = Math.max(now, dueOf(when, now));
    const event = read(planned);
    putOff(event, due, event.ttlMs);
    const envelope = serialize(event);
    const expires = planned.way === "call" ? 0 : event.expiresAt; // a call's TTL begins with each try
    if (!(await this.#house.agenda.move(id, due, expires, envelope, was))) {
      throw tooLate(await this.#find(id), how === "retry" ? "retried" : "rescheduled");
    }
    const moved: Planned = { ...planned, due, status: "pending", tries: 0, ended: 0, why: "", envelope };
    return this.#read((await this.#house.agenda.find(id)) ?? moved); // a task's is forgotten when it went out
  }

  async #find(id: string): Promise<Planned> {
    await this.#house.start();
    const planned = await this.#house.agenda.find(id);
    if (planned === undefined) throw unknown(id);
    return planned;
  }

  #read(planned: Planned): Schedule {
    const { id, status, due, way, priority, tries: attempts, created, ended, why } = planned;
    const envelope = read(planned);
    return {
      id,
      status,
      due: new Date(due),
      topic: envelope.topic,
      key: envelope.key,
      durable: way === "key" || way === "lane",
      priority,
      attempts,
      created: new Date(created),
      ended: ended === 0 ? undefined : new Date(ended),
      error: WHY[why] ?? why,
      event: new Event(envelope, this.#house.clock),
    };
  }
}

function read({ envelope }: Planned) {
  return parse(envelope) ?? newEnvelope(EVENT);
}

function unknown(id: string): NotFoundError {
  return new NotFoundError(`there is no schedule ${shown(id)}; what has ended is remembered for a day`);
}

function tooLate({ id, status, ended }: Planned, what: string): ConflictError {
  const since = ended === 0 ? "" : ` at ${new Date(ended).toISOString()}`;
  return new ConflictError(`the schedule ${id} is ${status}${since}, so it cannot be ${what}`);
}

function checkId(id: unknown): void {
  if (isText(id) && id.length > 0 && id.length <= LIMIT_KEY_BYTES) return;
  throw new InvalidArgumentError(`the id of a schedule is text, as a receipt tells it, not ${shown(id)}`);
}
