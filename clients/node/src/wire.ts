import { isUtf8 } from "node:buffer";

const TWO_32 = 0x1_0000_0000;
const TEXT_LOOP = 48;
const FIRST_BYTES = 8192;
const KEPT_BYTES = 131_072;
const MAX_GROUPS = 32;
/** A tag and a length of up to 28 bits. */
const HEADROOM = 5;

/** Writes protobuf fields. Room must be reserved before; what is not reserved is not checked. */
export class FieldWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #at = 0;

  /** Begins a message of at most so many bytes. */
  begin(most: number): void {
    this.#at = HEADROOM;
    const needed = HEADROOM + most;
    if (needed > this.#bytes.length || (this.#bytes.length > KEPT_BYTES && needed <= FIRST_BYTES)) {
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, needed));
    }
  }

  /** The message, as bytes of its own. */
  end(): Buffer {
    return this.#copy(HEADROOM);
  }

  /** The message as a field of another one, as bytes of its own. */
  endAsField(tag: number): Buffer {
    const end = this.#at;
    const size = end - HEADROOM;
    this.#at = HEADROOM - 1 - (size < 0x80 ? 1 : size < 0x4000 ? 2 : size < 0x200000 ? 3 : 4);
    const start = this.#at;
    this.varint(tag);
    this.varint(size);
    this.#at = end;
    return this.#copy(start);
  }

  #copy(start: number): Buffer {
    const copy = Buffer.allocUnsafe(this.#at - start);
    this.#bytes.copy(copy, 0, start, this.#at);
    return copy;
  }

  /** A whole number that is not negative, or not larger than 64 bits. */
  varint(value: number): void {
    if (value < 0) return this.#negative(value);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#at++] = (rest % 0x80) | 0x80;
      rest = rest < TWO_32 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    this.#bytes[this.#at++] = rest;
  }

  /** A tag and text, unless it is empty. */
  text(tag: number, text: string): void {
    if (text === "") return;
    this.varint(tag);
    const length = text.length;
    if (length < TEXT_LOOP && this.#ascii(text, length)) return;
    const size = Buffer.byteLength(text);
    this.varint(size);
    this.#at += this.#bytes.write(text, this.#at, size, size === length ? "latin1" : "utf8");
  }

  /** A tag and bytes, even if there are none. */
  blob(tag: number, blob: Uint8Array): void {
    const size = blob.length;
    this.varint(tag);
    this.varint(size);
    this.#bytes.set(blob, this.#at);
    this.#at += size;
  }

  /** A tag and a whole number, unless it is 0. */
  number(tag: number, value: number): void {
    if (value === 0) return;
    this.varint(tag);
    this.varint(value);
  }

  #ascii(text: string, length: number): boolean {
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = length;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return false;
      bytes[at++] = code;
    }
    this.#at = at;
    return true;
  }

  #negative(value: number): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#at++] = Number(rest);
  }
}

/** Reads protobuf fields; whatever is no protobuf throws RangeError. */
export class FieldReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** The next field's tag; 0 at the end. */
  tag(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.varint();
    if (tag >>> 3 === 0 || tag >= TWO_32) throw new RangeError("a field without a number");
    return tag;
  }

  /** A number of up to 64 bits, unsigned; beyond 2^53 it is not exact. */
  varint(): number {
    let byte = this.#byte();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let scale = 0x80;
    for (let count = 1; count < 10; count++) {
      byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new RangeError("a number of more than 10 bytes");
  }

  /** A number of 64 bits with a sign. */
  signed(): number {
    const start = this.#at;
    const value = this.varint();
    if (this.#at - start < 10) return value;
    return Number(BigInt.asIntN(64, this.#wide(start)));
  }

  /** Text in UTF-8. */
  text(): string {
    const size = this.varint();
    const at = this.#skip(size);
    const text = this.#bytes.toString("utf8", at, at + size);
    if (text.includes("\ufffd") && !isUtf8(this.#bytes.subarray(at, at + size))) throw new RangeError("not UTF-8");
    return text;
  }

  /** Bytes that share memory with the message. */
  blob(): Buffer {
    const size = this.varint();
    const at = this.#skip(size);
    return this.#bytes.subarray(at, at + size);
  }

  /** A message inside the message. */
  inner(): FieldReader {
    const size = this.varint();
    const at = this.#skip(size);
    return new FieldReader(this.#bytes, at, at + size);
  }

  /** Passes over a field that is not known. */
  skip(tag: number, depth = 0): void {
    switch (tag & 7) {
      case 0:
        this.varint();
        break;
      case 1:
        this.#skip(8);
        break;
      case 2:
        this.#skip(this.varint());
        break;
      case 3:
        this.#group(tag, depth);
        break;
      case 5:
        this.#skip(4);
        break;
      default:
        throw new RangeError("not protobuf");
    }
  }

  #group(tag: number, depth: number): void {
    if (depth > MAX_GROUPS) throw new RangeError("groups nested too deep");
    for (let inner = this.tag(); inner !== tag + 1; inner = this.tag()) this.skip(inner, depth + 1);
  }

  #wide(start: number): bigint {
    let value = 0n;
    for (let at = start; at < this.#at; at++) {
      value |= BigInt((this.#bytes[at] as number) & 0x7f) << BigInt(7 * (at - start));
    }
    return value;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new RangeError("the bytes end too early");
    return this.#bytes[this.#at++] as number;
  }

  #skip(size: number): number {
    const at = this.#at;
    if (size > this.#end - at) throw new RangeError("the bytes end too early");
    this.#at = at + size;
    return at;
  }
}
