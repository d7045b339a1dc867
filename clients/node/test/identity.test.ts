import assert from "node:assert/strict";
import { test } from "node:test";
import { newId } from "../src/identity.js";

test("ids are UUIDs of version 7 that grow, also within one millisecond", () => {
  const made: string[] = [];
  let within = 0; // how many have the millisecond of the one before
  for (let at = 0; at < 20_000; at++) {
    const id = newId();
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    if (id.slice(0, 13) === made.at(-1)?.slice(0, 13)) within++;
    made.push(id);
  }
  assert.ok(within > 0);
  assert.deepStrictEqual([...made].sort(), made);
  assert.equal(new Set(made).size, made.length);
});
