import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";

/**
 * What an outbox's file holds: a header, and records that only ever follow each other.
 *
 * A record is its length (4 bytes), a checksum (8 bytes) and its body: the length of a text (4 bytes), that text in JSON,
 * and envelopes. What was not written to its end has another length or checksum.
 */

/** What each such file begins with. */
export const HEADER = Buffer.from("tieline outbox 1\n");

const HEAD_BYTES = 12;
const TEXT_AT = HEAD_BYTES + 4;
const MOST_BYTES = 268_435_456;
const CHUNK_BYTES = 1_048_576;

/** Events that were published together; their envelopes follow each other in the record. */
export interface Put {
  /** Number of the first one; the others follow. */
  readonly first: number;
  /** All or none are to be stored. */
  readonly together: boolean;
  readonly topic: string;
  readonly most: number;
  /** Key, priority, what it is known as, and bytes of its envelope. */
  readonly events: readonly (readonly [string, number, string, number])[];
}

/** Numbers of what the broker has, as ranges: the first and the last one of each. */
export interface Done {
  readonly done: readonly (readonly [number, number])[];
}

/** A record as it was read. */
export interface Read {
  readonly record: Put | Done;
  /** Where its envelopes begin. */
  readonly envelopes: number;
  /** Where the next one begins. */
  readonly end: number;
}

/** A record's bytes. */
export function encodeRecord(record: Put | Done, envelopes: readonly Buffer[] = []): Buffer {
  const text = Buffer.from(JSON.stringify(record));
  const bytes = Buffer.concat([Buffer.alloc(TEXT_AT), text, ...envelopes]);
  bytes.writeUInt32LE(bytes.length - HEAD_BYTES, 0);
  bytes.writeUInt32LE(text.length, HEAD_BYTES);
  checksum(bytes.subarray(HEAD_BYTES)).copy(bytes, 4);
  return bytes;
}

/** Where the envelopes of a record begin, counted from its own beginning. */
export function envelopesAt(record: Buffer): number {
  return TEXT_AT + record.readUInt32LE(HEAD_BYTES);
}

/** Numbers as ranges. */
export function rangesOf(numbers: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const number of [...numbers].sort((one, other) => one - other)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}

/** Reads parts of a file one after the other, a large piece at a time. */
export class Reader {
  readonly #file: FileHandle;
  #piece = Buffer.alloc(0);
  #at = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** So many bytes; undefined if the file ends before. */
  async take(at: number, length: number): Promise<Buffer | undefined> {
    if (at < this.#at || at + length > this.#at + this.#piece.length) await this.#read(at, length);
    const from = at - this.#at;
    return from + length <= this.#piece.length ? this.#piece.subarray(from, from + length) : undefined;
  }

  /** The record that begins there; undefined if there is none that was written to its end. */
  async record(at: number): Promise<Read | undefined> {
    const head = await this.take(at, HEAD_BYTES);
    if (head === undefined) return undefined;
    const [length, sum] = [head.readUInt32LE(0), Buffer.from(head.subarray(4))];
    if (length < 4 || length > MOST_BYTES) return undefined;
    const body = await this.take(at + HEAD_BYTES, length);
    if (body === undefined || !checksum(body).equals(sum)) return undefined;
    const text = body.readUInt32LE(0);
    const record = JSON.parse(body.toString("utf8", 4, 4 + text)) as Put | Done;
    return { record, envelopes: at + TEXT_AT + text, end: at + HEAD_BYTES + length };
  }

  async #read(at: number, length: number): Promise<void> {
    const piece = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, length));
    let filled = 0;
    for (let read = -1; read !== 0 && filled < piece.length; filled += read) {
      read = (await this.#file.read(piece, filled, piece.length - filled, at + filled)).bytesRead;
    }
    this.#piece = piece.subarray(0, filled);
    this.#at = at;
  }
}

function checksum(body: Buffer): Buffer {
  return createHash("sha256").update(body).digest().subarray(0, 8);
}
