import assert from "node:assert/strict";
import { test } from "node:test";
import { inheritTrace, isTraceparent } from "../../src/tracing.js";
import { vectors } from "../support/vectors.js";

type Headers = Record<string, string>;
interface Traces {
  traceparents: { why: string; value: string; valid: boolean }[];
  inherited: { why: string; handled: Headers; own: Headers; result: Headers }[];
}

const { traceparents, inherited } = vectors<Traces>("traces");

test("what is a traceparent", () => {
  for (const { why, value, valid } of traceparents) assert.equal(isTraceparent(value), valid, why);
});

test("what is handed on", () => {
  for (const { why, handled, own, result } of inherited) {
    inheritTrace(own, handled);
    assert.deepStrictEqual(own, result, why);
  }
});

test("nothing is handed on where it would not fit", () => {
  const traceparent = traceparents[0]?.value ?? "";
  const many = Object.fromEntries(Array.from({ length: 63 }, (_, n) => [`h${n}`, ""]));
  for (const [own, fits] of [
    [many, true],
    [{ ...many, one: "" }, false],
    [{ big: "x".repeat(8150) }, false],
  ] as const) {
    const headers: Headers = { ...own };
    inheritTrace(headers, { traceparent });
    assert.equal(headers.traceparent !== undefined, fits);
  }
});
