import type { OutboxFigures, Waiting } from "./entry.js";

const TOGETHER = 500;
const PAGE_BYTES = 1_048_576;
const MEMORY_BYTES = 8_388_608;

/** An event that waits in a file. */
export interface Kept extends Omit<Waiting, "envelope"> {
  /** Where its envelope is in the file. */
  at: number;
  /** Bytes of its envelope. */
  readonly size: number;
  /** Its envelope, if there was room for it in memory. */
  envelope: Buffer | undefined;
}

/** What waits in an outbox, in its order, without most of the envelopes. */
export class OutboxQueue {
  /** Number of the last event that ever waited. */
  last = 0;
  #waiting: (Kept | undefined)[] = [];
  /** Numbers of them, also of those that are gone. */
  #numbers: number[] = [];
  #events = 0;
  #bytes = 0;
  #inMemory = 0;

  /** How many wait. */
  get figures(): OutboxFigures {
    return { events: this.#events, bytes: this.#bytes };
  }

  /** All that waits. */
  all(): Kept[] {
    return this.#waiting.filter((kept) => kept !== undefined);
  }

  /** Adds what is on the disk, with greater numbers than all before. */
  add(kept: Kept): void {
    if (this.#inMemory + kept.size > MEMORY_BYTES) kept.envelope = undefined;
    else if (kept.envelope !== undefined) this.#inMemory += kept.size;
    this.#waiting.push(kept);
    this.#numbers.push(kept.number);
    this.#events += 1;
    this.#bytes += kept.size;
    this.last = Math.max(this.last, kept.number);
  }

  /** These do not wait any more; those that never did are ignored. */
  remove(numbers: Iterable<number>): void {
    for (const number of numbers) {
      const at = this.#after(number - 1);
      const kept = this.#numbers[at] === number ? this.#waiting[at] : undefined;
      if (kept === undefined) continue;
      this.#waiting[at] = undefined;
      this.#events -= 1;
      this.#bytes -= kept.size;
      if (kept.envelope !== undefined) this.#inMemory -= kept.size;
    }
    if (this.#waiting.length > 64 && this.#waiting.length > 2 * this.#events) this.#close();
  }

  /** Some of what waits after the one with this number; those of a batch are not parted. */
  page(after: number): Kept[] {
    const page: Kept[] = [];
    let [size, together] = [0, 0];
    for (let at = this.#after(after); at < this.#waiting.length; at++) {
      const kept = this.#waiting[at];
      if (kept === undefined) continue;
      if ((page.length >= TOGETHER || size > PAGE_BYTES) && kept.number > together) break;
      page.push(kept);
      size += kept.size;
      together = kept.together;
    }
    return page;
  }

  /** Forgets all that waits; it is read again. */
  clear(): void {
    [this.#waiting, this.#numbers] = [[], []];
    this.#events = this.#bytes = this.#inMemory = 0;
  }

  /** Index of the first one with a greater number. */
  #after(number: number): number {
    let [low, high] = [0, this.#numbers.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#numbers[middle] ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Leaves no room for what is gone. */
  #close(): void {
    this.#waiting = this.all();
    this.#numbers = this.#waiting.map((kept) => kept?.number ?? 0);
  }
}
