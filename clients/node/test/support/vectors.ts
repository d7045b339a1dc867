import { readFileSync } from "node:fs";
import { Timestamp } from "../../src/timestamp.js";

/** A value as the vector files write it. */
export interface Tagged {
  nil?: true;
  bool?: boolean;
  int?: string;
  float?: string;
  text?: string;
  bytes?: string;
  list?: Tagged[];
  map?: [string, Tagged][];
  time?: { seconds: string; nanoseconds: number };
  times?: number;
}

export type Hex = string | (string | [string, number])[];

/** One of the files that every implementation is tested with. */
export function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../../proto/vectors/${name}.json`, import.meta.url), "utf8")) as T;
}

export function bytesOf(hex: Hex): Buffer {
  if (typeof hex === "string") return Buffer.from(hex, "hex");
  return Buffer.concat(
    hex.map((piece) => {
      if (typeof piece === "string") return Buffer.from(piece, "hex");
      return Buffer.alloc(Buffer.from(piece[0], "hex").length * piece[1], Buffer.from(piece[0], "hex"));
    }),
  );
}

export function untagged(tagged: Tagged): unknown {
  const times = tagged.times ?? 1;
  if (tagged.bool !== undefined) return tagged.bool;
  if (tagged.int !== undefined) return integer(BigInt(tagged.int));
  if (tagged.float !== undefined) return float(tagged.float);
  if (tagged.text !== undefined) return tagged.text.repeat(times);
  if (tagged.bytes !== undefined) return new Uint8Array(bytesOf([[tagged.bytes, times]]));
  if (tagged.list !== undefined) return list(tagged.list, times);
  if (tagged.map !== undefined) return map(tagged.map);
  if (tagged.time !== undefined) return time(tagged.time.seconds, tagged.time.nanoseconds);
  return null;
}

function integer(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function float(text: string): number {
  return text === "inf" ? Infinity : text === "-inf" ? -Infinity : text === "nan" ? NaN : Number(text);
}

function list(items: Tagged[], times: number): unknown[] {
  const values = items.map(untagged);
  return times === 1 ? values : new Array(times).fill(values[0]);
}

function map(entries: [string, Tagged][]): Record<string, unknown> {
  return Object.fromEntries(entries.map(([key, value]) => [key, untagged(value)]));
}

function time(seconds: string, nanoseconds: number): Date | Timestamp {
  const ms = Number(seconds) * 1000 + nanoseconds / 1_000_000;
  const exact = nanoseconds % 1_000_000 === 0 && Math.abs(ms) <= 8.64e15;
  return exact ? new Date(ms) : new Timestamp(BigInt(seconds), nanoseconds);
}
