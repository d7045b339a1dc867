import { constants } from "node:fs";
import { type FileHandle, open, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type TielineError, UnavailableError } from "../errors.js";
import type { Log } from "../log.js";
import type { Waiting } from "./entry.js";
import { lock, type Release } from "./lock.js";
import type { Kept } from "./queue.js";
import { encodeRecord, envelopesAt, HEADER, type Read, Reader } from "./record.js";

const PATIENCE_MS = 1000;
const LOOK_MS = 100;
const PIECE_BYTES = 1_048_576;
const SQLITE = "SQLite format 3";

/** The file of an outbox: records are appended, and dropped together when none of them is needed any more. */
export class OutboxLog {
  readonly #given: string;
  readonly #log: Log;
  #path = "";
  #file: FileHandle | undefined;
  #release: Release | undefined;
  #end = 0;

  constructor(path: string, log: Log) {
    this.#given = path;
    this.#log = log;
  }

  /** Bytes of all records. */
  get size(): number {
    return Math.max(0, this.#end - HEADER.length);
  }

  /**
   * Locks and opens the file, if it is not open, and reads its records, as long as they make sense to whoever gets them; the
   * rest was not written to its end, and is dropped. Resolves to whether it was opened. Rejects with UnavailableError.
   */
  async open(take: (read: Read) => boolean): Promise<boolean> {
    if (this.#file !== undefined) return false;
    try {
      this.#path = await resolved(this.#given);
      this.#release ??= await this.#lock();
      const file = await open(this.#path, constants.O_RDWR | constants.O_CREAT, 0o666);
      this.#file = file;
      await this.#read(file, take);
      return true;
    } catch (error) {
      await this.close();
      throw this.unusable(error);
    }
  }

  /**
   * Appends records; with `sync` it resolves when they are on the disk. Resolves to where they begin. Rejects with
   * UnavailableError; nothing was appended then, unless its outcome is MAY_HAVE_RUN.
   */
  async append(records: readonly Buffer[], sync: boolean): Promise<number> {
    const at = this.#end;
    const bytes = Buffer.concat(records);
    try {
      await write(this.#opened, bytes, at);
      if (sync) await this.#opened.datasync();
    } catch (error) {
      throw this.unusable(error, await this.#undo(at));
    }
    this.#end = at + bytes.length;
    return at;
  }

  /** Drops all records. Rejects with UnavailableError. */
  async clear(): Promise<void> {
    try {
      await this.#opened.truncate(HEADER.length);
      this.#end = HEADER.length;
    } catch (error) {
      throw this.unusable(error);
    }
  }

  /** What waits, with its envelopes. Rejects with UnavailableError. */
  async fill(page: readonly Kept[]): Promise<Waiting[]> {
    const reader = new Reader(this.#opened);
    const filled: Waiting[] = [];
    for (const kept of page) filled.push({ ...kept, envelope: kept.envelope ?? (await this.#envelope(reader, kept)) });
    return filled;
  }

  /** Writes what waits into a new file that takes the place of this one. Rejects with UnavailableError. */
  async rewrite(all: readonly Kept[]): Promise<void> {
    const path = `${this.#path}-new`;
    try {
      const file = await open(path, "w+");
      const places = await this.#copy(all, file).catch((error) => file.close().then(() => Promise.reject(error)));
      await rename(path, this.#path);
      await syncFolder(this.#path);
      await this.#file?.close();
      this.#file = file;
      this.#end = places.at(-1) ?? HEADER.length;
      for (const [index, kept] of all.entries()) kept.at = places[index] ?? 0;
    } catch (error) {
      await rm(path, { force: true }).catch(() => undefined);
      throw this.unusable(error);
    }
  }

  /** Closes the file, and lets others have it. Idempotent. */
  async close(): Promise<void> {
    const [file, release] = [this.#file, this.#release];
    this.#file = this.#release = undefined;
    await file?.close().catch(() => undefined);
    await release?.();
  }

  /** What is said of a file that cannot be used. */
  unusable(error: unknown, undone = true): TielineError {
    const why = error instanceof Error ? error.message : String(error);
    return new UnavailableError(`the file ${this.#given} cannot be used: ${why}`, {
      outcome: undone ? "NOT_DELIVERED" : "MAY_HAVE_RUN",
      cause: error,
    });
  }

  // --- open ----------------------------------------------------------------------------------------------------------

  async #lock(): Promise<Release> {
    for (let waited = 0; ; waited += LOOK_MS) {
      const release = await lock(this.#path);
      if (release !== undefined) return release;
      if (waited >= PATIENCE_MS) throw new Error("another process uses it: give each one a file of its own");
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  async #read(file: FileHandle, take: (read: Read) => boolean): Promise<void> {
    const { size } = await file.stat();
    const reader = new Reader(file);
    await this.#greet(file, size);
    this.#end = HEADER.length;
    for (let read = await reader.record(this.#end); read !== undefined; read = await reader.record(this.#end)) {
      if (!take(read)) break;
      this.#end = read.end;
    }
    if (size <= this.#end) return;
    await file.truncate(this.#end);
    this.#log.warn(`the last ${size - this.#end} bytes of the outbox ${this.#given} were not written to their end`);
  }

  /** Makes the header, or makes sure that it is there. */
  async #greet(file: FileHandle, size: number): Promise<void> {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER.length), 0, HEADER.length, 0);
    const begin = buffer.subarray(0, bytesRead);
    if (begin.equals(HEADER)) return;
    if (size >= HEADER.length || !HEADER.subarray(0, bytesRead).equals(begin)) {
      const sqlite = begin.toString("latin1").startsWith(SQLITE) ? "; perhaps it is that of a program in Python" : "";
      throw new Error(`it is no outbox of this client${sqlite}: give each program a file of its own`);
    }
    await write(file, HEADER, 0);
    await file.sync();
    await syncFolder(this.#path);
  }

  // --- read and write ------------------------------------------------------------------------------------------------

  get #opened(): FileHandle {
    if (this.#file === undefined) throw new Error("it is closed");
    return this.#file;
  }

  async #envelope(reader: Reader, { at, size }: Kept): Promise<Buffer> {
    const envelope = await reader.take(at, size).catch((error) => Promise.reject(this.unusable(error)));
    if (envelope === undefined) throw this.unusable(new Error("somebody else has cut it"));
    return envelope;
  }

  /** Takes back what was not written to its end; where that fails, the file is read anew before it is used again. */
  async #undo(end: number): Promise<boolean> {
    try {
      await this.#opened.truncate(end);
      await this.#opened.datasync();
      return true;
    } catch {
      const file = this.#file;
      this.#file = undefined;
      await file?.close().catch(() => undefined);
      return false;
    }
  }

  /** Copies what waits; resolves to where each envelope is, and then to where the file ends. */
  async #copy(all: readonly Kept[], file: FileHandle): Promise<number[]> {
    const reader = new Reader(this.#opened);
    const places: number[] = [];
    let [end, gathered] = [0, 0];
    let pieces: Buffer[] = [HEADER];
    const flush = async () => {
      const bytes = Buffer.concat(pieces);
      await write(file, bytes, end);
      [end, gathered, pieces] = [end + bytes.length, 0, []];
    };
    await flush();
    for (const batch of batchesOf(all)) {
      const envelopes: Buffer[] = [];
      for (const kept of batch) envelopes.push(Buffer.from(kept.envelope ?? (await this.#envelope(reader, kept))));
      const record = recordOf(batch, envelopes);
      let at = end + gathered + envelopesAt(record);
      for (const { size } of batch) {
        places.push(at);
        at += size;
      }
      pieces.push(record);
      gathered += record.length;
      if (gathered >= PIECE_BYTES) await flush();
    }
    await flush();
    await file.sync();
    return [...places, end];
  }
}

/** A record of events whose numbers follow each other. */
export function recordOf(batch: readonly Kept[], envelopes: readonly Buffer[]): Buffer {
  const { number: first = 0, together = 0, topic = "", most = 0 } = batch[0] ?? {};
  const events = batch.map(({ key, priority, knownAs, size }) => [key, priority, knownAs, size] as const);
  return encodeRecord({ first, together: together > 0, topic, most, events }, envelopes);
}

/** What waits, by what is stored together. */
function batchesOf(all: readonly Kept[]): Kept[][] {
  const batches: Kept[][] = [];
  for (const kept of all) {
    const last = batches.at(-1);
    if (kept.together > 0 && last?.[0]?.together === kept.together) last.push(kept);
    else batches.push([kept]);
  }
  return batches;
}

async function write(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

/** The path without links: whoever takes the place of the file takes that of the file itself. */
async function resolved(path: string): Promise<string> {
  return realpath(path).catch(async () => join(await realpath(dirname(path)).catch(noFolder(path)), basename(path)));
}

function noFolder(path: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    throw new Error(`there is no folder ${dirname(path)}; make it, or choose another path`, { cause: error });
  };
}

/** Makes names of files durable; Windows does so by itself. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(dirname(path), "r");
  await folder.sync().finally(() => folder.close());
}
