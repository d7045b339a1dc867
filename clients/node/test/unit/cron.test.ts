import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCron } from "../../src/cron/cron.js";
import { InvalidArgumentError } from "../../src/errors.js";
import { vectors } from "../support/vectors.js";

interface Vectors {
  next: { why: string; expression: string; zone: string; after: string; count: number; times: string[] }[];
  started: { why: string; expression: string; start: string; after: string; times: string[] }[];
  refused: { expression: string; zone: string; field: string; message: string }[];
}

const all = vectors<Vectors>("cron");

function iso(moment: number): string {
  return new Date(moment).toISOString().replace(".000Z", "Z");
}

for (const { why, expression, zone, after, count, times } of all.next) {
  test(`what comes next: ${why}`, () => {
    assert.deepEqual(parseCron(expression, zone).upcoming(Date.parse(after), count).map(iso), times);
  });
}

for (const { why, expression, start, after, times } of all.started) {
  test(`what comes next from a start on: ${why}`, () => {
    const found = parseCron(expression).upcoming(Date.parse(after), times.length, Date.parse(start));
    assert.deepEqual(found.map(iso), times);
  });
}

for (const { expression, zone, field, message } of all.refused) {
  test(`nonsense is refused by the name of the field: ${JSON.stringify(expression).slice(0, 40)} ${zone}`, () => {
    assert.throws(
      () => parseCron(expression, zone),
      (error) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.equal(error.message, message);
        assert.deepEqual(error.details, { field });
        return true;
      },
    );
  });
}

test("what is no text is refused by its type", () => {
  for (const value of [null, 5, {}, undefined] as never[]) {
    assert.throws(() => parseCron(value), /expression must be text, not/);
    if (value !== undefined) assert.throws(() => parseCron("* * * * *", value), /zone must be text, not/);
  }
});

test("the last before a moment", () => {
  const cron = parseCron("0 9 * * MON", "Europe/Berlin");
  const first = Date.parse("2026-01-05T08:00:00Z");
  for (const before of ["2026-01-05T08:00:00.001Z", "2026-01-12T08:00:00Z"]) {
    assert.equal(iso(cron.last(first, Date.parse(before))), "2026-01-05T08:00:00Z");
  }
  assert.equal(iso(cron.last(first, Date.parse("2026-04-01T00:00:00Z"))), "2026-03-30T07:00:00Z");
});
