import type { Requester } from "../calls/requester.js";
import type { Clock } from "../clock.js";
import { decode, encodeReply } from "../codec.js";
import { DEFAULT_ROLE_MS, LIMIT_CLAIM_BYTES, LIMIT_CRON_REPLY_BYTES, PRIORITY_NORMAL } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { CronRun } from "../contract/schedule.js";
import { EVENT, errorToWire, newEnvelope, parse, REQUEST, serialize } from "../envelope.js";
import { said, TielineError, UnavailableError } from "../errors.js";
import type { Log } from "../log.js";
import type { Agenda, Fired, Planned } from "../schedules/agenda.js";
import { callEnded, ended, executed, type Told } from "./events.js";
import type { Kept, Tick, Turn } from "./roster.js";
import { type CronTask, type Due, decodeTask, due, fireTime, tickAfter, tickId } from "./task.js";

const MOST_CALLS = 1_000;
const ROOM_EACH = 512;

/** Makes a call with an idempotency key, whose parts up to the second colon name the chain. */
export type Call = (request: Envelope, data: unknown, key: string) => Promise<unknown>;

/** Publishes an event of the system; one that cannot be heard now is not missed. */
export type Tell = (told: Told) => Promise<unknown>;

/** Where the agenda is. */
export interface House {
  /** The broker's clock. */
  readonly clock: Clock;
  readonly log: Log;
  readonly agenda: Agenda;
  readonly settings: { readonly callTtl: number };
  /** Whether it is started, and not closed. */
  readonly up: boolean;
  /** Has the scheduler look at the agenda now. */
  look(): void;
}

/** What a scheduler does about cron tasks: turns ticks into events and calls, once (SPEC.md, section 16). */
export class CronRunner {
  readonly #house: House;
  readonly #call: Call;
  readonly #tell: Tell;
  readonly #busy = new Set<string>();

  constructor(house: House, call: Call, tell: Tell) {
    this.#house = house;
    this.#call = call;
    this.#tell = tell;
  }

  /** Sees to what a look at the agenda brought. What is under way here is passed over. */
  take({ ticks = [], calls = [], events }: Fired): void {
    for (const { name, at } of ticks) if (!this.#busy.has(name)) void this.#guard(name, () => this.#tick(name, at));
    for (const id of calls) {
      if (!this.#busy.has(id) && this.#busy.size < MOST_CALLS) void this.#guard(id, () => this.#makeCall(id));
    }
    for (const { id, status } of events) {
      if (!id.includes(":") || status === "cancelled") continue;
      const [name, tick] = partsOf(id);
      void this.#guard("", () => this.#tell(ended(name, tick, status)));
    }
  }

  /** What fails is handed out again when its lease ends, here or elsewhere. */
  async #guard(name: string, work: () => Promise<unknown>): Promise<void> {
    if (name !== "") this.#busy.add(name);
    try {
      await work();
    } catch (error) {
      if (error instanceof UnavailableError) return;
      this.#house.log.error(`cron task ${name}: ${error instanceof TielineError ? said(error) : String(error)}`);
    } finally {
      this.#busy.delete(name);
    }
  }

  async #tick(name: string, at: number): Promise<void> {
    const { agenda, clock, settings, log } = this.#house;
    const kept = await agenda.roster.find(name);
    if (kept?.expected === undefined) return;
    const task = decodeTask(kept.task);
    const now = Math.max(clock.now(), at);
    const found = bounded(kept.task.length, due(task, kept.expected, now));
    if (found.missed !== undefined) {
      const since = new Date(found.missed).toISOString();
      log.warn(`cron task ${name}: ticks since ${since} were missed: ${task.misfire}`);
    }
    if (!(await agenda.roster.turn(name, turnOf(task, kept, found, now, settings.callTtl)))) return;
    this.#busy.delete(name); // its next tick may be due before all is told
    this.#house.look();
    for (const tick of found.ticks) await this.#tell(executed(task, tick));
  }

  async #makeCall(id: string): Promise<void> {
    const { agenda, clock } = this.#house;
    const planned = await agenda.find(id);
    const request = planned?.status === "pending" ? parse(planned.envelope) : undefined;
    if (planned === undefined || request === undefined) return;
    const [name, tick] = partsOf(id);
    const run = CronRun.create({ tick, started: clock.now(), attempts: planned.tries + 1 });
    const failure = await this.#answered(planned, request, run);
    // Not the call failed, this instance leaves: who has it next joins the run.
    if (failure instanceof UnavailableError && !this.#house.up) return;
    run.ended = clock.now();
    run.status = failure === undefined ? "completed" : "failed";
    if (failure !== undefined) run.error = errorToWire(failure);
    const why = failure === undefined ? "" : `${failure.code}: ${failure.message}`.slice(0, 1000);
    const status = await agenda.roster.endCall(id, name, planned.tries, why, tick, bytesOf(run));
    this.#house.look();
    if (status === "delivered" || status === "failed") {
      await this.#tell(callEnded(name, tick, run.attempts, failure));
    }
  }

  async #answered(planned: Planned, request: Envelope, run: CronRun): Promise<TielineError | undefined> {
    const begunAnew = request.scheduled === run.tick ? "" : `:${request.scheduled}`;
    const key = planned.tries === 0 && !begunAnew ? planned.id : `${planned.id}:${planned.tries}${begunAnew}`;
    try {
      const reply = await this.#call(request, decode(request.data, request.contentType), key);
      const [encoded, contentType] = encodeReply(reply, request.contentType);
      run.contentType = contentType;
      run.omitted = encoded.length > LIMIT_CRON_REPLY_BYTES;
      if (!run.omitted) run.reply = encoded;
      return undefined;
    } catch (error) {
      if (error instanceof TielineError) return error;
      throw error;
    }
  }
}

/** Makes the call of a tick: a call as any other, with an idempotency key. */
export function callForTask(requester: Requester, request: Envelope, data: unknown, key: string): Promise<unknown> {
  const { topic, headers, contentType, ttlMs: ttl } = request;
  const correlationId = key.split(":").slice(0, 2).join(":");
  const type = contentType === "" ? {} : { contentType };
  return requester.call(topic, data, { ttl, headers, ...type, correlationId, idempotencyKey: key });
}

/** The step that fires what is due of a task. */
function turnOf(task: CronTask, kept: Kept, found: Due, now: number, callTtl: number): Turn {
  const ran = found.ticks.at(-1);
  return {
    version: kept.version,
    expected: kept.expected,
    following: found.next,
    fireAt: found.next === undefined ? 0 : fireTime(task, found.next),
    ran,
    run: ran === undefined ? Buffer.alloc(0) : begun(task, ran, now),
    ticks: found.ticks.map((tick) => tickOf(task, tick, now, callTtl)),
  };
}

/** What is to be known of a run that begins, serialized: an event's is over with that. */
export function begun({ action }: CronTask, tick: number, started: number): Buffer {
  if (action.kind === "call") return bytesOf(CronRun.create({ tick, started, status: "executed" }));
  return bytesOf(CronRun.create({ tick, started, ended: started, status: "completed", attempts: 1 }));
}

/** The moment that a run besides the ticks stands for: now, or the first one that no run had and no tick has. */
export function besides(task: CronTask, { run }: Kept, now: number): number {
  const last = run.length === 0 ? 0 : CronRun.decode(run).tick;
  const moment = Math.max(now, last + 1);
  return tickAfter(task, moment - 1) === moment ? moment + 1 : moment;
}

/** What a tick of a task does. */
export function tickOf(task: CronTask, tick: number, now: number, callTtl: number): Tick {
  const { action } = task;
  const isCall = action.kind === "call";
  const ttl = action.ttl || (isCall ? callTtl : 0);
  const envelope = newEnvelope(isCall ? REQUEST : EVENT);
  envelope.id = tickId(task, tick);
  envelope.topic = action.topic;
  envelope.source = task.source;
  envelope.time = now;
  envelope.ttlMs = ttl;
  envelope.expiresAt = ttl > 0 && !isCall ? now + ttl : 0;
  envelope.headers = { ...action.headers };
  envelope.contentType = action.contentType;
  envelope.data = action.data;
  envelope.scheduled = tick;
  if (!isCall) {
    envelope.key = action.key;
    envelope.priority = action.priority || PRIORITY_NORMAL;
  }
  const { id, topic, key, expiresAt: expires } = envelope;
  const way = isCall ? "call" : key !== "" ? "key" : action.durable ? "lane" : "live";
  const priority = envelope.priority || PRIORITY_NORMAL;
  const attempts = { attempts: task.retries + 1, backoff: task.retryDelay, lease: isCall ? ttl + DEFAULT_ROLE_MS : 0 };
  return {
    id,
    topic,
    way,
    key,
    due: Math.min(tick, now),
    priority,
    expires,
    ...attempts,
    envelope: serialize(envelope),
  };
}

/** No more ticks of a task of this size (bytes) than one message holds; the rest is due at once. */
function bounded(size: number, found: Due): Due {
  const most = Math.max(1, Math.floor(LIMIT_CLAIM_BYTES / (size + ROOM_EACH)));
  const { ticks, missed } = found;
  return ticks.length <= most ? found : { ticks: ticks.slice(0, most), next: ticks[most], missed };
}

function partsOf(id: string): [name: string, tick: number] {
  const colon = id.lastIndexOf(":");
  return [id.slice(0, colon), Number(id.slice(colon + 1))];
}

function bytesOf(run: CronRun): Buffer {
  return Buffer.from(CronRun.encode(run).finish());
}
