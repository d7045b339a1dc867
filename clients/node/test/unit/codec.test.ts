import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decode, encode, encodeReply } from "../../src/codec.js";
import { InvalidPayloadError, PayloadTooLargeError, TielineError } from "../../src/errors.js";
import { Timestamp } from "../../src/timestamp.js";
import { bytesOf, type Hex, type Tagged, untagged, vectors } from "../support/vectors.js";

interface Vectors {
  cases: { name: string; hex: Hex; value: Tagged; canonical?: boolean; decode_only?: boolean }[];
  bad: { name: string; hex: Hex; code: string }[];
  refused: { name: string; value: Tagged; path: string | null; code: string }[];
  json: { name: string; text: string; value: Tagged; canonical?: boolean }[];
  json_bad: { name: string; text?: string; hex?: string }[];
  json_refused: { name: string; value: Tagged; path: string }[];
  replies: { name: string; request: string; value: Tagged; reply: string }[];
}

const all = vectors<Vectors>("payloads");
const JSON_TYPE = "application/json";

for (const { name, hex, value, canonical } of all.cases) {
  test(`payload: ${name}`, () => {
    const bytes = bytesOf(hex);
    const wanted = untagged(value);
    assert.deepStrictEqual(decode(bytes), wanted);
    assert.deepStrictEqual(decode(encode(wanted)), wanted);
    if (canonical) assert.equal(encode(wanted).toString("hex"), bytes.toString("hex"));
  });
}

for (const { name, hex, code } of all.bad) {
  test(`bad payload: ${name}`, () => {
    const before = process.memoryUsage().rss;
    assert.throws(() => decode(bytesOf(hex)), codeIs(code));
    assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024, "it allocates what is only declared");
  });
}

for (const { name, value, path, code } of all.refused) {
  test(`refused payload: ${name}`, () => {
    assert.throws(() => encode(untagged(value)), refusal(code, path));
  });
}

for (const { name, text, value, canonical } of all.json) {
  test(`JSON: ${name}`, () => {
    const wanted = untagged(value);
    assert.deepStrictEqual(decode(Buffer.from(text), JSON_TYPE), wanted);
    assert.deepStrictEqual(decode(encode(wanted, JSON_TYPE), JSON_TYPE), wanted);
    if (canonical) assert.equal(encode(wanted, JSON_TYPE).toString(), text);
  });
}

for (const { name, text, hex } of all.json_bad) {
  test(`bad JSON: ${name}`, () => {
    const data = hex === undefined ? Buffer.from(text ?? "") : bytesOf(hex);
    assert.throws(() => decode(data, JSON_TYPE), codeIs("INVALID_PAYLOAD"));
  });
}

for (const { name, value, path } of all.json_refused) {
  test(`refused JSON: ${name}`, () => {
    assert.throws(() => encode(untagged(value), JSON_TYPE), refusal("INVALID_PAYLOAD", path));
  });
}

for (const { name, request, value, reply } of all.replies) {
  test(`reply: ${name}`, () => {
    const wanted = untagged(value);
    const [data, contentType] = encodeReply(wanted, request);
    assert.equal(contentType, reply);
    assert.deepStrictEqual(decode(data, contentType), wanted);
  });
}

const integers = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
);
const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false, -0, NaN, Infinity, -Infinity),
    integers,
    fc.double(),
    fc.string({ unit: "binary" }),
    fc.string({ unit: "binary-ascii", maxLength: 80 }),
    fc.uint8Array(),
    fc.date({ noInvalidDate: true }),
    fc.tuple(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.integer({ min: 1, max: 999_999_999 })).map(odd),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(fc.string({ unit: "binary" }), tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
}));

function odd([seconds, nanoseconds]: [bigint, number]): Timestamp {
  return new Timestamp(seconds, nanoseconds % 1_000_000 === 0 ? nanoseconds + 1 : nanoseconds);
}

test("any value survives encoding and decoding", () => {
  fc.assert(
    fc.property(anything, (value) => {
      assert.deepStrictEqual(decode(encode(value)), value);
    }),
    { numRuns: 2000 },
  );
});

test("no bytes can do worse than be refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        assert.ok(error instanceof InvalidPayloadError);
      }
    }),
    { numRuns: 5000 },
  );
});

test("cutting a payload anywhere is refused", () => {
  fc.assert(
    fc.property(anything, fc.nat(), (value, at) => {
      const bytes = encode(value);
      const cut = bytes.subarray(0, at % bytes.length);
      if (cut.length > 0) assert.throws(() => decode(cut), codeIs("INVALID_PAYLOAD"));
    }),
  );
});

test("what JavaScript adds: undefined, Map, toJSON, ArrayBuffer, Buffer, null prototypes", () => {
  const bare = Object.assign(Object.create(null), { a: 1 });
  assert.deepStrictEqual(decode(encode({ a: undefined, b: 1 })), { b: 1 });
  assert.deepStrictEqual(decode(encode([undefined])), [null]);
  assert.equal(decode(encode(undefined)), null);
  assert.deepStrictEqual(decode(encode(new Map([["a", new Map()]]))), { a: {} });
  assert.equal(decode(encode(new URL("http://a.b/c"))), "http://a.b/c");
  assert.deepStrictEqual(decode(encode(new Uint8Array([1, 2]).buffer)), new Uint8Array([1, 2]));
  assert.deepStrictEqual(decode(encode(Buffer.from("a"))), new Uint8Array([97]));
  assert.deepStrictEqual(decode(encode(bare)), { a: 1 });
});

test("what has no place in a payload is refused by its path", () => {
  class Odd {}
  const cases: [unknown, string][] = [
    [{ a: [new Odd()] }, "$.a[0]"],
    [{ a: () => 1 }, "$.a"],
    [[Symbol("x")], "$[0]"],
    [new Map([[1, 2]]), "$"],
    [{ when: new Date(NaN) }, "$.when"],
    [[new Set()], "$[0]"],
    [[new Uint16Array(2)], "$[0]"],
  ];
  for (const [value, path] of cases) assert.throws(() => encode(value), refusal("INVALID_PAYLOAD", path));
});

test("a value that holds itself is refused, not followed for ever", () => {
  const loop: unknown[] = [];
  loop.push(loop);
  assert.throws(() => encode(loop), codeIs("INVALID_PAYLOAD"));
  let bush: unknown[] = [];
  for (let depth = 0; depth < 60; depth++) bush = [bush, bush];
  assert.throws(() => encode(bush), PayloadTooLargeError);
});

test("a toJSON that encodes something itself disturbs nothing", () => {
  const outer = { a: 1, b: { toJSON: () => decode(encode(["inner"])) }, c: 3 };
  Object.setPrototypeOf(outer.b, { kind: "custom" });
  assert.deepStrictEqual(decode(encode(outer)), { a: 1, b: ["inner"], c: 3 });
});

test("a decoded key __proto__ is an own property", () => {
  const decoded = decode(bytesOf("81a95f5f70726f746f5f5f81a16101")) as Record<string, unknown>;
  assert.deepStrictEqual(Object.keys(decoded), ["__proto__"]);
  assert.equal(Object.getPrototypeOf(decoded), Object.prototype);
});

test("decoded bytes are a copy", () => {
  const wire = encode(new Uint8Array([1, 2, 3]));
  const copy = decode(wire) as Uint8Array;
  wire.fill(0);
  assert.deepStrictEqual(copy, new Uint8Array([1, 2, 3]));
});

test("text and octets pass through", () => {
  assert.equal(decode(encode("grüße", "text/plain"), "text/plain"), "grüße");
  assert.equal(decode(Buffer.alloc(0), "text/plain"), "");
  assert.deepStrictEqual(decode(encode(new Uint8Array([0, 255]), "image/png"), "image/png"), new Uint8Array([0, 255]));
  assert.throws(() => encode({ a: 1 }, "application/octet-stream"), codeIs("INVALID_PAYLOAD"));
  assert.throws(() => encode("\ud800", "text/plain"), codeIs("INVALID_PAYLOAD"));
  assert.throws(() => decode(Buffer.from([0xff]), "text/plain"), codeIs("INVALID_PAYLOAD"));
  assert.deepStrictEqual(encode(Buffer.from('{"a":1}'), JSON_TYPE), Buffer.from('{"a":1}'));
});

function codeIs(code: string): (error: unknown) => boolean {
  return (error) => error instanceof TielineError && error.code === code;
}

function refusal(code: string, path: string | null): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TielineError);
    assert.equal(error.code, code);
    assert.equal(error.outcome, "NOT_DELIVERED");
    if (path !== null) {
      assert.equal(error.details.path, path);
      assert.ok(error.message.startsWith(path), error.message);
    }
    return true;
  };
}
