import { LIMIT_PAYLOAD_BYTES, LIMIT_PAYLOAD_DEPTH } from "./contract/contract.js";
import { InvalidPayloadError, PayloadTooLargeError } from "./errors.js";
import { fromDate, Timestamp } from "./timestamp.js";

const TWO_32 = 0x1_0000_0000;
const TWO_34 = 0x4_0000_0000;
const SHORT = 32;
const FIRST_BYTES = 4096;
const KEPT_BYTES = 65_536;
const WORD = /^[A-Za-z_][A-Za-z0-9_]{0,79}$/;
const SURROGATE = /\p{Surrogate}/u;
const WIDE = /[\ud800-\uffff]/;
const NAN = Buffer.from("7ff8000000000000", "hex");
const MIN_INT64 = -(2n ** 63n);
const MAX_UINT64 = 2n ** 64n - 1n;

/** As deep as payloads go, and some values of each level that are converted more than once. */
export const MOST_CONVERSIONS = 4 * LIMIT_PAYLOAD_DEPTH;

/**
 * Writes one payload value as MessagePack, by the rules of SPEC.md, section 3. The canonical form (section 12) has the keys of
 * maps in the order of their UTF-8 bytes and one NaN, and may be longer than a payload.
 */
export class Packer {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #depth = 0;
  /** Values under way that a toJSON method gave, one within the other. */
  #conversions = 0;
  readonly #trail: (string | number)[] = [];
  readonly #canonical: boolean;
  readonly #most: number;

  constructor({ canonical = false } = {}) {
    this.#canonical = canonical;
    this.#most = canonical ? Number.POSITIVE_INFINITY : LIMIT_PAYLOAD_BYTES;
  }

  /** The value's bytes. Throws InvalidPayloadError or PayloadTooLargeError. */
  pack(value: unknown): Buffer {
    this.#at = 0;
    this.#depth = 0;
    this.#conversions = 0;
    this.#value(value);
    if (this.#at > this.#most) throw tooLarge();
    const packed = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(packed, 0, 0, this.#at);
    if (this.#bytes.length > KEPT_BYTES) this.#resize(FIRST_BYTES);
    return packed;
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "boolean":
        return this.#byte(value ? 0xc3 : 0xc2);
      case "undefined":
        return this.#byte(0xc0);
      case "object":
        return value === null ? this.#byte(0xc0) : this.#object(value);
      case "bigint":
        return this.#bigint(value);
      default:
        throw this.#refusal(`a ${typeof value} cannot travel`);
    }
  }

  #object(value: object): void {
    if (Array.isArray(value)) return this.#list(value);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#map(value as Record<string, unknown>);
    if (value instanceof Uint8Array) return this.#blob(value);
    if (value instanceof Date) return this.#date(value);
    if (value instanceof Timestamp) return this.#timestamp(value);
    if (value instanceof Map) return this.#entries(value);
    if (value instanceof ArrayBuffer) return this.#blob(new Uint8Array(value));
    this.#converted(value);
  }

  #converted(value: object): void {
    const name = value.constructor?.name ?? "an object without a constructor";
    if (!("toJSON" in value) || typeof value.toJSON !== "function") {
      throw this.#refusal(`${name} cannot travel: give a plain object, or give its class a toJSON method`);
    }
    this.#enter();
    const plain: unknown = value.toJSON();
    this.#depth -= 1;
    this.#conversions += 1;
    if (this.#conversions > MOST_CONVERSIONS) throw this.#refusal(`the toJSON method of ${name} leads nowhere`);
    this.#value(plain);
    this.#conversions -= 1;
  }

  #list(list: readonly unknown[]): void {
    this.#enter();
    this.#head(list.length, 0x90, 15, 0xdc);
    const at = this.#depth - 1;
    for (let index = 0; index < list.length; index++) {
      this.#trail[at] = index;
      this.#value(list[index]);
    }
    this.#depth -= 1;
  }

  #map(map: Record<string, unknown>): void {
    this.#enter();
    let keys = Object.keys(map);
    if (keys.some((key) => map[key] === undefined)) keys = keys.filter((key) => map[key] !== undefined);
    if (this.#canonical) sort(keys);
    this.#head(keys.length, 0x80, 15, 0xde);
    const at = this.#depth - 1;
    for (const key of keys) {
      this.#text(key, true);
      this.#trail[at] = key;
      this.#value(map[key]);
    }
    this.#depth -= 1;
  }

  #entries(map: Map<unknown, unknown>): void {
    this.#enter();
    let size = 0;
    for (const value of map.values()) if (value !== undefined) size += 1;
    this.#head(size, 0x80, 15, 0xde);
    for (const [key, value] of map) {
      if (typeof key !== "string") {
        this.#depth -= 1;
        throw this.#refusal(`a map with a key of type ${typeof key} cannot travel: keys must be text`);
      }
      if (value === undefined) continue;
      this.#text(key, true);
      this.#trail[this.#depth - 1] = key;
      this.#value(value);
    }
    this.#depth -= 1;
  }

  #number(value: number): void {
    if ((value | 0) === value && value >= 0 && value < 128 && (value !== 0 || 1 / value > 0)) return this.#byte(value);
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      this.#reserve(9);
      this.#bytes[this.#at] = 0xcb;
      if (Number.isNaN(value)) this.#bytes.set(NAN, this.#at + 1);
      else this.#view.setFloat64(this.#at + 1, value);
      this.#at += 9;
    } else if (value >= 0) this.#unsigned(value);
    else this.#negative(value);
  }

  #unsigned(value: number): void {
    if (value < 0x80) this.#byte(value);
    else if (value < 0x100) this.#tagged(0xcc, value, 1);
    else if (value < 0x10000) this.#tagged(0xcd, value, 2);
    else if (value < TWO_32) this.#tagged(0xce, value, 4);
    else this.#wide(0xcf, Math.floor(value / TWO_32), value % TWO_32);
  }

  #negative(value: number): void {
    if (value >= -0x20) this.#byte(value + 0x100);
    else if (value >= -0x80) this.#tagged(0xd0, value + 0x100, 1);
    else if (value >= -0x8000) this.#tagged(0xd1, value + 0x10000, 2);
    else if (value >= -0x80000000) this.#tagged(0xd2, value + TWO_32, 4);
    else {
      const high = Math.floor(value / TWO_32);
      this.#wide(0xd3, high >>> 0, value - high * TWO_32);
    }
  }

  #bigint(value: bigint): void {
    if (value < MIN_INT64 || value > MAX_UINT64) {
      throw this.#refusal(`the integer ${value.toString().slice(0, 40)} does not fit in 64 bits`);
    }
    const near = Number(value);
    if (Number.isSafeInteger(near)) return this.#number(near);
    this.#reserve(9);
    this.#bytes[this.#at] = value < 0n ? 0xd3 : 0xcf;
    this.#view.setBigUint64(this.#at + 1, BigInt.asUintN(64, value));
    this.#at += 9;
  }

  #text(text: string, isKey = false): void {
    const length = text.length;
    this.#reserve(5 + 3 * length);
    if (length < SHORT && this.#ascii(text, length)) return;
    const size = Buffer.byteLength(text);
    if (size !== length && SURROGATE.test(text)) {
      if (isKey) this.#depth -= 1;
      throw this.#refusal("the text holds half of a surrogate pair");
    }
    if (size < 32) this.#byte(0xa0 | size);
    else if (size < 0x100) this.#tagged(0xd9, size, 1);
    else this.#head(size, 0xa0, -1, 0xda);
    this.#at += this.#bytes.write(text, this.#at, size, size === length ? "latin1" : "utf8");
  }

  /** Writes short ASCII text without leaving JavaScript; false if it is not. Room is reserved. */
  #ascii(text: string, length: number): boolean {
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = 0xa0 | length;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return false;
      bytes[at++] = code;
    }
    this.#at = at;
    return true;
  }

  #blob(blob: Uint8Array): void {
    const size = blob.length;
    this.#reserve(5 + size);
    if (size < 0x100) this.#tagged(0xc4, size, 1);
    else this.#head(size, 0, -1, 0xc5);
    this.#bytes.set(blob, this.#at);
    this.#at += size;
  }

  #date(date: Date): void {
    if (Number.isNaN(date.getTime())) throw this.#refusal("an invalid Date cannot travel");
    this.#timestamp(fromDate(date));
  }

  #timestamp({ seconds, nanoseconds }: Timestamp): void {
    this.#reserve(15);
    if (typeof seconds === "number" && seconds >= 0 && seconds < TWO_34) {
      if (nanoseconds === 0 && seconds < TWO_32) {
        this.#tagged(0xd6, 0xff, 1);
        return this.#uint(seconds, 4);
      }
      this.#tagged(0xd7, 0xff, 1);
      this.#uint(nanoseconds * 4 + Math.floor(seconds / TWO_32), 4);
      return this.#uint(seconds % TWO_32, 4);
    }
    this.#tagged(0xc7, 12, 1);
    this.#byte(0xff);
    this.#uint(nanoseconds, 4);
    this.#view.setBigInt64(this.#at, BigInt(seconds));
    this.#at += 8;
  }

  /** A length: in the first byte if it is small (`most` or less), else with a 16-bit tag, else with the 32-bit tag after it. */
  #head(size: number, small: number, most: number, tag: number): void {
    if (size <= most) this.#byte(small | size);
    else if (size < 0x10000) this.#tagged(tag, size, 2);
    else this.#tagged(tag + 1, size, 4);
  }

  #byte(value: number): void {
    if (this.#at >= this.#bytes.length) this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  #tagged(tag: number, value: number, size: 1 | 2 | 4): void {
    this.#reserve(5);
    this.#bytes[this.#at++] = tag;
    this.#uint(value, size);
  }

  #wide(tag: number, high: number, low: number): void {
    this.#reserve(9);
    this.#bytes[this.#at++] = tag;
    this.#uint(high, 4);
    this.#uint(low, 4);
  }

  #uint(value: number, size: 1 | 2 | 4): void {
    if (size === 1) this.#view.setUint8(this.#at, value);
    else if (size === 2) this.#view.setUint16(this.#at, value);
    else this.#view.setUint32(this.#at, value);
    this.#at += size;
  }

  #enter(): void {
    this.#depth += 1;
    if (this.#depth > LIMIT_PAYLOAD_DEPTH) {
      this.#depth -= 1;
      throw this.#refusal(`nested deeper than ${LIMIT_PAYLOAD_DEPTH}`);
    }
  }

  #reserve(size: number): void {
    const needed = this.#at + size;
    if (needed <= this.#bytes.length) return;
    if (this.#at > this.#most) throw tooLarge();
    this.#resize(Math.max(2 * this.#bytes.length, needed));
  }

  #resize(size: number): void {
    const before = this.#bytes;
    this.#bytes = Buffer.allocUnsafeSlow(size);
    this.#view = new DataView(this.#bytes.buffer);
    before.copy(this.#bytes, 0, 0, Math.min(this.#at, size));
  }

  #refusal(reason: string): InvalidPayloadError {
    const path = pathOf(this.#trail.slice(0, this.#depth));
    return new InvalidPayloadError(`${path}: ${reason}`, { details: { path } });
  }
}

/** How a place in a payload is written: `$.items[3].when`, `$["odd key"]`. */
export function pathOf(steps: readonly (string | number)[]): string {
  return `$${steps.map(stepOf).join("")}`;
}

function stepOf(step: string | number): string {
  if (typeof step === "number") return `[${step}]`;
  return WORD.test(step) ? `.${step}` : `[${JSON.stringify(step.slice(0, 80))}]`;
}

/** Sorts by UTF-8 bytes, which is what JavaScript does unless there are surrogates. */
function sort(keys: string[]): void {
  if (keys.some((key) => WIDE.test(key))) keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  else keys.sort();
}

function tooLarge(): PayloadTooLargeError {
  return new PayloadTooLargeError(`the payload takes more than ${LIMIT_PAYLOAD_BYTES} bytes: send a reference to it`, {
    details: { limit: LIMIT_PAYLOAD_BYTES },
  });
}
