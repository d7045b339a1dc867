import assert from "node:assert/strict";
import { test } from "node:test";
import { type Code, ERRORS, type Outcome } from "../../src/contract/contract.js";
import { errorFromWire, errorToWire } from "../../src/envelope.js";
import * as errors from "../../src/errors.js";
import { vectors } from "../support/vectors.js";

interface Row {
  code: Code;
  number: number;
  grpc: string;
  http: number;
  transient: boolean;
  outcome: Outcome;
  retryable: Record<Outcome, { once: boolean; idempotent: boolean }>;
}

const rows = vectors<{ errors: Row[] }>("errors").errors;

test("the list is closed and the same everywhere", () => {
  assert.deepStrictEqual(
    Object.keys(ERRORS),
    rows.map((row) => row.code),
  );
  for (const { code, number, grpc, http, transient, outcome } of rows) {
    assert.deepStrictEqual(ERRORS[code], { number, grpc, http, transient, outcome });
  }
});

test("what is retryable follows from code, outcome and idempotence", () => {
  for (const { code, retryable } of rows) {
    for (const outcome of Object.keys(retryable) as Outcome[]) {
      const error = new errors.ERROR_CLASSES[code]("x", { outcome });
      assert.equal(error.retryable, retryable[outcome].once, `${code} ${outcome}`);
      error.idempotent = true;
      assert.equal(error.retryable, retryable[outcome].idempotent, `${code} ${outcome} idempotent`);
    }
  }
});

test("each code has a class of its own name, and its outcome", () => {
  const names = new Set<string>();
  for (const { code, outcome } of rows) {
    const error = new errors.ERROR_CLASSES[code]("message");
    assert.ok(error instanceof errors.TielineError && error instanceof Error);
    assert.equal(error.code, code);
    assert.equal(error.outcome, outcome);
    assert.equal(error.fromWire, false);
    names.add(error.name);
  }
  assert.equal(names.size, rows.length);
  assert.equal(new errors.CallTimeoutError("x").code, "TIMEOUT");
  assert.equal(new errors.CallCancelledError("x").code, "CANCELLED");
});

test("an error survives the wire", () => {
  for (const { code } of rows) {
    const details = { a: [1, "x"], b: { c: null } };
    const sent = new errors.ERROR_CLASSES[code]("why", { details, outcome: "RAN", type: "KeyError", retryAfter: 200 });
    const { name, message, outcome, type, retryAfter, fromWire, details: arrived } = errorFromWire(errorToWire(sent));
    assert.deepStrictEqual(
      { name, message, outcome, type, retryAfter, fromWire, arrived },
      {
        name: sent.name,
        message: "why",
        outcome: "RAN",
        type: "KeyError",
        retryAfter: 200,
        fromWire: true,
        arrived: details,
      },
    );
  }
});

test("an unknown code is INTERNAL with its number, an unknown outcome MAY_HAVE_RUN", () => {
  const wire = { code: 99, message: "new", details: Buffer.alloc(0), outcome: 9, type: "", retryAfterMs: 0 };
  const error = errorFromWire(wire);
  assert.equal(error.code, "INTERNAL");
  assert.deepStrictEqual(error.details, { number: 99 });
  assert.equal(error.outcome, "MAY_HAVE_RUN");
});

test("details that cannot travel do not hide the error", () => {
  const wire = errorToWire(new errors.HandlerError("x", { details: { f: () => 1 } }));
  assert.deepStrictEqual(errorFromWire(wire).details, { omitted: "the details could not be encoded" });
  assert.deepStrictEqual(errorFromWire({ ...wire, details: Buffer.from([0xc1]) }).details, {
    unreadable: new Uint8Array([0xc1]),
  });
  assert.deepStrictEqual(errorFromWire({ ...wire, details: Buffer.from([0x07]) }).details, { value: 7 });
});
