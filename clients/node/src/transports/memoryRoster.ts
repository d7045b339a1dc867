import type { Clock } from "../clock.js";
import { DEFAULT_ROLE_MS, LIMIT_CRON_TASKS, LIMIT_FIRE_EVENTS } from "../contract/contract.js";
import type { Kept, KeptPage, Roster, Tick, Turn } from "../cron/roster.js";
import { decodeTask } from "../cron/task.js";
import { UnsupportedError } from "../errors.js";
import type { ScheduleStatus } from "../schedules/agenda.js";

type Entry = Kept & {
  /** When its next tick is fired, or handed out again; undefined: there is none. */
  readonly fireAt: number | undefined;
  /** The tick of its last run. */
  readonly ran: number | undefined;
};

/** Who fires what ticks do. */
export interface House {
  readonly clock: Clock;
  /** Plans what a tick of a task does. */
  planTick(name: string, tick: Tick): void;
  /** See `Roster.endCall`; undefined: somebody else said so before. */
  endCall(id: string, tries: number, why: string): ScheduleStatus | undefined;
  /** Tells that something is due earlier than all else. */
  tell(due: number): void;
}

/** Cron tasks of one process. It does what the Redis scripts do. */
export class MemoryRoster implements Roster {
  readonly #house: House;
  readonly #records = new Map<string, Entry>();
  #version = 0;

  constructor(house: House) {
    this.#house = house;
  }

  /** See `Roster.put`; a version is never used twice. Rejects with UnsupportedError for events that are to be stored. */
  async put(name: string, version: number, task: Buffer, expected: number | undefined, fireAt: number) {
    const { action } = decodeTask(task);
    if (action.kind === "event" && (action.durable || action.key !== "")) {
      throw new UnsupportedError("durable events cannot be kept here; use redis:// or grpc://");
    }
    const before = this.#records.get(name);
    if ((before?.version ?? 0) !== version) return 0;
    if (before === undefined && this.#records.size >= LIMIT_CRON_TASKS) return -1;
    this.#version = Math.max(this.#version + 1, this.#house.clock.now());
    const { runs, run, ran } = before ?? { runs: 0, run: Buffer.alloc(0), ran: undefined };
    const fires = expected === undefined ? undefined : fireAt;
    this.#records.set(name, { name, version: this.#version, task, expected, fireAt: fires, runs, run, ran });
    if (fires !== undefined && fires === this.next()) this.#house.tell(fires);
    return this.#version;
  }

  /** See `Roster.drop`. */
  async drop(name: string): Promise<Kept | undefined> {
    const record = this.#records.get(name);
    this.#records.delete(name);
    return record;
  }

  /** See `Roster.find`. */
  async find(name: string): Promise<Kept | undefined> {
    return this.#records.get(name);
  }

  /** See `Roster.page`. */
  async page(offset: number, limit: number): Promise<KeptPage> {
    const names = [...this.#records.keys()].sort();
    const found = names.slice(offset, offset + limit).flatMap((name) => this.#records.get(name) ?? []);
    return { total: names.length, found };
  }

  /** See `Roster.turn`. */
  async turn(name: string, { version, expected, following, fireAt, ran, run, ticks }: Turn): Promise<boolean> {
    const record = this.#records.get(name);
    if (record?.version !== version || (expected !== undefined && record.expected !== expected)) return false;
    if (expected === undefined && ran !== undefined && ran <= (record.ran ?? 0)) return false;
    const fires = following === undefined ? undefined : fireAt;
    const going = expected === undefined ? record : { ...record, expected: following, fireAt: fires };
    this.#records.set(name, { ...going, runs: record.runs + ticks.length });
    for (const tick of ticks) this.#house.planTick(name, tick);
    if (ran !== undefined) this.#noteRun(name, ran, run);
    return true;
  }

  /** See `Roster.endCall`. */
  async endCall(id: string, name: string, tries: number, why: string, tick: number, run: Buffer) {
    const status = this.#house.endCall(id, tries, why);
    if (status !== undefined) this.#noteRun(name, tick, run);
    return status;
  }

  /** Tasks of which ticks are due, and when they were; they come again if nobody says in time what became of them. */
  handOut(now: number): [name: string, at: number][] {
    const due: [string, number][] = [];
    for (const { name, fireAt } of this.#records.values()) {
      if (fireAt !== undefined && fireAt <= now) due.push([name, fireAt]);
    }
    const handed = due.sort(([, one], [, other]) => one - other).slice(0, LIMIT_FIRE_EVENTS);
    for (const [name] of handed) {
      const record = this.#records.get(name);
      if (record !== undefined) this.#records.set(name, { ...record, fireAt: now + DEFAULT_ROLE_MS });
    }
    return handed;
  }

  /** When the next one is fired. */
  next(): number | undefined {
    let first: number | undefined;
    for (const { fireAt } of this.#records.values()) {
      if (fireAt !== undefined && (first === undefined || fireAt < first)) first = fireAt;
    }
    return first;
  }

  /** A run that is at least as late as the last one that is known. */
  #noteRun(name: string, tick: number, run: Buffer): void {
    const record = this.#records.get(name);
    if (record === undefined || (record.ran !== undefined && tick < record.ran)) return;
    this.#records.set(name, { ...record, ran: tick, run });
  }
}
