import { createHash } from "node:crypto";
import { canonicalJson } from "../canonicalJson.js";
import { decode, JSON_TYPE, MSGPACK, mediaType } from "../codec.js";
import { Packer } from "../packer.js";

const BYTES = 16;
const FORGETTABLE = /\d{16}|-0/; // what `JSON.parse` may forget: large integers, and that -0 is one
const packer = new Packer({ canonical: true });

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
  if (type === "" || type === MSGPACK) return packer.pack(decode(data));
  if (type !== JSON_TYPE) return Buffer.concat([Buffer.from(`${type}\0`), data]);
  const value = decode(data, contentType);
  const text = data.toString("utf8");
  return FORGETTABLE.test(text) ? canonicalJson(text) : packer.pack(value);
}
