import { createHash } from "node:crypto";
import { canonicalList, canonicalMap, canonicalNumber } from "./canonical.js";
import { canonicalJson } from "./canonicalJson.js";
import { decode, encode, JSON_TYPE, MSGPACK, mediaType } from "./codec.js";
import { Timestamp } from "./timestamp.js";

const BYTES = 16;

/**
 * 16 bytes that tell the payloads of two calls with one idempotency key apart (SPEC.md, section 12). Equal values have equal
 * fingerprints, in whatever language, order of keys or content type they were written. Throws InvalidPayloadError.
 */
export function fingerprint(data: Buffer, contentType: string): Buffer {
  return createHash("sha256").update(canonical(data, contentType)).digest().subarray(0, BYTES);
}

/** What equal payloads have in common. */
export function canonical(data: Buffer, contentType: string): Buffer {
  const type = mediaType(contentType);
  if (type === "" || type === MSGPACK) return canonicalValue(decode(data));
  if (type !== JSON_TYPE) return Buffer.concat([Buffer.from(`${type}\0`), data]);
  decode(data, contentType); // it must be JSON
  return canonicalJson(data.toString("utf8"));
}

/** A value in MessagePack: shortest forms, keys in the order of their UTF-8 bytes. */
function canonicalValue(value: unknown): Buffer {
  if (typeof value === "number") return canonicalNumber(value);
  if (typeof value !== "object" || value === null || isLeaf(value)) return encode(value);
  if (Array.isArray(value)) return canonicalList(value.map(canonicalValue));
  return canonicalMap(Object.entries(value).map(([key, item]) => [key, canonicalValue(item)]));
}

function isLeaf(value: object): boolean {
  return value instanceof Uint8Array || value instanceof Date || value instanceof Timestamp;
}
