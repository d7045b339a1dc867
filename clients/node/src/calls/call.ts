import type { Envelope } from "../contract/envelope.js";
import type { TielineError } from "../errors.js";
import type { Waiting } from "./deadlines.js";
import type { StreamCall } from "./streamCall.js";
import type { Inflow } from "./streams.js";

/** Where a call stands. */
export const State = { WAITING: 0, SENT: 1, HELD: 2, DONE: 3 } as const;
export type State = (typeof State)[keyof typeof State];

/** What the table asks its owner to do. Moments are milliseconds of the local monotonic clock. */
export interface Effects {
  /** Send this attempt to a responder, as the call wants it. */
  dispatch(call: Call): void;
  /** Tell a responder that nobody waits any longer. */
  cancel(instance: string, callId: Buffer): void;
  /** The call succeeded. */
  resolve(call: Call, reply: Envelope): void;
  /** The call failed. */
  reject(call: Call, error: TielineError): void;
  /** The run of an idempotency key ended without a result. */
  release(call: Call, error: TielineError): void;
  /** There is something to read. */
  arrived(call: StreamCall): void;
  /** Tell the responder how far the reader is. */
  credit(call: StreamCall): void;
  /** Call `Deadlines.advance` at this moment. */
  wakeAt(moment: number): void;
}

/** Who is told the end of a call. */
export interface Waiter {
  resolve(reply: Envelope): void;
  reject(error: TielineError): void;
}

/** What a caller may ask of a call; moments of the local monotonic clock, 0 for none. */
export interface CallOptions {
  /** It may be sent again although it may have run. */
  readonly idempotent?: boolean;
  /** Until when nobody answering means: ask again. */
  readonly patience?: number;
  /** Until when it may wait for the link. */
  readonly waitForLink?: number;
  /** Instance that should not get it. */
  readonly avoid?: string;
  /** The only instance that may answer. */
  readonly to?: string;
  /** The first attempt goes to this process. */
  readonly near?: boolean;
  /** It was refused in this process: with this error, which is the result if nobody else is there. */
  readonly refusal?: TielineError | undefined;
}

/** Where a call is kept. */
export interface CallTable {
  /** A moment of this call has come. */
  due(call: Call, now: number): void;
}

/** One call and its current attempt. */
export class Call implements Waiting {
  state: State = State.WAITING;
  done = false;
  accepted = false;
  attempts = 0;
  /** How often it was refused elsewhere; less than none after a refusal here: we may be asked once more, in our turn. */
  refusals: number;
  /** An earlier attempt may have run; nobody can say later that the call did not. */
  mayHaveRun = false;
  /** It waits for the run of another call. */
  joined = false;
  /** The attempt is at a handler of this process. */
  local = false;
  callId = "";
  instance = "";
  lastError: TielineError | undefined;
  redispatchAt = 0;
  silentSince = 0;
  /** When the call was made. */
  began = 0;
  /** When its attempt was. */
  started = 0;
  table: CallTable | undefined;
  avoid: string;
  near: boolean;
  readonly to: string;
  /** It has an idempotency key. */
  readonly keyed: boolean;
  /** It runs, perhaps, for all calls with its idempotency key. */
  claimed = false;
  /** What has arrived of a stream; undefined for plain calls. */
  inflow: Inflow | undefined;
  readonly idempotent: boolean;
  readonly patience: number;
  readonly waitForLink: number;

  constructor(
    public envelope: Envelope,
    public deadline: number,
    readonly waiter: Waiter,
    options: CallOptions = {},
  ) {
    this.idempotent = options.idempotent ?? false;
    this.patience = options.patience ?? 0;
    this.waitForLink = options.waitForLink ?? 0;
    this.avoid = options.avoid ?? "";
    this.keyed = envelope.idempotencyKey !== "";
    this.to = options.to ?? "";
    this.near = options.near ?? false;
    this.lastError = options.refusal;
    this.refusals = options.refusal === undefined ? 0 : -1;
  }

  /** Whether another attempt does no harm, although this one may have run. */
  get repeatable(): boolean {
    return this.idempotent && !this.inflow?.received;
  }

  /** A moment of this call has come: its deadline, the end of its patience, or its next dispatch. */
  due(now: number): void {
    this.table?.due(this, now);
  }
}
