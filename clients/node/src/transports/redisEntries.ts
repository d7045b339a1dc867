import { encode } from "../codec.js";
import type { Entry, Member } from "../durable/mail.js";
import { EVENT, newEnvelope, serialize } from "../envelope.js";
import { PayloadTooLargeError } from "../errors.js";
import { listOf } from "./redisMailDesk.js";
import type { Reply } from "./resp.js";

/** No MessagePack begins so. */
const UNREADABLE = Buffer.from([0xc1]);
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What was claimed of a member, as the script tells it. */
export function memberOf(topic: string, [name, failures, entries]: readonly Reply[]): Member {
  const bytes = name as Buffer;
  const key = bytes[0] === 0 ? "" : bytes.toString();
  const read = listOf(entries).map((entry) => entryOf(topic, key, listOf(entry)));
  return { name: bytes, key, failures: Number(String(failures)), entries: read };
}

/** An entry has the envelope in its field `tl`, and perhaps a group; any other one is a plain producer's. */
function entryOf(topic: string, key: string, [id, told]: readonly Reply[]): Entry {
  const fields = listOf(told);
  const group = fields[3] === undefined ? "" : String(fields[3]);
  if (String(fields[0]) === "tl") return { id: id as Buffer, envelope: fields[1] as Buffer, group };
  const entry = String(id);
  const data = encoded(mapOf(fields));
  const about = { id: `${topic}:${key}:${entry}`, topic, key, time: Number(entry.split("-")[0]), data };
  return { id: id as Buffer, envelope: serialize({ ...newEnvelope(EVENT), ...about }), group: "" };
}

/** As a handler gets it; what is too large fails there, and not in the claim of everything else. */
function encoded(data: Record<string, unknown>): Buffer {
  try {
    return encode(data);
  } catch (error) {
    if (!(error instanceof PayloadTooLargeError)) throw error;
    return UNREADABLE;
  }
}

function mapOf(fields: readonly Reply[]): Record<string, unknown> {
  const pairs: [string, unknown][] = [];
  for (let at = 0; at < fields.length; at += 2) pairs.push([String(fields[at]), textOrBytes(fields[at + 1] as Buffer)]);
  return Object.fromEntries(pairs);
}

function textOrBytes(data: Buffer): string | Uint8Array {
  try {
    return UTF8.decode(data);
  } catch {
    return new Uint8Array(data);
  }
}
