import { isUtf8 } from "node:buffer";
import { LIMIT_PAYLOAD_BYTES } from "./contract/contract.js";
import { InvalidPayloadError, PayloadTooLargeError } from "./errors.js";
import { decodeJson, encodeJson } from "./json.js";
import { Packer } from "./packer.js";
import { Unpacker } from "./unpacker.js";

export const MSGPACK = "application/msgpack";
export const JSON_TYPE = "application/json";
export const TEXT = "text/plain";
export const OCTETS = "application/octet-stream";
export const PROTOBUF = "application/x-protobuf";

const SURROGATE = /\p{Surrogate}/u;
const unpacker = new Unpacker();
let idle: Packer | undefined = new Packer();

/**
 * Turns a value into a payload of the content type; MessagePack unless stated.
 * Throws InvalidPayloadError naming the culprit's path, or PayloadTooLargeError beyond 1 MiB.
 */
export function encode(value: unknown, contentType = ""): Buffer {
  if (contentType === "" || contentType === MSGPACK) return pack(value);
  const data = encodeAs(mediaType(contentType), value);
  checkSize(data.length);
  return data;
}

/**
 * Turns a payload into a value. No data is null (in text and octets: empty).
 * Throws InvalidPayloadError if the bytes are not what the content type says, PayloadTooLargeError beyond 1 MiB.
 */
export function decode(data: Uint8Array, contentType = ""): unknown {
  checkSize(data.length);
  if (contentType === "" || contentType === MSGPACK) return data.length === 0 ? null : unpacker.unpack(data);
  return decodeAs(mediaType(contentType), asBuffer(data));
}

/**
 * Encodes what a handler returned, and says as what: JSON for a JSON request if possible, else MessagePack as "".
 * Throws as `encode` does.
 */
export function encodeReply(value: unknown, requestContentType: string): [Buffer, string] {
  if (requestContentType !== "" && mediaType(requestContentType) === JSON_TYPE) {
    const data = tryJson(value);
    if (data !== undefined) {
      checkSize(data.length);
      return [data, JSON_TYPE];
    }
  }
  return [pack(value), ""];
}

/** A packer serves one value at a time: a `toJSON` that encodes something itself gets another one. */
function pack(value: unknown): Buffer {
  const packer = idle ?? new Packer();
  idle = undefined;
  try {
    return packer.pack(value);
  } finally {
    idle = packer;
  }
}

function encodeAs(type: string, value: unknown): Buffer {
  if (type === MSGPACK || type === "") return pack(value);
  if (type === JSON_TYPE && !isBytes(value)) return encodeJson(value);
  if (type === TEXT && typeof value === "string") return encodeText(value);
  if (!isBytes(value)) {
    const wanted = type === TEXT ? "text, or bytes that are UTF-8" : "bytes";
    throw new InvalidPayloadError(`$: ${type} takes ${wanted}, not ${value === null ? "null" : typeof value}`);
  }
  return Buffer.from(asBuffer(value));
}

function decodeAs(type: string, data: Buffer): unknown {
  if (type === MSGPACK || type === "") return data.length === 0 ? null : unpacker.unpack(data);
  if (type === JSON_TYPE) return decodeJson(data);
  if (type !== TEXT) return new Uint8Array(data);
  if (!isUtf8(data)) throw new InvalidPayloadError("the text is not UTF-8");
  return data.toString("utf8");
}

function tryJson(value: unknown): Buffer | undefined {
  try {
    return encodeJson(value);
  } catch (error) {
    if (error instanceof InvalidPayloadError) return undefined;
    throw error;
  }
}

function encodeText(text: string): Buffer {
  if (SURROGATE.test(text)) throw new InvalidPayloadError("$: the text holds half of a surrogate pair");
  return Buffer.from(text);
}

/** The media type in lower case, without parameters. */
export function mediaType(contentType: string): string {
  return (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
}

function isBytes(value: unknown): value is Uint8Array | ArrayBuffer {
  return value instanceof Uint8Array || value instanceof ArrayBuffer;
}

function asBuffer(bytes: Uint8Array | ArrayBuffer): Buffer {
  if (bytes instanceof ArrayBuffer) return Buffer.from(bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function checkSize(size: number): void {
  if (size <= LIMIT_PAYLOAD_BYTES) return;
  throw new PayloadTooLargeError(`the payload takes ${size} bytes, at most ${LIMIT_PAYLOAD_BYTES} are allowed`, {
    details: { size, limit: LIMIT_PAYLOAD_BYTES },
  });
}
