import { decode } from "../codec.js";
import type { Envelope } from "../contract/envelope.js";
import { InvalidArgumentError, InvalidPayloadError } from "../errors.js";
import { StreamCall } from "./streamCall.js";

/** What a stream needs of the caller that makes its call. */
export interface StreamSource {
  /** Resolves when something has changed for the reader, who waits for the next item. */
  change(call: StreamCall): Promise<void>;
  /** The reader took an item. */
  taken(call: StreamCall): void;
  /** Nobody reads any more. */
  leave(call: StreamCall): void;
}

/** Streams that nobody holds any more are left: the last resort, and not to be relied on. */
const forgotten = new FinalizationRegistry<() => void>((leave) => leave());

/**
 * The items of a streaming reply, in order: `for await (const item of stream)`.
 *
 * The call is made with the first item asked for. Leaving early cancels the handler: by `break`, by `return`, at the end
 * of an `await using`, or by the signal that was given.
 */
export class Stream<Item = unknown> implements AsyncIterableIterator<Item> {
  readonly #source: StreamSource;
  readonly #begin: (inner: (stream: Stream) => Stream) => Promise<unknown>;
  #call: StreamCall | undefined;
  /** What middleware had its part of. */
  #inner: Stream | undefined;
  /** What middleware made of it. */
  #through: AsyncIterator<Item> | undefined;
  #over = false;
  #reading = false;

  /**
   * Made by `EventSystem.publishAndStream`. What `begin` resolves to is read: a call, or what middleware made of a stream
   * within this one; that one passes through `inner`, and ends with this one.
   */
  constructor(source: StreamSource, begin: (inner: (stream: Stream) => Stream) => Promise<unknown>) {
    this.#source = source;
    this.#begin = begin;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * The next item. Rejects with what the responder said, or what became of it, after the items before it were handed
   * out; with InvalidArgumentError if somebody else waits for the next item already.
   */
  async next(): Promise<IteratorResult<Item>> {
    if (this.#reading) throw new InvalidArgumentError("somebody else waits for the next item; one reader at a time");
    const call = this.#call;
    const item = call?.flow.take() ?? (await this.#arrival());
    if (this.#through !== undefined) return this.#through.next();
    return item === undefined ? { done: true, value: undefined } : { done: false, value: this.#read(item) };
  }

  /** Reads no more; the handler is cancelled if it still runs. Idempotent. */
  async return(value?: unknown): Promise<IteratorResult<Item>> {
    this.#end();
    await this.#inner?.return(); // first: what middleware made of it may be waiting for its next item
    await this.#through?.return?.();
    return { done: true, value };
  }

  /** As `return`, and rejects with the error. */
  async throw(error?: unknown): Promise<IteratorResult<Item>> {
    await this.return();
    throw error;
  }

  /** `await using stream = events.publishAndStream(…)` leaves it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Waits for the next item; undefined at the end. */
  async #arrival(): Promise<Envelope | undefined> {
    this.#reading = true;
    try {
      for (let call = await this.#started(); call !== undefined; await this.#source.change(call)) {
        const item = call.flow.take();
        if (item !== undefined) return item;
        if (call.done) return this.#ended(call);
      }
      return undefined;
    } catch (error) {
      this.#over = true;
      throw error;
    } finally {
      this.#reading = false;
    }
  }

  /** Its call, made now if need be; undefined if nothing is to be read any more. */
  async #started(): Promise<StreamCall | undefined> {
    if (this.#over || this.#call !== undefined || this.#through !== undefined)
      return this.#over ? undefined : this.#call;
    const call = await this.#made();
    if (!(call instanceof StreamCall)) return this.#passOn(call);
    this.#call = call;
    const source = this.#source;
    forgotten.register(this, () => source.leave(call), this);
    if (this.#over) this.#end(); // while it was being made
    return call;
  }

  /** Not within `#started`, whose closures must not hold on to this stream. */
  #made(): Promise<unknown> {
    return this.#begin((inner) => this.#hold(inner));
  }

  #hold(inner: Stream): Stream {
    this.#inner = inner;
    if (this.#over) void inner.return();
    return inner;
  }

  async #passOn(items: unknown): Promise<undefined> {
    if (typeof items !== "object" || items === null || !(Symbol.asyncIterator in items)) {
      throw new InvalidArgumentError(
        "middleware around a stream returns what `next` gave it, or another async iterable",
      );
    }
    this.#through = (items as AsyncIterable<Item>)[Symbol.asyncIterator]();
    if (this.#over) await this.#through.return?.();
    return undefined;
  }

  #ended(call: StreamCall): undefined {
    this.#end();
    if (call.reader.error !== undefined) throw call.reader.error;
    return undefined;
  }

  #end(): void {
    this.#over = true;
    if (this.#call === undefined) return;
    forgotten.unregister(this);
    this.#call.flow.clear();
    this.#source.leave(this.#call);
  }

  #read(item: Envelope): Item {
    this.#source.taken(this.#call as StreamCall);
    try {
      return decode(item.data, item.contentType) as Item;
    } catch (error) {
      this.#end();
      const message = error instanceof Error ? error.message : String(error);
      throw new InvalidPayloadError(`the item cannot be read: ${message}`, { outcome: "MAY_HAVE_RUN", cause: error });
    }
  }
}
