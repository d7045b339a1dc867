/** Redis refused a command; the message begins with the kind of error. */
export class RespError {
  constructor(readonly message: string) {}

  /** First word of the message, such as NOSCRIPT. */
  get kind(): string {
    return this.message.split(" ", 1)[0] ?? "";
  }
}

/** The peer does not speak RESP. */
export class ProtocolError extends Error {}

/** One value from Redis: bulk strings are bytes that share memory with what was received. */
export type Reply = Buffer | string | number | bigint | boolean | null | RespError | Reply[] | Map<string, Reply>;

/** Something Redis sent unasked: a message or the confirmation of a subscription. */
export interface Push {
  /** `message`, `smessage`, `pmessage`, `subscribe`, … */
  readonly kind: string;
  /** Channel or pattern. */
  readonly name: string;
  /** What follows. */
  readonly rest: readonly Reply[];
}

/** Who gets what was read. */
export interface RespSink {
  onReply(reply: Reply): void;
  onPush(push: Push): void;
}

const CR = 13;
const MAX_BULK = 64 * 1024 * 1024;
const MAX_ITEMS = 1024 * 1024;
const MAX_LINE = 65_536;
const MAX_DEPTH = 16;
/** The value is not all there yet. */
const INCOMPLETE = Symbol("incomplete");
type Partial<T> = T | typeof INCOMPLETE;

/** Reads RESP3 as it arrives, in pieces of any size. What is kept between pieces is at most one value. */
export class RespReader {
  readonly #sink: RespSink;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #pieces: Buffer[] = [];
  #held = 0;
  #needed = 0;

  constructor(sink: RespSink) {
    this.#sink = sink;
  }

  /** Takes the next piece and hands on all that is complete. Throws ProtocolError. */
  feed(piece: Buffer): void {
    if (this.#held > 0) {
      this.#pieces.push(piece);
      this.#held += piece.length;
      if (this.#held < this.#needed) return;
      this.#bytes = Buffer.concat(this.#pieces, this.#held);
      this.#pieces = [];
    } else {
      this.#bytes = piece;
    }
    this.#at = 0;
    this.#drain();
  }

  #drain(): void {
    let start = 0;
    this.#needed = 0;
    while (this.#at < this.#bytes.length) {
      start = this.#at;
      if (this.#next() === INCOMPLETE) return this.#hold(start);
    }
    this.#held = 0;
  }

  /** Keeps what is left; a value whose length is known is not looked at again before it is all there. */
  #hold(start: number): void {
    const rest = this.#bytes.subarray(start);
    if (this.#needed > 0) this.#needed -= start;
    this.#pieces = [rest];
    this.#held = rest.length;
  }

  #next(): Partial<undefined> {
    if (this.#bytes[this.#at] === 0x3e) return this.#push();
    const value = this.#value(0);
    if (value === INCOMPLETE) return INCOMPLETE;
    this.#sink.onReply(value);
    return undefined;
  }

  #push(): Partial<undefined> {
    this.#at += 1;
    const size = this.#length(MAX_ITEMS);
    if (size === INCOMPLETE) return INCOMPLETE;
    const kind = this.#name();
    if (kind === INCOMPLETE) return INCOMPLETE;
    const name = size > 1 ? this.#name() : "";
    if (name === INCOMPLETE) return INCOMPLETE;
    const rest: Reply[] = [];
    for (let index = 2; index < size; index++) {
      const value = this.#value(1);
      if (value === INCOMPLETE) return INCOMPLETE;
      rest.push(value);
    }
    this.#sink.onPush({ kind, name, rest });
    return undefined;
  }

  #name(): Partial<string> {
    const value = this.#value(1);
    if (value === INCOMPLETE) return INCOMPLETE;
    return value instanceof Buffer ? value.toString("latin1") : String(value);
  }

  #value(depth: number): Partial<Reply> {
    if (this.#at >= this.#bytes.length) return INCOMPLETE;
    const type = this.#bytes[this.#at++];
    switch (type) {
      case 0x24: // $
      case 0x3d: // =
        return this.#bulk();
      case 0x3a: // :
        return this.#integer();
      case 0x2a: // *
      case 0x7e: // ~
      case 0x3e: // >
        return this.#list(depth);
      case 0x25: // %
        return this.#map(depth);
      case 0x7c: // |
        return this.#attributes(depth);
      case 0x21: // !
        return this.#bulkError();
      default:
        return this.#line(type);
    }
  }

  #line(type: number | undefined): Partial<Reply> {
    const text = this.#text();
    if (text === INCOMPLETE) return INCOMPLETE;
    switch (type) {
      case 0x2b: // +
        return text;
      case 0x2d: // -
        return new RespError(text);
      case 0x5f: // _
        return null;
      case 0x23: // #
        return text === "t";
      case 0x2c: // ,
        return text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
      case 0x28: // (
        return BigInt(text);
      default:
        throw new ProtocolError(`the answer begins with byte ${type}, which is not RESP`);
    }
  }

  #bulk(): Partial<Reply> {
    const size = this.#length(MAX_BULK);
    if (size === INCOMPLETE) return INCOMPLETE;
    if (size < 0) return null;
    const start = this.#at;
    const end = start + size;
    if (end + 2 > this.#bytes.length) {
      this.#needed = end + 2;
      return INCOMPLETE;
    }
    this.#at = end + 2;
    return this.#bytes.subarray(start, end);
  }

  #bulkError(): Partial<Reply> {
    const text = this.#bulk();
    return text instanceof Buffer ? new RespError(text.toString()) : text;
  }

  #list(depth: number): Partial<Reply> {
    const size = this.#length(MAX_ITEMS);
    if (size === INCOMPLETE) return INCOMPLETE;
    if (size < 0) return null;
    if (depth >= MAX_DEPTH) throw new ProtocolError("the answer is nested too deep");
    const list: Reply[] = [];
    for (let index = 0; index < size; index++) {
      const value = this.#value(depth + 1);
      if (value === INCOMPLETE) return INCOMPLETE;
      list.push(value);
    }
    return list;
  }

  #map(depth: number): Partial<Reply> {
    const size = this.#length(MAX_ITEMS);
    if (size === INCOMPLETE) return INCOMPLETE;
    if (depth >= MAX_DEPTH) throw new ProtocolError("the answer is nested too deep");
    const map = new Map<string, Reply>();
    for (let index = 0; index < size; index++) {
      const key = this.#name();
      if (key === INCOMPLETE) return INCOMPLETE;
      const value = this.#value(depth + 1);
      if (value === INCOMPLETE) return INCOMPLETE;
      map.set(key, value);
    }
    return map;
  }

  #attributes(depth: number): Partial<Reply> {
    return this.#map(depth) === INCOMPLETE ? INCOMPLETE : this.#value(depth + 1);
  }

  /** A length line; -1 stands for null. */
  #length(most: number): Partial<number> {
    const size = this.#integer();
    if (size === INCOMPLETE) return INCOMPLETE;
    if (typeof size !== "number" || size > most || size < -1) {
      throw new ProtocolError(`a length of ${size} is more than is allowed`);
    }
    return size;
  }

  #integer(): Partial<number | bigint> {
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    let value = 0;
    if (bytes[at] === 0x2d) at += 1;
    for (; at < bytes.length; at++) {
      const digit = (bytes[at] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at + 1 >= bytes.length) return this.#soFar(at - start);
    if (bytes[at] !== CR || at === start) throw new ProtocolError("a number was expected");
    this.#at = at + 2;
    if (!Number.isSafeInteger(value)) return BigInt(bytes.toString("latin1", start, at));
    return bytes[start] === 0x2d ? -value : value;
  }

  #text(): Partial<string> {
    const start = this.#at;
    const end = this.#bytes.indexOf(CR, start);
    if (end < 0 || end + 1 >= this.#bytes.length) return this.#soFar(this.#bytes.length - start);
    this.#at = end + 2;
    return this.#bytes.toString("utf8", start, end);
  }

  #soFar(length: number): typeof INCOMPLETE {
    if (length > MAX_LINE) throw new ProtocolError("a line without an end");
    return INCOMPLETE;
  }
}

const CRLF = Buffer.from("\r\n");

/** A command's bytes: `names` and arguments, each a bulk string. */
export function encodeCommand(parts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([Buffer.from(`*${parts.length}\r\n`), encodeParts(parts)]);
}

/** The bulk strings alone, for the head of a command whose number of arguments varies. */
export function encodeParts(parts: readonly (string | Buffer)[]): Buffer {
  const pieces: Buffer[] = [];
  for (const part of parts) {
    const bytes = typeof part === "string" ? Buffer.from(part) : part;
    pieces.push(Buffer.from(`$${bytes.length}\r\n`), bytes, CRLF);
  }
  return Buffer.concat(pieces);
}
