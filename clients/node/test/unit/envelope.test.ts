import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Envelope as Generated, Frame as GeneratedFrame } from "../../src/contract/envelope.js";
import { type Envelope, newEnvelope, parse, parseFrame, serialize, serializeFrame } from "../../src/envelope.js";
import { newCallId, newId, newInstance } from "../../src/identity.js";

const PLAIN = { noNullPrototype: true };
const text = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "binary-ascii", maxLength: 300 }));
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const big = fc.oneof(fc.nat(), fc.maxSafeInteger());
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const envelopes: fc.Arbitrary<Envelope> = fc.record(
  {
    id: text,
    kind: fc.integer({ min: 1, max: 8 }),
    topic: text,
    source: text,
    correlationId: text,
    causationId: text,
    callId: bytes,
    replyTo: text,
    time: big,
    ttlMs: big,
    expiresAt: big,
    headers: fc.dictionary(text, text, { maxKeys: 5, noNullPrototype: true }),
    contentType: text,
    data: bytes,
    schemaVersion: text,
    key: text,
    priority: uint32,
    hops: uint32,
    idempotencyKey: text,
    fingerprint: bytes,
    redriven: uint32,
    scheduled: big,
    replay: text,
    error: fc.option(
      fc.record(
        {
          code: fc.integer({ min: 0, max: 30 }),
          message: text,
          details: bytes,
          outcome: fc.integer({ min: 0, max: 5 }),
          type: text,
          retryAfterMs: uint32,
        },
        PLAIN,
      ),
      { nil: undefined },
    ),
    stream: fc.option(fc.record({ sequence: fc.maxSafeNat(), consumed: fc.maxSafeNat(), window: uint32 }, PLAIN), {
      nil: undefined,
    }),
    idempotent: fc.boolean(),
    group: text,
  },
  PLAIN,
);

test("what we write, the generated code reads; what it writes, we read", () => {
  fc.assert(
    fc.property(envelopes, (envelope) => {
      // The generated code writes "__proto__" headers and empty ones its own way.
      fc.pre(!Object.hasOwn(envelope.headers, "__proto__"));
      assert.deepStrictEqual(Generated.decode(serialize(envelope)), envelope);
      assert.deepStrictEqual(parse(Buffer.from(Generated.encode(envelope).finish())), envelope);
      assert.deepStrictEqual(parse(serialize(envelope)), envelope);
    }),
    { numRuns: 1500 },
  );
});

test("bytes that are no envelope are dropped, whatever they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (garbage) => {
      const envelope = parse(Buffer.from(garbage));
      if (envelope !== undefined) assert.ok(envelope.kind >= 1 && envelope.kind <= 8);
    }),
    { numRuns: 5000 },
  );
});

test("cut envelopes disturb nobody", () => {
  const envelope = { ...newEnvelope(2), id: newId(), topic: "a.b", headers: { a: "b" }, data: Buffer.alloc(50) };
  const whole = serialize(envelope);
  for (let at = 0; at < whole.length; at++) parse(whole.subarray(0, at));
});

test("an unknown kind is no envelope; unknown fields are ignored", () => {
  assert.equal(parse(serialize(newEnvelope(9))), undefined);
  assert.equal(parse(serialize(newEnvelope(0))), undefined);
  assert.equal(parse(Buffer.alloc(0)), undefined);
  const later = Buffer.from([0xc2, 0x3e, 3, 1, 2, 3, 0xc8, 0x3e, 5, 0xd3, 0x3e, 0x08, 1, 0xd4, 0x3e]);
  assert.deepStrictEqual(parse(Buffer.concat([later, serialize(newEnvelope(1)), later])), newEnvelope(1));
});

test("a negative or huge time of a stranger is read as it is, or not at all", () => {
  const envelope = { ...newEnvelope(1), time: -1, expiresAt: -5000 };
  assert.deepStrictEqual(parse(serialize(envelope)), envelope);
  assert.deepStrictEqual(Generated.decode(serialize(envelope)), envelope);
});

test("a header named __proto__ is just a header", () => {
  const headers = Object.defineProperty({}, "__proto__", { value: "x", enumerable: true }) as Record<string, string>;
  const read = parse(serialize({ ...newEnvelope(1), headers }));
  assert.deepStrictEqual(Object.entries(read?.headers ?? {}), [["__proto__", "x"]]);
});

test("text that is not UTF-8 makes no envelope", () => {
  assert.equal(parse(Buffer.from([0x10, 1, 0x1a, 1, 0xff])), undefined);
  assert.notEqual(parse(Buffer.from([0x10, 1, 0x1a, 3, 0xef, 0xbf, 0xbd])), undefined);
});

test("identities are well formed, ordered by time, and never the same", () => {
  const ids = Array.from({ length: 20_000 }, newId);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(Math.abs(Number.parseInt((ids[0] ?? "").replace("-", "").slice(0, 12), 16) - Date.now()) < 5000);
  const calls = Array.from({ length: 20_000 }, () => newCallId().toString("hex"));
  assert.equal(new Set(calls).size, calls.length);
  assert.match(calls[0] ?? "", /^[0-9a-f]{32}$/);
  assert.match(newInstance(), /^[0-9a-f]{16}$/);
});

test("frames can be joined, and what cannot be read in one is passed over", () => {
  fc.assert(
    fc.property(fc.array(envelopes, { maxLength: 5 }), (list) => {
      const frame = Buffer.concat(list.map(serializeFrame));
      const read: Envelope[] = [];
      parseFrame(frame, (envelope) => read.push(envelope));
      assert.deepStrictEqual(read, list);
      fc.pre(!list.some((envelope) => Object.hasOwn(envelope.headers, "__proto__")));
      assert.deepStrictEqual(GeneratedFrame.decode(frame).envelopes, list);
    }),
    { numRuns: 500 },
  );
  const topics: string[] = [];
  const good = (topic: string) => serializeFrame({ ...newEnvelope(1), topic });
  const mixed = [
    good("a"),
    Buffer.from([0x0a, 2, 0xff, 0xff]),
    serializeFrame(newEnvelope(99)),
    good("b"),
    Buffer.from([0xff]),
  ];
  parseFrame(Buffer.concat(mixed), (envelope) => topics.push(envelope.topic));
  assert.deepStrictEqual(topics, ["a", "b"]);
});
