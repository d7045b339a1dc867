/** What a frame aims at. Far below the limit: while one end reads a frame, the other one already makes the next. */
export const FRAME_BYTES = 32_768;

/** Hands a frame to the stream; `written` is called when the next one may come. */
export type Write = (frame: Buffer, written: () => void) => void;

/**
 * Serialized messages that wait to be written, in order, for one reader.
 *
 * Concatenated messages of one type are one message that holds the repeated fields of all (a rule of protobuf), so
 * whatever waits while a frame is being written goes out as the next one, without being touched again.
 */
export class GrpcOutbox {
  readonly #write: Write;
  readonly #limit: number;
  #queue: Buffer[] = [];
  #size = 0;
  #writing = false;
  #scheduled = false;
  #emptied: (() => void) | undefined;

  constructor(limit: number, write: Write) {
    this.#limit = limit;
    this.#write = write;
  }

  /** Whether it holds more than its limit; whoever can should refuse work now. */
  get full(): boolean {
    return this.#size > this.#limit;
  }

  /** Adds a message. */
  put(message: Buffer): void {
    this.#queue.push(message);
    this.#size += message.length;
    if (this.#writing || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#next();
    });
  }

  /** Resolves when everything is written. */
  empty(): Promise<void> {
    if (this.#queue.length === 0 && !this.#writing) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
    });
  }

  #next(): void {
    if (this.#writing) return;
    if (this.#queue.length === 0) return this.#emptied?.();
    this.#writing = true;
    this.#write(this.#frame(), () => {
      this.#writing = false;
      this.#next();
    });
  }

  #frame(): Buffer {
    let count = 0;
    let size = 0;
    for (const message of this.#queue) {
      if (count > 0 && size + message.length > FRAME_BYTES) break;
      size += message.length;
      count += 1;
    }
    const messages = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    this.#size -= size;
    return messages.length === 1 ? (messages[0] as Buffer) : Buffer.concat(messages, size);
  }
}
