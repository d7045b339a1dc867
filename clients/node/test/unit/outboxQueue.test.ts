import assert from "node:assert/strict";
import { test } from "node:test";
import { type Kept, OutboxQueue } from "../../src/outbox/queue.js";

const MIB = 1_048_576;

function kept(number: number, size: number, together = 0): Kept {
  const what = { topic: "t", most: 0, key: "k", priority: 5, knownAs: "" };
  return { number, together, at: 0, size, envelope: Buffer.alloc(size), ...what };
}

test("few envelopes are kept in memory, and more when those are gone", () => {
  const queue = new OutboxQueue();
  for (let number = 1; number <= 20; number++) queue.add(kept(number, MIB));
  const inMemory = () => queue.all().flatMap(({ number, envelope }) => (envelope === undefined ? [] : [number]));
  assert.deepEqual(inMemory(), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(queue.figures, { events: 20, bytes: 20 * MIB });
  queue.remove([2, 3, 19]);
  for (const number of [21, 22, 23]) queue.add(kept(number, MIB));
  assert.deepEqual(inMemory(), [1, 4, 5, 6, 7, 8, 21, 22]);
});

test("what is gone leaves no room behind, and is not found again", () => {
  const queue = new OutboxQueue();
  for (let number = 1; number <= 1000; number++) queue.add(kept(number, 1));
  const odd = queue.all().filter(({ number }) => number % 2 === 1);
  queue.remove(odd.map(({ number }) => number));
  queue.remove([1, 3, 5000]);
  queue.remove(Array.from({ length: 400 }, (_, index) => 2 * index + 2));
  assert.deepEqual(queue.figures, { events: 100, bytes: 100 });
  assert.deepEqual(
    queue.page(900).map(({ number }) => number),
    Array.from({ length: 50 }, (_, index) => 902 + 2 * index),
  );
  assert.equal(queue.last, 1000);
});
