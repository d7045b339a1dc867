import type { Envelope } from "../contract/envelope.js";
import { errorFromWire, REPLY, STREAM_END, STREAM_ITEM } from "../envelope.js";
import type { TielineError } from "../errors.js";
import { instanceOf } from "../identity.js";
import { Call, type CallOptions, State, type Waiter } from "./call.js";
import { excess, gap } from "./callErrors.js";
import { Inflow } from "./streams.js";

/** What an arrival changed. */
export type Progress = "nothing" | "item" | "last item" | "end";

/** Who reads a stream: woken when something has changed, told how it ended. */
export class Reader implements Waiter {
  /** What the stream ended with, if it failed. */
  error: TielineError | undefined;
  readonly #ended: () => void;
  #wake: (() => void) | undefined;

  constructor(ended: () => void = () => undefined) {
    this.#ended = ended;
  }

  /** Resolves when something has changed: items are there, or the call is done. */
  change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Something has changed. */
  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** All items came. */
  resolve(): void {
    this.#ended();
    this.wake();
  }

  /** No more items will come. */
  reject(error: TielineError): void {
    this.error = error;
    this.resolve();
  }
}

/** What a caller may ask of a call for a stream. */
export interface StreamCallOptions extends CallOptions {
  /** The end of it all, local monotonic ms. */
  readonly limit: number;
  /** Items the responder may be ahead, at most; as it fits if not given. */
  readonly window?: number | undefined;
}

/** A call whose reply is a stream: what each arrival means to it (SPEC.md, section 10). */
export class StreamCall extends Call {
  readonly flow: Inflow;
  /** When to repeat the credit and to look at the deadline, which moves with every item. */
  tendAt = 0;
  /** The reader waits for the responder; only then does its time run. */
  awaited = true;
  readonly reader: Reader;
  /** The end of it all, local monotonic ms, and how far away that was. */
  readonly limit: number;
  readonly total: number;
  readonly #idle: number;

  constructor(envelope: Envelope, now: number, reader: Reader, options: StreamCallOptions) {
    super(envelope, Math.min(options.limit, now + envelope.ttlMs), reader, options);
    this.reader = reader;
    this.limit = options.limit;
    this.total = options.limit - now;
    this.#idle = envelope.ttlMs;
    this.flow = new Inflow(options.window);
    this.inflow = this.flow;
    envelope.stream = { sequence: 0, consumed: 0, window: this.flow.window };
  }

  /** From now on the responder's time runs anew. */
  rest(now: number): void {
    this.deadline = Math.min(this.limit, now + this.#idle);
  }

  /** Something arrived: what it changed, or the error that it is, or that ends the stream here. */
  flowed(envelope: Envelope): Progress | TielineError {
    this.accepted = true;
    if (envelope.kind === STREAM_ITEM) return this.#item(envelope);
    if (envelope.kind === REPLY) return this.#reply(envelope);
    if (envelope.kind !== STREAM_END) return "nothing";
    if ((envelope.stream?.sequence ?? 0) > this.flow.received) return gap(this, envelope);
    return envelope.error === undefined ? "end" : errorFromWire(envelope.error);
  }

  /** A stream of one item, or an error before the first one. */
  #reply(reply: Envelope): Progress | TielineError {
    if (reply.error !== undefined) return errorFromWire(reply.error);
    const item = this.#item({ ...reply, stream: { sequence: this.flow.received + 1, consumed: 0, window: 0 } });
    return item === "item" ? "last item" : item;
  }

  #item(item: Envelope): Progress | TielineError {
    const arrival = this.flow.add(item);
    if (arrival === "seen") return "nothing";
    if (arrival === "gap") return gap(this, item);
    if (arrival === "excess") return excess(this);
    if (this.state === State.SENT) this.#heldBy(instanceOf(item.source)); // before the broker said who has it
    return "item";
  }

  #heldBy(instance: string): void {
    if (instance === "") return;
    this.state = State.HELD;
    this.instance = instance;
  }
}
