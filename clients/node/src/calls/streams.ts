import { DEFAULT_STREAM_FIRST_WINDOW, LIMIT_STREAM_WINDOW, LIMIT_STREAM_WINDOW_BYTES } from "../contract/contract.js";
import type { Envelope, Stream as Position } from "../contract/envelope.js";

/**
 * The two ends of a streaming reply, without input or output: what may be sent, what has arrived (SPEC.md, section 10).
 *
 *     responder                     reader
 *     Outflow ── items, numbered ─► Inflow
 *             ◄─ credit, absolute ─
 */

/** What an item means to its reader. */
export type Arrival = "new" | "seen" | "gap" | "excess";

const LEAST = 2;
const SPARE = 64;

/** The reader's end: items in order, and the credit it grants. `most` is the largest window it may choose. */
export class Inflow {
  /** How many more items than were taken the responder may send. */
  window: number;
  /** Items that came, in order. */
  received = 0;
  /** Items that the reader took. */
  consumed = 0;
  readonly #most: number;
  #items: Envelope[] = [];
  #head = 0;
  #granted = 0;
  #allowed: number;
  #bytes = 0;

  constructor(most: number = LIMIT_STREAM_WINDOW) {
    this.#most = most;
    this.window = Math.min(most, DEFAULT_STREAM_FIRST_WINDOW);
    this.#allowed = this.window;
  }

  /** How many items are there to take. */
  get waiting(): number {
    return this.#items.length - this.#head;
  }

  /** Whether the responder should hear how far the reader is. */
  get creditDue(): boolean {
    return (this.consumed - this.#granted) * 2 >= this.window;
  }

  /** Takes an item in, if it is the next one. */
  add(item: Envelope): Arrival {
    const number = item.stream?.sequence ?? 0;
    if (number <= this.received) return "seen";
    if (number > this.received + 1) return "gap";
    if (number > this.#allowed) return "excess";
    this.received = number;
    this.#bytes += item.data.length;
    this.#items.push(item);
    return "new";
  }

  /** The next item; undefined if none is there. */
  take(): Envelope | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.consumed += 1;
    this.#head += 1;
    if (this.#head * 2 > this.#items.length) this.#compact();
    return item;
  }

  /** Forgets what is there to take. */
  clear(): void {
    this.#items.length = 0;
    this.#head = 0;
  }

  /** The credit to send now; the window follows the size of the items. */
  grant(): Position {
    const count = this.consumed - this.#granted;
    if (count > 0) {
      const arrived = count + this.waiting;
      const fitting = Math.floor((LIMIT_STREAM_WINDOW_BYTES * arrived) / Math.max(1, this.#bytes));
      this.window = Math.min(this.#most, Math.max(LEAST, fitting));
      this.#bytes = Math.floor((this.#bytes * this.waiting) / arrived);
      this.#granted = this.consumed;
    }
    this.#allowed = Math.max(this.#allowed, this.consumed + this.window);
    return { sequence: 0, consumed: this.consumed, window: this.window };
  }

  /** At most half of what is kept has been taken, or little. */
  #compact(): void {
    if (this.#head === this.#items.length) return this.clear();
    if (this.#head < SPARE) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }
}

/** The responder's end: how many items were sent, and how many more the reader has room for. */
export class Outflow {
  /** Items that were sent. */
  sent = 0;
  /** When the reader gave its last sign of life, local monotonic ms. */
  heard: number;
  #consumed = 0;
  #allowed: number;
  #wake: (() => void) | undefined;

  constructor(window: number, now: number) {
    this.heard = now;
    this.#allowed = Math.min(window, LIMIT_STREAM_WINDOW);
  }

  /** Whether the reader has room for one more. */
  get open(): boolean {
    return this.sent < this.#allowed;
  }

  /** The number of the item that is sent now. */
  next(): number {
    this.sent += 1;
    return this.sent;
  }

  /** The reader said how far it is. What is older than known, or cannot be, changes nothing. */
  credited({ consumed, window }: Position, now: number): void {
    if (consumed < this.#consumed || consumed > this.sent) return;
    this.heard = now;
    this.#consumed = consumed;
    this.#allowed = consumed + Math.min(window, LIMIT_STREAM_WINDOW);
    if (this.open) this.wake();
  }

  /** Resolves at the next credit that gives room, or at `wake`. */
  room(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Whoever waits for room looks again. */
  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
