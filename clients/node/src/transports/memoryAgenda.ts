import type { Clock } from "../clock.js";
import { DEFAULT_ENDED_PLAN_MS, LIMIT_ENDED_PLANS, LIMIT_FIRE_EVENTS } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { parse } from "../envelope.js";
import { UnsupportedError } from "../errors.js";
import { NoRoster } from "../roster.js";
import type { Agenda, Fired, Firing, Plan, Planned, PlannedPage, ScheduleStatus, Told } from "../schedule.js";

/** Gives an event to everyone who listens, the instance it comes from included. */
type Publish = (envelope: Envelope) => void;

/** Planned events of one process: live ones, since nothing is stored here. It does what the Redis scripts do. */
export class MemoryAgenda implements Agenda {
  readonly fires = true;
  readonly inProcess = true;
  readonly roster = new NoRoster("use redis://");
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #listeners: Told[] = [];
  readonly #records = new Map<string, Planned & Pick<Plan, "expires">>();
  /** Ids of pending ones, in the order in which they go out. */
  #pending: string[] = [];
  /** Ids of the others by their status, the first that ended first. */
  readonly #ended = new Map<ScheduleStatus, string[]>();
  readonly #sums: Record<string, number> = {};

  constructor(clock: Clock, publish: Publish) {
    this.#clock = clock;
    this.#publish = publish;
  }

  /** See `Agenda.listen`. */
  listen(told: Told): void {
    this.#listeners.push(told);
  }

  /** See `Agenda.plan`. Rejects with UnsupportedError for what is to be stored. */
  async plan({ id, way, due, priority, expires, envelope }: Plan): Promise<void> {
    if (way !== "live") throw new UnsupportedError("durable events cannot be kept here; use redis:// or grpc://");
    if (this.#records.has(id)) return;
    const created = this.#clock.now();
    const record = { id, status: "pending" as const, due, priority, tries: 0, created, ended: 0, why: "" };
    this.#count("planned");
    this.#put({ ...record, way, envelope, expires });
  }

  /** See `Agenda.fire`. */
  async fire(): Promise<Fired> {
    const now = this.#clock.now();
    const events: Firing[] = [];
    for (const id of this.#pending.slice(0, LIMIT_FIRE_EVENTS)) {
      const record = this.#records.get(id);
      if (record === undefined || record.due > now) break;
      const status = record.expires > 0 && record.expires <= now ? "expired" : "delivered";
      this.#end(record, status);
      events.push({ id, status, due: record.due });
      const event = status === "delivered" ? parse(record.envelope) : undefined;
      if (event !== undefined) this.#publish(event);
    }
    const next = this.#records.get(this.#pending[0] ?? "");
    return { again: next && Math.max(0, next.due - now), events };
  }

  /** See `Agenda.stepDown`; nobody has a role here. */
  async stepDown(): Promise<void> {}

  /** See `Agenda.find`. */
  async find(id: string): Promise<Planned | undefined> {
    this.#forget(this.#records.get(id)?.status ?? "pending");
    return this.#records.get(id);
  }

  /** See `Agenda.page`. */
  async page(status: ScheduleStatus, offset: number, limit: number): Promise<PlannedPage> {
    this.#forget(status);
    const ids = status === "pending" ? this.#pending : [...this.#endedWith(status)].reverse();
    const found = ids.slice(offset, offset + limit).flatMap((id) => this.#records.get(id) ?? []);
    return { total: ids.length, found };
  }

  /** See `Agenda.sums`. */
  async sums(): Promise<Record<string, number>> {
    return { ...this.#sums, pending: this.#pending.length };
  }

  /** See `Agenda.cancel`. */
  async cancel(id: string): Promise<Planned | undefined> {
    const record = this.#records.get(id);
    if (record?.status === "pending") this.#end(record, "cancelled");
    return record;
  }

  /** See `Agenda.move`. */
  async move(id: string, due: number, expires: number, envelope: Buffer, was: ScheduleStatus): Promise<boolean> {
    const record = this.#records.get(id);
    if (record?.status !== was || was !== "pending") return false; // nothing fails here
    this.#pending.splice(this.#placeOf(record), 1);
    this.#put({ ...record, due, expires, envelope });
    return true;
  }

  #put(record: Planned & Pick<Plan, "expires">): void {
    this.#records.set(record.id, record);
    const at = this.#placeOf(record);
    this.#pending.splice(at, 0, record.id);
    if (at > 0) return;
    for (const told of this.#listeners) told(record.due, "");
  }

  #end(record: Planned & Pick<Plan, "expires">, status: ScheduleStatus): void {
    this.#pending.splice(this.#placeOf(record), 1);
    this.#records.set(record.id, { ...record, status, ended: this.#clock.now() });
    this.#count(status);
    this.#endedWith(status).push(record.id);
    this.#forget(status);
  }

  /** Forgets what ended with a status too long ago, and all but the last of them. */
  #forget(status: ScheduleStatus): void {
    if (status === "pending") return;
    const ids = this.#endedWith(status);
    const oldest = this.#clock.now() - DEFAULT_ENDED_PLAN_MS;
    let over = Math.max(0, ids.length - LIMIT_ENDED_PLANS);
    while (over < ids.length && (this.#records.get(ids[over] ?? "")?.ended ?? 0) <= oldest) over += 1;
    for (const id of ids.splice(0, over)) this.#records.delete(id);
  }

  /** Where one is among the pending, or belongs: by when it is due, then the highest priority, then the id. */
  #placeOf(record: Planned): number {
    let [low, high] = [0, this.#pending.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#records.get(this.#pending[middle] ?? "");
      if (other !== undefined && isBefore(other, record)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #endedWith(status: ScheduleStatus): string[] {
    const ids = this.#ended.get(status) ?? [];
    this.#ended.set(status, ids);
    return ids;
  }

  #count(name: string): void {
    this.#sums[name] = (this.#sums[name] ?? 0) + 1;
  }
}

function isBefore(one: Planned, other: Planned): boolean {
  if (one.due !== other.due) return one.due < other.due;
  if (one.priority !== other.priority) return one.priority > other.priority;
  return one.id < other.id;
}
