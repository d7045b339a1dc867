import type { Call } from "./call.js";
import type { Clock } from "./clock.js";
import { encode } from "./codec.js";
import { type Code, ERRORS } from "./contract/contract.js";
import { type Step as WireStep, Trail as WireTrail } from "./contract/envelope.js";
import type { Delivery } from "./delivery.js";
import type { Envelope } from "./envelope.js";
import type { TielineError } from "./errors.js";
import type { StepName } from "./observe.js";
import type { Port } from "./transport.js";

const NO_CALL = Buffer.alloc(0);
const STORED_EACH_SECOND = 50;
const MESSAGE_LETTERS = 200;
const CODES = new Map(Object.entries(ERRORS).map(([code, spec]) => [spec.number, code as Code]));

/** What a step says: its moment (local monotonic ms), its name and what else there is to say. */
type Told = readonly [moment: number, name: StepName, detail: Readonly<Record<string, unknown>>];

/** What happened to one envelope, told as steps only when somebody asks. */
interface Recorded {
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
    this.#remember(envelope, envelope.callId, () => [[moment, name, detail]]);
  }

  /** Remembers a call that has ended. */
  called(call: Call, began: number, error?: TielineError): void {
    const { envelope, instance, attempts, accepted } = call;
    const ended = this.#now();
    this.#remember(envelope, envelope.callId, () => [
      [began, "routed_remote", { attempts: attempts > 1 ? attempts : 0 }],
      ...(instance === "" ? [] : ([[began, "dispatched", { instance }]] satisfies Told[])),
      endOf(ended, error, accepted),
    ]);
  }

  /** Remembers a call that ended in this process. */
  local(envelope: Envelope, subscription: string, began: number, error: TielineError | undefined): void {
    const ended = this.#now();
    this.#remember(envelope, NO_CALL, () => [[began, "routed_local", { subscription }], endOf(ended, error, false)]);
  }

  /** Remembers a request that was answered, with the number of an error or 0. */
  served({ event, subscription, flow }: Delivery, began: number, accepted: boolean, code: number): void {
    const ended = this.#now();
    const items = flow?.sent ?? 0;
    const { name } = subscription;
    this.#remember(event.envelope, event.envelope.callId, () => [
      [began, "received", {}],
      ...(accepted ? ([[began, "accepted", {}]] satisfies Told[]) : []),
      ...(items > 0 ? ([[ended, "streamed", { items }]] satisfies Told[]) : []),
      [ended, "replied", { subscription: name, error: CODES.get(code) ?? "" }],
    ]);
  }

  /** Remembers an event that is being published. */
  published(event: Envelope): void {
    const moment = this.#now();
    this.#remember(event, NO_CALL, () => [[moment, "published", { id: event.id }]]);
  }

  /** Remembers how a handler of an event ended. */
  handled(envelope: Envelope, subscription: string, how: string): void {
    const moment = this.#now();
    this.#remember(envelope, NO_CALL, () => [[moment, "handled", { subscription, how }]]);
  }

  /** All steps of one chain that are remembered here, as a serialized Trail. */
  of(correlationId: string, source: string, clock: Clock): Buffer {
    const inOrder = [...this.#records.slice(this.#next), ...this.#records.slice(0, this.#next)];
    const mine = inOrder.filter((record) => record.correlationId === correlationId);
    const steps = mine.flatMap(({ tell, topic, callId }) =>
      tell().map(
        ([moment, name, detail]): WireStep => ({
          name,
          time: clock.at(moment),
          source,
          topic,
          callId,
          detail: encode(Object.fromEntries(Object.entries(detail).filter(([, value]) => Boolean(value)))),
        }),
      ),
    );
    return Buffer.from(WireTrail.encode({ steps }).finish());
  }

  /** Stores the steps of something that failed, unless too much fails. */
  store(envelope: Envelope, source: string, port: Port | undefined): void {
    this.#stored += 1;
    if (this.#stored > STORED_EACH_SECOND || this.#capacity === 0) return;
    const correlationId = envelope.correlationId || envelope.id;
    port?.keepTrail(correlationId, this.of(correlationId, source, port.clock));
  }

  #remember({ correlationId, id, topic }: Envelope, callId: Buffer, tell: () => Told[]): void {
    if (this.#capacity === 0) return;
    if (this.room > 0) this.room -= 1;
    this.#records[this.#next] = { correlationId: correlationId || id, topic, callId, tell };
    this.#next = (this.#next + 1) % this.#capacity;
  }
}

function endOf(moment: number, error: TielineError | undefined, accepted: boolean): Told {
  if (error === undefined) return [moment, "completed", { accepted }];
  const { code, outcome, message } = error;
  return [moment, "failed", { code, outcome, message: message.slice(0, MESSAGE_LETTERS) }];
}
