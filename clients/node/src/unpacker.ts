import { isUtf8 } from "node:buffer";
import { LIMIT_PAYLOAD_DEPTH } from "./contract/contract.js";
import { InvalidPayloadError } from "./errors.js";
import { pathOf } from "./packer.js";
import { toNative } from "./timestamp.js";

const TWO_32 = 0x1_0000_0000;
const TINY = 12;
const KEY_BYTES = 24;
const KEY_SLOTS = 1024;

/** Reads one payload value from MessagePack. Lengths and depth are checked before anything is made. */
export class Unpacker {
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  #end = 0;
  #depth = 0;
  readonly #trail: (string | number)[] = [];
  readonly #keys: (string | undefined)[] = new Array(KEY_SLOTS).fill(undefined);

  /** The value that the bytes are, all of them. Throws InvalidPayloadError. */
  unpack(bytes: Uint8Array): unknown {
    this.#bytes = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#end = bytes.length;
    this.#depth = 0;
    const value = this.#value();
    if (this.#at !== this.#end) throw this.#refusal(`${this.#end - this.#at} bytes are left over`);
    return value;
  }

  #value(): unknown {
    const tag = this.#uint8();
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 0x0f);
    if (tag < 0xa0) return this.#list(tag & 0x0f);
    if (tag < 0xc0) return this.#text(tag & 0x1f);
    if (tag >= 0xe0) return tag - 0x100;
    if (tag < 0xca) return this.#small(tag);
    if (tag < 0xd4) return this.#numeric(tag);
    return this.#long(tag);
  }

  #small(tag: number): unknown {
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.#blob(this.#uint8());
      case 0xc5:
        return this.#blob(this.#uint16());
      case 0xc6:
        return this.#blob(this.#uint32());
      case 0xc7:
        return this.#extension(this.#uint8());
      case 0xc8:
        return this.#extension(this.#uint16());
      case 0xc9:
        return this.#extension(this.#uint32());
      default:
        throw this.#refusal("byte 0xc1 is not MessagePack");
    }
  }

  #numeric(tag: number): number | bigint {
    switch (tag) {
      case 0xca:
        return this.#view.getFloat32(this.#skip(4));
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
        return this.#uint8();
      case 0xcd:
        return this.#uint16();
      case 0xce:
        return this.#uint32();
      case 0xcf:
        return this.#wide(false);
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      default:
        return this.#wide(true);
    }
  }

  #long(tag: number): unknown {
    switch (tag) {
      case 0xd9:
        return this.#text(this.#uint8());
      case 0xda:
        return this.#text(this.#uint16());
      case 0xdb:
        return this.#text(this.#uint32());
      case 0xdc:
        return this.#list(this.#uint16());
      case 0xdd:
        return this.#list(this.#uint32());
      case 0xde:
        return this.#map(this.#uint16());
      case 0xdf:
        return this.#map(this.#uint32());
      default:
        return this.#extension(1 << (tag - 0xd4));
    }
  }

  #list(size: number): unknown[] {
    this.#enter(size, 1);
    const list: unknown[] = [];
    for (let index = 0; index < size; index++) {
      this.#trail[this.#depth - 1] = index;
      list.push(this.#value());
    }
    this.#depth -= 1;
    return list;
  }

  #map(size: number): Record<string, unknown> {
    this.#enter(size, 2);
    const map: Record<string, unknown> = {};
    for (let count = 0; count < size; count++) {
      const key = this.#key();
      this.#trail[this.#depth - 1] = key;
      const value = this.#value();
      if (key === "__proto__") Object.defineProperty(map, key, ownProperty(value));
      else map[key] = value;
    }
    this.#depth -= 1;
    return map;
  }

  #key(): string {
    const tag = this.#uint8();
    if (tag >= 0xa0 && tag < 0xc0) return this.#shortKey(tag & 0x1f);
    if (tag === 0xd9) return this.#text(this.#uint8());
    if (tag === 0xda) return this.#text(this.#uint16());
    if (tag === 0xdb) return this.#text(this.#uint32());
    this.#depth -= 1;
    throw this.#refusal("a map has a key that is not text");
  }

  /** Short ASCII keys come from a small table, as the same few come again and again. */
  #shortKey(size: number): string {
    if (size > KEY_BYTES || this.#at + size > this.#end) return this.#text(size);
    const bytes = this.#bytes;
    const at = this.#at;
    let hash = size;
    for (let index = 0; index < size; index++) hash = (Math.imul(hash, 31) + (bytes[at + index] as number)) | 0;
    const slot = hash & (KEY_SLOTS - 1);
    const known = this.#keys[slot];
    if (known !== undefined && known.length === size && isAt(known, bytes, at)) {
      this.#at += size;
      return known;
    }
    const key = this.#text(size);
    if (key.length === size) this.#keys[slot] = key;
    return key;
  }

  #text(size: number): string {
    const at = this.#skip(size);
    const bytes = this.#bytes;
    if (size <= TINY) {
      let text = "";
      let index = 0;
      for (let code = 0; index < size; index++) {
        code = bytes[at + index] as number;
        if (code > 0x7f) break;
        text += String.fromCharCode(code);
      }
      if (index === size) return text;
    }
    const text = bytes.toString("utf8", at, at + size);
    if (text.includes("\ufffd") && !isUtf8(bytes.subarray(at, at + size))) {
      throw this.#refusal("the text is not UTF-8");
    }
    return text;
  }

  #blob(size: number): Uint8Array {
    const at = this.#skip(size);
    return Uint8Array.prototype.slice.call(this.#plain(), at, at + size);
  }

  #plain(): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
  }

  #extension(size: number): unknown {
    const type = this.#view.getInt8(this.#skip(1));
    if (type !== -1) throw this.#refusal(`extension type ${type} is not known; timestamps are -1`);
    if (size === 4) return toNative(this.#uint32(), 0);
    if (size === 8) {
      const mixed = this.#uint32();
      return this.#moment((mixed & 3) * TWO_32 + this.#uint32(), mixed >>> 2);
    }
    if (size !== 12) throw this.#refusal(`a timestamp of ${size} bytes: it has 4, 8 or 12`);
    const nanoseconds = this.#uint32();
    return this.#moment(this.#wide(true), nanoseconds);
  }

  #moment(seconds: number | bigint, nanoseconds: number): unknown {
    if (nanoseconds > 999_999_999) throw this.#refusal(`a timestamp with ${nanoseconds} nanoseconds`);
    return toNative(seconds, nanoseconds);
  }

  #wide(signed: boolean): number | bigint {
    const at = this.#skip(8);
    const high = signed ? this.#view.getInt32(at) : this.#view.getUint32(at);
    const value = high * TWO_32 + this.#view.getUint32(at + 4);
    if (Number.isSafeInteger(value)) return value;
    return signed ? this.#view.getBigInt64(at) : this.#view.getBigUint64(at);
  }

  #uint8(): number {
    if (this.#at >= this.#end) throw this.#refusal("the bytes end too early");
    return this.#bytes[this.#at++] as number;
  }

  #uint16(): number {
    return this.#view.getUint16(this.#skip(2));
  }

  #uint32(): number {
    return this.#view.getUint32(this.#skip(4));
  }

  /** Moves on; returns where it was. */
  #skip(size: number): number {
    const at = this.#at;
    if (size > this.#end - at) throw this.#refusal("the bytes end too early");
    this.#at = at + size;
    return at;
  }

  #enter(size: number, least: number): void {
    if (this.#depth >= LIMIT_PAYLOAD_DEPTH) throw this.#refusal(`nested deeper than ${LIMIT_PAYLOAD_DEPTH}`);
    if (size * least > this.#end - this.#at)
      throw this.#refusal(`${size} items are declared, but the bytes end too early`);
    this.#depth += 1;
  }

  #refusal(reason: string): InvalidPayloadError {
    const path = pathOf(this.#trail.slice(0, this.#depth));
    return new InvalidPayloadError(`${path}: ${reason}`, { details: { path } });
  }
}

function isAt(text: string, bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== bytes[at + index]) return false;
  }
  return true;
}

function ownProperty(value: unknown): PropertyDescriptor {
  return { value, writable: true, enumerable: true, configurable: true };
}
