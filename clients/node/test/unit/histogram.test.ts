import assert from "node:assert/strict";
import { test } from "node:test";
import { DURATION_BOUNDS_NS, DURATION_SHOWN_NS } from "../../src/contract/contract.js";
import { BOUNDS, type Distribution, Histogram, joined, NOTHING } from "../../src/figures/histogram.js";

function of(...durations: number[]): Distribution {
  const histogram = new Histogram();
  for (const ms of durations) histogram.record(ms);
  return histogram.read();
}

function close(seen: number, wanted: number, share: number): void {
  assert.ok(Math.abs(seen - wanted) <= wanted * share, `${seen} is not about ${wanted}`);
}

test("bounds grow by a quarter at most, from a microsecond to 100 seconds", () => {
  assert.deepEqual([BOUNDS[0], BOUNDS.at(-1), BOUNDS.length], [0.001, 100_000, 81]);
  const growth = BOUNDS.slice(1).map((bound, at) => bound / (BOUNDS[at] as number));
  assert.ok(growth.every((factor) => factor > 1.2 && factor <= 1.29));
  assert.ok(DURATION_SHOWN_NS.every((bound) => DURATION_BOUNDS_NS.includes(bound)));
});

test("nothing has no durations", () => {
  assert.deepEqual(of(), NOTHING);
  const { count, sum, average, p50, p99, max } = NOTHING;
  assert.deepEqual([count, sum, average, p50, p99, max], [0, 0, 0, 0, 0, 0]);
});

test("what is as long as a bound is counted below it", () => {
  assert.equal(of(1).buckets[BOUNDS.indexOf(1)], 1);
  assert.equal(of(1.0001).buckets[BOUNDS.indexOf(1) + 1], 1);
  assert.equal(of(0).buckets[0], 1);
  assert.equal(of(1_000_000).buckets.at(-1), 1);
});

test("count, sum, average and the longest are exact", () => {
  const { count, sum, average, max, ...told } = of(500, 250, 2000, 250);
  assert.deepEqual([count, sum, average, max, told.buckets.length], [4, 3000, 750, 2000, 82]);
  assert.equal(of(500, 250, 2000, 250).cumulative()[BOUNDS.indexOf(250)], 2);
  assert.equal(of(500, 250, 2000, 250).cumulative().at(-1), 4);
});

test("percentiles are right to about a tenth, and never longer than the longest", () => {
  const durations = Array.from({ length: 5000 }, (_, at) => 1.5 ** ((at % 100) / 4));
  const told = of(...durations);
  const ordered = durations.toSorted((one, other) => one - other);
  close(told.p50, ordered[2500] as number, 0.13);
  close(told.p95, ordered[4750] as number, 0.13);
  close(told.p99, ordered[4950] as number, 0.13);
  assert.ok(told.quantile(1) <= told.max);
  close(of(300).p50, 300, 0.15);
  close(of(200_000, 300_000).p99, 300_000, 0.05);
});

test("several are joined as if they were one, and what was read does not change", () => {
  assert.deepEqual(joined([of(100, 200), of(), of(400)]), of(100, 200, 400));
  assert.equal(joined([]), NOTHING);
  const told = of(1);
  assert.throws(() => Object.assign(told, { sum: 2 }), TypeError);
  assert.throws(() => (told.buckets as number[]).push(1), TypeError);
});
