import type { Clock } from "../clock.js";
import { DEFAULT_ENDED_PLAN_MS, LIMIT_ENDED_PLANS, LIMIT_FIRE_EVENTS } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import type { Tick } from "../cron/roster.js";
import { parse } from "../envelope.js";
import { UnsupportedError } from "../errors.js";
import type { Agenda, Fired, Firing, Plan, Planned, PlannedPage, ScheduleStatus, Told } from "../schedules/agenda.js";
import { MemoryRoster } from "./memoryRoster.js";

/** Gives an event to everyone who listens, the instance it comes from included. */
type Publish = (envelope: Envelope) => void;

/** What is kept of one. */
interface Entry extends Planned, Pick<Plan, "expires" | "attempts" | "backoff"> {
  /** When to look at it: when it is due, or when a call that was handed out is handed out again … */
  readonly at: number;
  /** … after so long (ms). */
  readonly lease: number;
  /** The task that planned it, if one did: then it is remembered only if it failed. */
  readonly task: string;
}

/** Planned events of one process: live ones, since nothing is stored here. It does what the Redis scripts do. */
export class MemoryAgenda implements Agenda {
  readonly fires = true;
  readonly inProcess = true;
  readonly roster: MemoryRoster;
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #listeners = new Set<Told>();
  readonly #records = new Map<string, Entry>();
  /** Ids of pending ones, in the order in which they go out. */
  #pending: string[] = [];
  /** Ids of the others by their status, the first that ended first. */
  readonly #ended = new Map<ScheduleStatus, string[]>();
  readonly #sums: Record<string, number> = {};

  constructor(clock: Clock, publish: Publish) {
    this.#clock = clock;
    this.#publish = publish;
    this.roster = new MemoryRoster({
      clock,
      planTick: (name, tick) => this.#planTick(name, tick),
      endCall: (id, tries, why) => this.#endCall(id, tries, why),
      tell: (due) => this.#tell(due),
    });
  }

  /** See `Agenda.listen`. */
  listen(told: Told): () => void {
    this.#listeners.add(told);
    return () => this.#listeners.delete(told);
  }

  /** See `Agenda.plan`. Rejects with UnsupportedError for what is to be stored. */
  async plan({ id, way, due, priority, expires, envelope, attempts, backoff }: Plan): Promise<void> {
    if (way !== "live") throw new UnsupportedError("durable events cannot be kept here; use redis:// or grpc://");
    if (this.#records.has(id)) return;
    this.#begin({ id, way, due, priority, expires, envelope, attempts, backoff, lease: 0, task: "" });
  }

  /** See `Agenda.fire`. */
  async fire(): Promise<Fired> {
    const now = this.#clock.now();
    const [events, calls]: [Firing[], string[]] = [[], []];
    for (const id of this.#pending.slice(0, LIMIT_FIRE_EVENTS)) {
      const record = this.#records.get(id);
      if (record === undefined || record.at > now) break;
      const status = record.expires > 0 && record.expires <= now ? "expired" : "delivered";
      if (record.way === "call" && status !== "expired") {
        this.#replace(record, { at: now + record.lease });
        calls.push(id);
        continue;
      }
      this.#end(record, status);
      events.push({ id, status, due: record.due });
      const event = status === "delivered" ? parse(record.envelope) : undefined;
      if (event !== undefined) this.#publish(event);
    }
    const ticks = this.roster.handOut(now).map(([name, at]) => ({ name, at }));
    const next = Math.min(this.#records.get(this.#pending[0] ?? "")?.at ?? Infinity, this.roster.next() ?? Infinity);
    return { again: next === Infinity ? undefined : Math.max(0, next - now), events, ticks, calls };
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
    if (record?.status !== was || (was !== "pending" && was !== "failed")) return false;
    if (was === "failed") this.#revive(record);
    this.#replace(record, { due, at: due, expires, envelope, status: "pending", tries: 0, ended: 0, why: "" });
    return true;
  }

  #begin(plan: Omit<Entry, "status" | "tries" | "created" | "ended" | "why" | "at">): void {
    const begun = { status: "pending" as const, tries: 0, created: this.#clock.now(), ended: 0, why: "", at: plan.due };
    this.#count("planned");
    this.#put({ ...plan, ...begun });
  }

  #planTick(task: string, { id, way, due, priority, expires, envelope, attempts, backoff, lease }: Tick): void {
    if (this.#records.get(id)?.status === "pending") return;
    this.#begin({ id, way, due, priority, expires, envelope, attempts, backoff, lease, task });
  }

  #endCall(id: string, tries: number, why: string): ScheduleStatus | undefined {
    const record = this.#records.get(id);
    if (record?.status !== "pending" || record.way !== "call" || record.tries !== tries) return undefined;
    if (why === "") {
      this.#end(record, "delivered");
      return "delivered";
    }
    const again = this.#clock.now() + record.backoff;
    const failed = { ...record, tries: tries + 1, why };
    if (failed.tries < record.attempts) {
      this.#replace(record, { ...failed, due: again, at: again });
      return "pending";
    }
    this.#end(failed, "failed");
    return "failed";
  }

  /** One that failed is pending again. */
  #revive(record: Entry): void {
    const failed = this.#endedWith("failed");
    failed.splice(failed.indexOf(record.id), 1);
    this.#count("failed", -1);
  }

  #replace(record: Entry, changes: Partial<Entry>): void {
    if (record.status === "pending") this.#pending.splice(this.#placeOf(record), 1);
    this.#put({ ...record, ...changes });
  }

  #put(record: Entry): void {
    this.#records.set(record.id, record);
    const at = this.#placeOf(record);
    this.#pending.splice(at, 0, record.id);
    if (at === 0) this.#tell(record.at);
  }

  #tell(due: number): void {
    for (const told of this.#listeners) told(due, "");
  }

  #end(record: Entry, status: ScheduleStatus): void {
    this.#pending.splice(this.#placeOf(record), 1);
    this.#records.set(record.id, { ...record, status, ended: this.#clock.now() });
    this.#count(status);
    if (record.task !== "" && status !== "failed") {
      this.#records.delete(record.id);
      return;
    }
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
  #placeOf(record: Entry): number {
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

  #count(name: string, by = 1): void {
    this.#sums[name] = (this.#sums[name] ?? 0) + by;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  if (one.at !== other.at) return one.at < other.at;
  if (one.priority !== other.priority) return one.priority > other.priority;
  return one.id < other.id;
}
