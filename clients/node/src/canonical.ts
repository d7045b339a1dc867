import { encode } from "./codec.js";

const NAN = Buffer.from("cb7ff8000000000000", "hex");

/** A number: one NaN, integers where they are safe, and else a double. */
export function canonicalNumber(value: number): Buffer {
  if (Number.isNaN(value)) return NAN;
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return encode(value);
  const bytes = Buffer.alloc(9);
  bytes[0] = 0xcb;
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

/** A list of canonical items. */
export function canonicalList(items: readonly Buffer[]): Buffer {
  return Buffer.concat([head(items.length, 0x90, 0xdc), ...items]);
}

/** A map of canonical items. */
export function canonicalMap(entries: readonly (readonly [string, Buffer])[]): Buffer {
  const keyed = entries.map(([key, item]) => ({ key: Buffer.from(key), name: encode(key), item }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  return Buffer.concat([head(keyed.length, 0x80, 0xde), ...keyed.flatMap(({ name, item }) => [name, item])]);
}

/** MessagePack's head of a map or list in its shortest form. */
function head(count: number, short: number, long: number): Buffer {
  if (count < 16) return Buffer.from([short | count]);
  const bytes = Buffer.alloc(count < 0x10000 ? 3 : 5);
  bytes[0] = count < 0x10000 ? long : long + 1;
  if (count < 0x10000) bytes.writeUInt16BE(count, 1);
  else bytes.writeUInt32BE(count, 1);
  return bytes;
}
