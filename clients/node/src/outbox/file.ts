import { LIMIT_OUTBOX_BYTES, LIMIT_OUTBOX_EVENTS } from "../contract/contract.js";
import type { AppendOptions, Draft } from "../durable/mail.js";
import { OverloadedError, said, TielineError } from "../errors.js";
import type { Log } from "../log.js";
import type { OutboxFigures, Waiting } from "./entry.js";
import { OutboxLog, recordOf } from "./log.js";
import { type Kept, OutboxQueue } from "./queue.js";
import { encodeRecord, envelopesAt, type Read, rangesOf } from "./record.js";

const RETRY_AFTER_MS = 1000;
/** A file without anything that waits is cut when it is longer. */
const SHORT_BYTES = 1_048_576;
/** So much of a file may be of no use, besides as much as is. */
const WASTE_BYTES = 16_777_216;
const RECORD_BYTES = 256;

/** Events to be kept, and who waits for that. */
interface Job {
  readonly topic: string;
  readonly drafts: readonly Draft[];
  readonly together: boolean;
  readonly most: number;
  readonly kept: () => void;
  readonly failed: (error: unknown) => void;
}

/** A job that has room. */
interface Admitted {
  readonly job: Job;
  readonly batch: Kept[];
  readonly record: Buffer;
}

/**
 * Events that wait in a file to be stored at the broker. One process uses a file at a time; it is opened with the first
 * use. What comes in one turn of the loop, and while the disk is busy, is written together.
 */
export class OutboxFile {
  readonly #disk: OutboxLog;
  readonly #log: Log;
  readonly #mostEvents: number;
  readonly #mostBytes: number;
  readonly #queue = new OutboxQueue();
  #jobs: Job[] = [];
  /** Numbers of what the broker has, and the file does not know yet. */
  #done: number[] = [];
  #isNews = false;
  #writing: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #tidyAt = 0;

  /** The bounds are those of the contract; others are for tests. */
  constructor(path: string, log: Log, mostEvents = LIMIT_OUTBOX_EVENTS, mostBytes = LIMIT_OUTBOX_BYTES) {
    this.#disk = new OutboxLog(path, log);
    this.#log = log;
    this.#mostEvents = mostEvents;
    this.#mostBytes = mostBytes;
  }

  /**
   * Keeps events, in the order of the calls; resolves when they are on the disk. Rejects with OverloadedError if there is no
   * room, and with UnavailableError if the file cannot be used.
   */
  put(topic: string, drafts: readonly Draft[], options: AppendOptions = {}): Promise<void> {
    const { most = 0, together = false } = options;
    return new Promise((kept, failed) => {
      this.#jobs.push({ topic, drafts, together, most, kept, failed });
      this.#writeSoon();
    });
  }

  /**
   * Some of what waits, in its order, after the one with this number; those of a batch are not parted. Rejects with
   * UnavailableError.
   */
  page(after: number): Promise<Waiting[]> {
    return this.#alone(() => this.#disk.fill(this.#queue.page(after)));
  }

  /** The broker has them. */
  remove(stored: readonly Waiting[]): void {
    const numbers = stored.map(({ number }) => number);
    this.#queue.remove(numbers);
    for (const number of numbers) this.#done.push(number);
    this.#writeSoon();
  }

  /** How many wait. Rejects with UnavailableError. */
  figures(): Promise<OutboxFigures> {
    return this.#alone(async () => this.#queue.figures);
  }

  /** Writes what is to be written, and closes the file; another process may use it then. */
  async close(): Promise<void> {
    await this.#writing;
    const closed = this.#last.then(() => this.#close());
    this.#last = closed;
    await closed;
  }

  async #close(): Promise<void> {
    const used = this.#disk.size > 0 && this.#queue.figures.events === 0;
    if (used) await this.#disk.clear().catch((error) => this.#log.debug(`cutting the outbox failed: ${error}`));
    await this.#disk.close();
    this.#queue.clear();
  }

  // --- one after the other -------------------------------------------------------------------------------------------

  /** Does something with the open file while nobody else does. */
  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(() => this.#open()).then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #open(): Promise<void> {
    const fresh = new OutboxQueue();
    if (!(await this.#disk.open((read) => replay(fresh, read)))) return;
    this.#queue.clear();
    for (const kept of fresh.all()) this.#queue.add(kept);
    this.#queue.last = Math.max(this.#queue.last, fresh.last);
    this.#queue.remove(this.#done);
  }

  #writeSoon(): void {
    this.#isNews = true;
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    while (this.#isNews) {
      await new Promise(setImmediate); // all that comes in this turn
      this.#isNews = false;
      await this.#alone(() => this.#commit()).catch((error) => this.#failed(this.#jobs.splice(0), error));
    }
    this.#writing = undefined; // at once: what comes from here on is for the next one
  }

  /** Nothing was written. What the broker has is told to the file with what is written next. */
  #failed(jobs: readonly Job[], error: unknown): void {
    for (const { failed } of jobs) failed(error);
    if (jobs.length > 0) return;
    this.#log.debug(
      `the outbox was not told what the broker has: ${error instanceof TielineError ? said(error) : error}`,
    );
  }

  // --- commit --------------------------------------------------------------------------------------------------------

  async #commit(): Promise<void> {
    const jobs = this.#jobs.splice(0);
    try {
      await this.#cut();
      const admitted = this.#admit(jobs);
      const done = this.#done.length;
      const head = done === 0 ? [] : [encodeRecord({ done: rangesOf(this.#done) })];
      const at = await this.#append([...head, ...admitted.map(({ record }) => record)], admitted.length > 0);
      this.#keep(admitted, at + (head[0]?.length ?? 0));
      this.#done = this.#done.slice(done);
    } catch (error) {
      return this.#failed(jobs, error);
    }
    await this.#tidy();
  }

  /** Drops all of a long file without anything that waits. */
  async #cut(): Promise<void> {
    if (this.#queue.figures.events > 0 || this.#disk.size <= SHORT_BYTES) return;
    await this.#disk.clear();
    this.#done = [];
  }

  async #append(records: readonly Buffer[], sync: boolean): Promise<number> {
    try {
      return await this.#disk.append(records, sync);
    } catch (error) {
      if (this.#queue.figures.events > 0 || this.#disk.size === 0) throw error;
      await this.#disk.clear(); // of a full disk, what is of no use has room enough, perhaps
      return this.#disk.append(records, sync);
    }
  }

  /** What has room, as it is written; the rest is refused. */
  #admit(jobs: readonly Job[]): Admitted[] {
    const admitted: Admitted[] = [];
    let { last } = this.#queue;
    let { events, bytes } = this.#queue.figures;
    for (const job of jobs) {
      const size = job.drafts.reduce((sum, { envelope }) => sum + envelope.length, 0);
      if (events + job.drafts.length > this.#mostEvents || bytes + size > this.#mostBytes) {
        job.failed(full(events, bytes));
        continue;
      }
      const batch = batchOf(job, last);
      const record = recordOf(
        batch,
        job.drafts.map(({ envelope }) => envelope),
      );
      admitted.push({ job, batch, record });
      [last, events, bytes] = [last + batch.length, events + batch.length, bytes + size];
    }
    return admitted;
  }

  /** They are on the disk, from there on. */
  #keep(admitted: readonly Admitted[], begin: number): void {
    let at = begin;
    for (const { job, batch, record } of admitted) {
      let envelope = at + envelopesAt(record);
      for (const kept of batch) {
        kept.at = envelope;
        envelope += kept.size;
        this.#queue.add(kept);
      }
      at += record.length;
      job.kept();
    }
  }

  /** Drops what is of no use, if it is much. */
  async #tidy(): Promise<void> {
    const { events, bytes } = this.#queue.figures;
    const { size } = this.#disk;
    const useful = bytes + events * RECORD_BYTES;
    if (size <= Math.max(this.#tidyAt, 2 * useful + WASTE_BYTES)) return;
    try {
      await this.#disk.rewrite(this.#queue.all());
      this.#tidyAt = 0;
    } catch (error) {
      this.#tidyAt = size + WASTE_BYTES; // not at once again
      this.#log.warn(`the outbox could not be made shorter: ${error instanceof TielineError ? said(error) : error}`);
    }
  }
}

function batchOf({ topic, drafts, together, most }: Job, last: number): Kept[] {
  const end = together ? last + drafts.length : 0;
  return drafts.map(({ key, priority, knownAs, envelope }, index) => {
    const place = { number: last + index + 1, together: end, at: 0, size: envelope.length, envelope };
    return { ...place, topic, most, key, priority, knownAs };
  });
}

/** Takes a record that was read; false if it does not follow those before. */
function replay(queue: OutboxQueue, { record, envelopes }: Read): boolean {
  if ("done" in record) {
    for (const [first, last] of record.done) {
      queue.remove(Array.from({ length: last - first + 1 }, (_, index) => first + index));
    }
    return true;
  }
  if (record.first <= queue.last) return false;
  const { first, together, topic, most, events } = record;
  let at = envelopes;
  for (const [index, [key, priority, knownAs, size]] of events.entries()) {
    const place = { number: first + index, together: together ? first + events.length - 1 : 0, at, size };
    queue.add({ ...place, envelope: undefined, topic, most, key, priority, knownAs });
    at += size;
  }
  return true;
}

function full(events: number, bytes: number): OverloadedError {
  return new OverloadedError("the outbox is full: too many events wait for the broker", {
    retryAfter: RETRY_AFTER_MS,
    details: { events, bytes },
  });
}
