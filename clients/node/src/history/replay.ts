import type { Stream } from "../calls/stream.js";
import { InvalidArgumentError } from "../errors.js";

/** How far a replay is. */
export interface ReplayProgress {
  /** Of the replay; its events carry it. */
  readonly id: string;
  /** Events that were delivered, or stored for delivery. */
  readonly sent: number;
  /** Events for which nobody was there, and those that the system had published. */
  readonly skipped: number;
  /** How many there were to be, when it began. */
  readonly total: number;
  /** Of the last one; undefined at the beginning. */
  readonly time: Date | undefined;
  /** It is over. */
  readonly done: boolean;
}

/** A replay that goes on while it is read: about once a second it says how far it is. Made by `events.history.replay`. */
export class Replay implements AsyncIterableIterator<ReplayProgress> {
  readonly #stream: Stream;
  readonly #meaning: (error: unknown) => unknown;

  /** `meaning` is what an error of the stream is thrown as. */
  constructor(stream: Stream, meaning: (error: unknown) => unknown) {
    this.#stream = stream;
    this.#meaning = meaning;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * How far it is now; the last one is `done`. Rejects with NoRespondersError if nobody runs a recorder, and with
   * NotFoundError at the end if nobody had the group.
   */
  async next(): Promise<IteratorResult<ReplayProgress>> {
    try {
      const told = await this.#stream.next();
      if (told.done) return { done: true, value: undefined };
      const { time, ...rest } = told.value as Omit<ReplayProgress, "time"> & { time: number };
      return { done: false, value: { ...rest, time: time === 0 ? undefined : new Date(time) } };
    } catch (error) {
      throw this.#meaning(error);
    }
  }

  /** Reads to the end; resolves with how that was. */
  async wait(): Promise<ReplayProgress> {
    let last: ReplayProgress | undefined;
    for await (const progress of this) last = progress;
    if (last === undefined) throw new InvalidArgumentError("this replay was read to its end already");
    return last;
  }

  /** Ends it, if it is not over. Idempotent. */
  async return(value?: unknown): Promise<IteratorResult<ReplayProgress>> {
    await this.#stream.return();
    return { done: true, value };
  }

  /** `await using replay = events.history.replay(…)` ends it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
