import type { Envelope } from "./contract/envelope.js";
import type { Waiting } from "./deadlines.js";
import type { TielineError } from "./errors.js";

/** Where a call stands. */
export const State = { WAITING: 0, SENT: 1, HELD: 2, DONE: 3 } as const;
export type State = (typeof State)[keyof typeof State];

/** What the table asks its owner to do. Moments are milliseconds of the local monotonic clock. */
export interface Effects {
  /** Send this attempt to a responder that is not `avoid`. */
  dispatch(envelope: Envelope, avoid: string): void;
  /** Tell a responder that nobody waits any longer. */
  cancel(instance: string, callId: Buffer): void;
  /** The call succeeded. */
  resolve(call: Call, reply: Envelope): void;
  /** The call failed. */
  reject(call: Call, error: TielineError): void;
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
  refusals = 0;
  /** An earlier attempt may have run; nobody can say later that the call did not. */
  mayHaveRun = false;
  callId = "";
  instance = "";
  lastError: TielineError | undefined;
  redispatchAt = 0;
  silentSince = 0;
  started = 0;
  table: CallTable | undefined;
  avoid: string;
  readonly idempotent: boolean;
  readonly patience: number;
  readonly waitForLink: number;

  constructor(
    public envelope: Envelope,
    readonly deadline: number,
    readonly waiter: Waiter,
    options: CallOptions = {},
  ) {
    this.idempotent = options.idempotent ?? false;
    this.patience = options.patience ?? 0;
    this.waitForLink = options.waitForLink ?? 0;
    this.avoid = options.avoid ?? "";
    this.lastError = options.refusal;
  }

  /** A moment of this call has come: its deadline, the end of its patience, or its next dispatch. */
  due(now: number): void {
    this.table?.due(this, now);
  }
}
