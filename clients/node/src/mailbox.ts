import { CURRENT, type Event } from "./context.js";
import type { TielineError } from "./errors.js";

/** Something a mailbox runs: a delivery or a batch of them. */
export interface Work {
  /** It may give way to a newer one. */
  readonly isEvent: boolean;
  /** What its handler knows as the current event. */
  readonly event: Event | undefined;
  /** Does it. Must call `Mailbox.finished` when it ends, however it ends. */
  run(): void;
  /** Nobody waits for it any more; it may be running. */
  interrupt(reason: TielineError): void;
}

/** At most `concurrency` pieces of work run, at most `capacity` wait, first come first served. */
export class Mailbox {
  readonly concurrency: number;
  readonly capacity: number;
  /** How many events had to give way. */
  dropped = 0;
  readonly #running = new Set<Work>();
  /** What waits, from `#head` on; before it nothing is kept. */
  #waiting: (Work | undefined)[] = [];
  #head = 0;
  #idle: (() => void)[] = [];
  #pumping = false;

  constructor(concurrency: number, capacity: number) {
    this.concurrency = concurrency;
    this.capacity = capacity;
  }

  /** Whether `offer` would take one more. */
  get hasRoom(): boolean {
    return this.#running.size < this.concurrency || this.#waits < this.capacity;
  }

  /** What runs, and what waits (true). */
  atWork(): [work: Work, queued: boolean][] {
    const waiting = this.#waiting.slice(this.#head) as Work[];
    return [
      ...[...this.#running].map((work): [Work, boolean] => [work, false]),
      ...waiting.map((work): [Work, boolean] => [work, true]),
    ];
  }

  get #waits(): number {
    return this.#waiting.length - this.#head;
  }

  /** Runs it now or later; false when there is no room. */
  offer(work: Work): boolean {
    if (this.#running.size < this.concurrency) this.#start(work);
    else if (this.#waits < this.capacity) this.#waiting.push(work);
    else return false;
    return true;
  }

  /** Takes an event even if there is no room; returns the oldest waiting event, which gave way, or `work` itself. */
  force(work: Work): Work | undefined {
    if (this.offer(work)) return undefined;
    this.dropped += 1;
    const at = this.#waiting.findIndex((other, index) => index >= this.#head && other?.isEvent === true);
    if (at < 0) return work;
    const [oldest] = this.#waiting.splice(at, 1);
    this.#waiting.push(work);
    return oldest;
  }

  /** Takes what comes last, even beyond the capacity. */
  admit(work: Work): void {
    if (!this.offer(work)) this.#waiting.push(work);
  }

  /** A piece of work ended; the next one starts. */
  finished(work: Work): void {
    this.#running.delete(work);
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#waits > 0 && this.#running.size < this.concurrency) this.#start(this.#shift());
    } finally {
      this.#pumping = false;
    }
    if (this.#running.size === 0 && this.#idle.length > 0) for (const tell of this.#idle.splice(0)) tell();
  }

  /** Takes back what has not begun; false if it has. */
  withdraw(work: Work): boolean {
    const at = this.#waiting.indexOf(work, this.#head);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    return true;
  }

  /** Whether whoever asks is a handler that runs here. */
  get isCaller(): boolean {
    const own = CURRENT.getStore();
    return own !== undefined && [...this.#running].some(({ event }) => event === own);
  }

  /** Resolves when nothing runs and nothing waits; at once inside a handler of its own. */
  drain(): Promise<void> {
    return this.isCaller ? Promise.resolve() : this.idle();
  }

  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void> {
    if (this.#running.size === 0 && this.#waits === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Interrupts all that waits or runs, and takes it out. */
  clear(reason: TielineError): void {
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    for (const work of [...waiting, ...this.#running]) work?.interrupt(reason);
    this.#running.clear();
    for (const tell of this.#idle.splice(0)) tell();
  }

  #start(work: Work): void {
    this.#running.add(work);
    work.run();
  }

  #shift(): Work {
    const work = this.#waiting[this.#head] as Work;
    this.#waiting[this.#head++] = undefined;
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    } else if (this.#head > 64 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return work;
  }
}
