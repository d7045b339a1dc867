import type { Call } from "../calls/call.js";
import type { Clock } from "../clock.js";
import { encode } from "../codec.js";
import { type Code, ERRORS, LIMIT_PAYLOAD_BYTES, LIMIT_TRAIL_BYTES } from "../contract/contract.js";
import { Step, type Step as WireStep, Trail as WireTrail } from "../contract/envelope.js";
import type { Delivery } from "../delivery.js";
import type { Envelope } from "../envelope.js";
import type { TielineError } from "../errors.js";
import type { StepName } from "../observe.js";
import type { Port } from "../transport.js";
import { wellFormed } from "../wellFormed.js";

/** What has no call. */
export const NO_CALL = Buffer.alloc(0);
const STORED_EACH_SECOND = 50;
const MESSAGE_LETTERS = 200;
const FRAME_BYTES = 5;
const TOLD_BYTES = LIMIT_PAYLOAD_BYTES - 1024;
const CODES = new Map(Object.entries(ERRORS).map(([code, spec]) => [spec.number, code as Code]));

/** What a step says: its moment (local monotonic ms), its name and what else there is to say. */
export type Told = readonly [moment: number, name: StepName, detail: Readonly<Record<string, unknown>>];

/** What happened to one envelope, told as steps only when somebody asks. */
export interface Recorded {
  readonly correlationId: string;
  readonly topic: string;
  readonly callId: Buffer;
  tell(): Told[];
}

/**
 * The last records of one process, at most `capacity` of them, and at most so many more in a second (SPEC.md, section 13).
 *
 * `room` is how many more usual steps may be remembered in this second: who handles more calls than that remembers a sample
 * of them, and pays for no more. What is unusual, and what fails, is always remembered.
 */
export class Trail {
  /** How many more usual steps may be remembered in this second. */
  room: number;
  readonly #capacity: number;
  readonly #records: Recorded[] = [];
  readonly #now: () => number;
  readonly #storedTo = new Map<string, Recorded>();
  #next = 0;
  #stored = 0;

  constructor(capacity: number, now: () => number) {
    this.#capacity = capacity;
    this.#now = now;
    this.room = capacity;
  }

  /** A second has passed. */
  refill(): void {
    this.room = this.#capacity;
    this.#stored = 0;
  }

  /** Remembers an unusual step. */
  step(name: StepName, envelope: Envelope, detail: Readonly<Record<string, unknown>> = {}): void {
    const moment = this.#now();
    this.remember(envelope, envelope.callId, () => [[moment, name, detail]]);
  }

  /** Remembers a call that has ended; its error gets the correlation id. */
  called(call: Call, error?: TielineError): void {
    const { envelope, began, instance, attempts, accepted } = call;
    name(error, envelope);
    const ended = this.#now();
    const failure = error && failureOf(error);
    this.remember(envelope, envelope.callId, () => [
      ...routed(began, instance, attempts),
      endOf(ended, failure, accepted),
    ]);
  }

  /** What there is to tell of a call that is out. */
  waiting({ envelope, began, instance, attempts, accepted, deadline }: Call): Recorded {
    const now = this.#now();
    return recorded(envelope, envelope.callId, () => [
      ...routed(began, instance, attempts),
      [now, "waiting", { accepted, left_ms: wholeMs(deadline - now) }],
    ]);
  }

  /** Remembers a call that ended in this process; its error gets the correlation id. */
  local(envelope: Envelope, subscription: string, began: number, error: TielineError | undefined): void {
    name(error, envelope);
    const ended = this.#now();
    const failure = error && failureOf(error);
    this.remember(envelope, NO_CALL, () => [[began, "routed_local", { subscription }], endOf(ended, failure, false)]);
  }

  /** Remembers a request that was answered, with the number of an error or 0. */
  served({ event, subscription, flow, started, accepted }: Delivery, ended: number, code: number): void {
    const items = flow?.sent ?? 0;
    const { name } = subscription;
    this.remember(event.envelope, event.envelope.callId, () => [
      ...received(started, accepted),
      ...(items > 0 ? ([[ended, "streamed", { items }]] satisfies Told[]) : []),
      [ended, "replied", { subscription: name, error: CODES.get(code) ?? "" }],
    ]);
  }

  /** Remembers a request whose caller gave up. */
  givenUp({ event, subscription, started, accepted }: Delivery): void {
    const ended = this.#now();
    const { name } = subscription;
    this.remember(event.envelope, event.envelope.callId, () => [
      ...received(started, accepted),
      [ended, "cancelled", { subscription: name }],
    ]);
  }

  /** What there is to tell of what a handler has, or will have. */
  atWork({ event, subscription, started, accepted }: Delivery, queued: boolean): Recorded {
    const { callId } = event.envelope;
    const now = this.#now();
    const tellsAll = callId.length > 0 && started > 0 && !event.cancelled; // what was given up has been told
    const for_ms = started === 0 ? 0 : wholeMs(now - started);
    return recorded(event.envelope, callId, () => [
      ...(tellsAll ? received(started, accepted) : []),
      [now, queued ? "queued" : "running", { subscription: subscription.name, for_ms }],
    ]);
  }

  /** Remembers an event that is being published. */
  published(event: Envelope): void {
    const moment = this.#now();
    this.remember(event, NO_CALL, () => [[moment, "published", { id: event.id }]]);
  }

  /** Remembers an event that was planned, when it is due (ms since 1970), and when that began (local monotonic ms). */
  planned(event: Envelope, due: number, began: number): void {
    this.remember(event, NO_CALL, () => [[began, "planned", { id: event.id, due: new Date(due) }]]);
  }

  /** Remembers how a handler of an event ended. */
  handled(envelope: Envelope, subscription: string, how: string): void {
    const moment = this.#now();
    this.remember(envelope, NO_CALL, () => [[moment, "handled", { subscription, how }]]);
  }

  /**
   * The steps of one chain that are remembered here, as a serialized Trail; the last ones, if an answer cannot hold all.
   * `now` is what is under way, of which this chain's is told too.
   */
  of(correlationId: string, source: string, clock: Clock, now: readonly Recorded[] = []): Buffer {
    const underWay = now.filter((record) => record.correlationId === correlationId);
    return trailOf([...this.#chain(correlationId), ...underWay], source, clock, TOLD_BYTES);
  }

  /** Stores the steps of something that has just failed, as far as they are not stored, unless too much fails. */
  store(envelope: Envelope, source: string, port: Port | undefined): void {
    this.#stored += 1;
    if (this.#stored > STORED_EACH_SECOND || this.#capacity === 0 || !port?.connected) return;
    const correlationId = envelope.correlationId || envelope.id;
    port.keepTrail(correlationId, trailOf(this.#unstored(correlationId), source, port.clock, LIMIT_TRAIL_BYTES));
  }

  #chain(correlationId: string): Recorded[] {
    const inOrder = [...this.#records.slice(this.#next), ...this.#records.slice(0, this.#next)];
    return inOrder.filter((record) => record.correlationId === correlationId);
  }

  /** The records of a chain that came after those that were stored; from now on they count as stored. */
  #unstored(correlationId: string): Recorded[] {
    const chain = this.#chain(correlationId);
    const last = this.#storedTo.get(correlationId);
    this.#storedTo.delete(correlationId);
    const [newest] = chain.slice(-1);
    if (newest !== undefined) this.#storedTo.set(correlationId, newest);
    const [oldest] = this.#storedTo.keys();
    if (this.#storedTo.size > this.#capacity && oldest !== undefined) this.#storedTo.delete(oldest);
    return last === undefined ? chain : chain.slice(chain.indexOf(last) + 1);
  }

  /** Remembers what happened to one envelope, to be told as steps when somebody asks. */
  remember(envelope: Envelope, callId: Buffer, tell: () => Told[]): void {
    if (this.#capacity === 0) return;
    if (this.room > 0) this.room -= 1;
    // A copy: what arrived is a part of the whole frame it came in.
    const copied = callId.length === 0 ? NO_CALL : Buffer.from(callId);
    this.#records[this.#next] = recorded(envelope, copied, tell);
    this.#next = (this.#next + 1) % this.#capacity;
  }
}

/** What happened to one envelope. */
export function recorded({ correlationId, id, topic }: Envelope, callId: Buffer, tell: () => Told[]): Recorded {
  return { correlationId: correlationId || id, topic, callId, tell };
}

function routed(began: number, instance: string, attempts: number): Told[] {
  const first: Told = [began, "routed_remote", { attempts: attempts > 1 ? attempts : 0 }];
  return instance === "" ? [first] : [first, [began, "dispatched", { instance }]];
}

function received(began: number, accepted: boolean): Told[] {
  const first: Told = [began, "received", {}];
  return accepted ? [first, [began, "accepted", {}]] : [first];
}

/** Whole milliseconds; 0 for what is endless. */
export function wholeMs(ms: number): number {
  return Number.isFinite(ms) ? Math.trunc(ms) : 0;
}

function name(error: TielineError | undefined, { correlationId, id }: Envelope): void {
  if (error !== undefined) error.correlationId = correlationId || id;
}

/** What is said of an error: the error itself would hold on to what caused it. */
export function failureOf(error: TielineError): Readonly<Record<string, unknown>> {
  const { code, outcome, message } = error;
  return { code, outcome, message: wellFormed(message, MESSAGE_LETTERS) };
}

function endOf(moment: number, failure: Readonly<Record<string, unknown>> | undefined, accepted: boolean): Told {
  return failure === undefined ? [moment, "completed", { accepted }] : [moment, "failed", failure];
}

/** The steps of the last call, and of the others as many of the last ones as there is room for, in their order. */
function trailOf(records: readonly Recorded[], source: string, clock: Clock, mostBytes: number): Buffer {
  const callId = records.at(-1)?.callId ?? NO_CALL;
  const isOwn = (record: Recorded) => callId.length > 0 && record.callId.equals(callId);
  const told = new Map<Recorded, WireStep[]>();
  let left = mostBytes;
  for (const record of [...records.filter((one) => !isOwn(one)), ...records.filter(isOwn)].reverse()) {
    const steps = stepsOf(record, source, clock);
    for (const step of steps) left -= Step.encode(step).finish().length + FRAME_BYTES;
    if (left < 0) break;
    told.set(record, steps);
  }
  const steps = records.flatMap((record) => told.get(record) ?? []);
  return Buffer.from(WireTrail.encode({ steps }).finish());
}

function stepsOf({ tell, topic, callId }: Recorded, source: string, clock: Clock): WireStep[] {
  return tell().map(([moment, name, detail]) => {
    const micros = clock.microsAt(moment);
    const time = Math.floor(micros / 1000);
    return { name, time, micros: micros - time * 1000, source, topic, callId, detail: detailOf(detail) };
  });
}

/** What there is to say, as a payload; a step of which that cannot be said is told without. */
function detailOf(detail: Readonly<Record<string, unknown>>): Buffer {
  try {
    return encode(Object.fromEntries(Object.entries(detail).filter(([, value]) => Boolean(value))));
  } catch {
    return encode({});
  }
}
