import { decode, encode } from "./codec.js";
import { type Code, ERRORS, type Outcome } from "./contract/contract.js";
import { type Envelope, type Stream, Error as WireError } from "./contract/envelope.js";
import { ERROR_CLASSES, type ErrorOptions, InternalError, type TielineError } from "./errors.js";
import { FieldReader, FieldWriter } from "./wire.js";

export type { Envelope } from "./contract/envelope.js";

export const EVENT = 1;
export const REQUEST = 2;
export const ACCEPTED = 3;
export const REPLY = 4;
export const CANCEL = 5;
export const STREAM_ITEM = 6;
export const STREAM_END = 7;
export const CREDIT = 8;

const OUTCOMES: readonly Outcome[] = ["NOT_DELIVERED", "MAY_HAVE_RUN", "RAN"];
const CODES = new Map(Object.entries(ERRORS).map(([code, spec]) => [spec.number, code as Code]));
const NO_BYTES = Buffer.alloc(0);
const FIXED_BYTES = 192;
/** Tag of a frame's envelopes. */
const FRAMED = 0x0a;
const writer = new FieldWriter();

/** An envelope of a kind, everything else as if it had not been sent. */
export function newEnvelope(kind: number): Envelope {
  return {
    id: "",
    kind,
    topic: "",
    source: "",
    correlationId: "",
    causationId: "",
    callId: NO_BYTES,
    replyTo: "",
    time: 0,
    ttlMs: 0,
    expiresAt: 0,
    headers: {},
    contentType: "",
    data: NO_BYTES,
    schemaVersion: "",
    key: "",
    priority: 0,
    hops: 0,
    idempotencyKey: "",
    fingerprint: NO_BYTES,
    error: undefined,
    stream: undefined,
    idempotent: false,
    group: "",
    redriven: 0,
    scheduled: 0,
    replay: "",
  };
}

/** The bytes of an envelope, as protobuf defines them. */
export function serialize(envelope: Envelope): Buffer {
  write(envelope);
  return writer.end();
}

/** The bytes of a Frame with one envelope; joined, frames are the frame with all of them. */
export function serializeFrame(envelope: Envelope): Buffer {
  write(envelope);
  return writer.endAsField(FRAMED);
}

function write(envelope: Envelope): void {
  const error = envelope.error && WireError.encode(envelope.error).finish();
  writer.begin(mostBytes(envelope) + (error?.length ?? 0));
  writer.text(0x0a, envelope.id);
  writer.number(0x10, envelope.kind);
  writer.text(0x1a, envelope.topic);
  writer.text(0x22, envelope.source);
  writer.text(0x2a, envelope.correlationId);
  writer.text(0x32, envelope.causationId);
  if (envelope.callId.length !== 0) writer.blob(0x3a, envelope.callId);
  writer.text(0x42, envelope.replyTo);
  writer.number(0x48, envelope.time);
  writer.number(0x50, envelope.ttlMs);
  writer.number(0x58, envelope.expiresAt);
  for (const name in envelope.headers) writeHeader(name, envelope.headers[name] ?? "");
  writer.text(0x6a, envelope.contentType);
  if (envelope.data.length !== 0) writer.blob(0x72, envelope.data);
  writer.text(0x7a, envelope.schemaVersion);
  writer.text(0x82, envelope.key);
  writer.number(0x88, envelope.priority);
  writer.number(0x90, envelope.hops);
  writer.text(0x9a, envelope.idempotencyKey);
  if (envelope.fingerprint.length !== 0) writer.blob(0xa2, envelope.fingerprint);
  if (error) writer.blob(0xaa, error);
  if (envelope.stream) writeStream(envelope.stream);
  writer.number(0xb8, envelope.idempotent ? 1 : 0);
  writer.text(0xc2, envelope.group);
  writer.number(0xc8, envelope.redriven);
  writer.number(0xd0, envelope.scheduled);
  writer.text(0xda, envelope.replay);
}

/** Reads an envelope; undefined for bytes that are none, or whose kind is unknown. It shares memory with the bytes. */
export function parse(bytes: Buffer): Envelope | undefined {
  try {
    return read(new FieldReader(bytes));
  } catch {
    return undefined;
  }
}

/** Reads a Frame and hands on each of its envelopes, in order; what cannot be read is passed over. */
export function parseFrame(bytes: Buffer, take: (envelope: Envelope) => void): void {
  const frame = new FieldReader(bytes);
  for (;;) {
    const envelope = nextOf(frame);
    if (envelope === null) return;
    if (envelope !== undefined) take(envelope);
  }
}

/** The next envelope of a frame; undefined for one that cannot be read, null at the end. */
function nextOf(frame: FieldReader): Envelope | undefined | null {
  try {
    for (let tag = frame.tag(); tag !== 0; tag = frame.tag()) {
      if (tag === FRAMED) return readOr(frame.inner());
      frame.skip(tag);
    }
  } catch {
    return null;
  }
  return null;
}

function readOr(reader: FieldReader): Envelope | undefined {
  try {
    return read(reader);
  } catch {
    return undefined;
  }
}

function read(reader: FieldReader): Envelope | undefined {
  const envelope = newEnvelope(0);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) readField(envelope, tag, reader);
  return envelope.kind >= EVENT && envelope.kind <= CREDIT ? envelope : undefined;
}

function readField(envelope: Envelope, tag: number, reader: FieldReader): void {
  switch (tag) {
    case 0x0a:
      envelope.id = reader.text();
      break;
    case 0x10:
      envelope.kind = reader.varint();
      break;
    case 0x1a:
      envelope.topic = reader.text();
      break;
    case 0x22:
      envelope.source = reader.text();
      break;
    case 0x2a:
      envelope.correlationId = reader.text();
      break;
    case 0x3a:
      envelope.callId = reader.blob();
      break;
    case 0x42:
      envelope.replyTo = reader.text();
      break;
    case 0x48:
      envelope.time = reader.signed();
      break;
    case 0x50:
      envelope.ttlMs = reader.signed();
      break;
    case 0x58:
      envelope.expiresAt = reader.signed();
      break;
    case 0x72:
      envelope.data = reader.blob();
      break;
    case 0xb2:
      envelope.stream = readStream(reader.inner());
      break;
    default:
      readRareField(envelope, tag, reader);
  }
}

function readRareField(envelope: Envelope, tag: number, reader: FieldReader): void {
  switch (tag) {
    case 0x32:
      envelope.causationId = reader.text();
      break;
    case 0x62:
      readHeader(envelope.headers, reader.inner());
      break;
    case 0x6a:
      envelope.contentType = reader.text();
      break;
    case 0x7a:
      envelope.schemaVersion = reader.text();
      break;
    case 0x82:
      envelope.key = reader.text();
      break;
    case 0x88:
      envelope.priority = reader.varint() >>> 0;
      break;
    case 0x90:
      envelope.hops = reader.varint() >>> 0;
      break;
    case 0x9a:
      envelope.idempotencyKey = reader.text();
      break;
    case 0xa2:
      envelope.fingerprint = reader.blob();
      break;
    case 0xaa:
      envelope.error = WireError.decode(reader.blob());
      break;
    case 0xb8:
      envelope.idempotent = reader.varint() !== 0;
      break;
    case 0xc2:
      envelope.group = reader.text();
      break;
    case 0xc8:
      envelope.redriven = reader.varint() >>> 0;
      break;
    case 0xd0:
      envelope.scheduled = reader.signed();
      break;
    case 0xda:
      envelope.replay = reader.text();
      break;
    default:
      reader.skip(tag);
  }
}

function writeHeader(name: string, value: string): void {
  const key = Buffer.from(name);
  const text = Buffer.from(value);
  const size = fieldBytes(key.length) + fieldBytes(text.length);
  writer.varint(0x62);
  writer.varint(size);
  writer.blob(0x0a, key);
  writer.blob(0x12, text);
}

function readHeader(headers: Record<string, string>, reader: FieldReader): void {
  let name = "";
  let value = "";
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) name = reader.text();
    else if (tag === 0x12) value = reader.text();
    else reader.skip(tag);
  }
  Object.defineProperty(headers, name, { value, writable: true, enumerable: true, configurable: true });
}

function writeStream({ sequence, consumed, window }: Stream): void {
  writer.varint(0xb2);
  writer.varint(numberBytes(sequence) + numberBytes(consumed) + numberBytes(window));
  writer.number(0x08, sequence);
  writer.number(0x10, consumed);
  writer.number(0x18, window);
}

function readStream(reader: FieldReader): Stream {
  const stream = { sequence: 0, consumed: 0, window: 0 };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) stream.sequence = reader.varint();
    else if (tag === 0x10) stream.consumed = reader.varint();
    else if (tag === 0x18) stream.window = reader.varint() >>> 0;
    else reader.skip(tag);
  }
  return stream;
}

/** What a number takes with its tag; nothing if it is 0. */
function numberBytes(value: number): number {
  let bytes = value === 0 ? 0 : 2;
  for (let rest = value; rest >= 0x80; rest /= 0x80) bytes += 1;
  return bytes;
}

function fieldBytes(length: number): number {
  return 1 + length + (length < 0x80 ? 1 : length < 0x4000 ? 2 : 3);
}

/** An upper bound: text takes at most three bytes a character. */
function mostBytes(envelope: Envelope): number {
  const characters =
    envelope.id.length +
    envelope.topic.length +
    envelope.source.length +
    envelope.correlationId.length +
    envelope.causationId.length +
    envelope.replyTo.length +
    envelope.contentType.length +
    envelope.schemaVersion.length +
    envelope.key.length +
    envelope.idempotencyKey.length +
    envelope.group.length +
    envelope.replay.length;
  let headers = 0;
  for (const name in envelope.headers) headers += 16 + 3 * (name.length + (envelope.headers[name]?.length ?? 0));
  const blobs = envelope.data.length + envelope.callId.length + envelope.fingerprint.length;
  return FIXED_BYTES + 3 * characters + headers + blobs;
}

/** Puts an error on the wire. Details that cannot be encoded are left out. */
export function errorToWire(error: TielineError): WireError {
  return {
    code: ERRORS[error.code].number,
    message: error.message,
    details: detailsToWire(error.details),
    outcome: OUTCOMES.indexOf(error.outcome) + 1,
    type: String(error.type),
    retryAfterMs: error.retryAfter === undefined ? 0 : Math.max(1, Math.floor(error.retryAfter)),
  };
}

/** Reads an error that the other side reported. Never throws: what cannot be read is said in the details. */
export function errorFromWire(wire: WireError, cause?: unknown): TielineError {
  const code = CODES.get(wire.code);
  const details = detailsFromWire(wire.details);
  if (code === undefined) details.number = wire.code;
  const options: ErrorOptions = {
    details,
    outcome: OUTCOMES[wire.outcome - 1] ?? "MAY_HAVE_RUN",
    type: wire.type,
    retryAfter: wire.retryAfterMs || undefined,
    fromWire: true,
    cause,
  };
  return new (code === undefined ? InternalError : ERROR_CLASSES[code])(wire.message, options);
}

function detailsToWire(details: Record<string, unknown>): Buffer {
  if (Object.keys(details).length === 0) return NO_BYTES;
  try {
    return encode(details);
  } catch {
    return encode({ omitted: "the details could not be encoded" });
  }
}

function detailsFromWire(data: Uint8Array): Record<string, unknown> {
  if (data.length === 0) return {};
  try {
    const details = decode(data);
    const isMap =
      typeof details === "object" && details !== null && Object.getPrototypeOf(details) === Object.prototype;
    return isMap && !Array.isArray(details) ? (details as Record<string, unknown>) : { value: details };
  } catch {
    return { unreadable: new Uint8Array(data) };
  }
}
