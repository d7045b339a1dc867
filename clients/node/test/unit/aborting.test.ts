import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSystem, MemoryTransport } from "../../src/index.js";
import { fails } from "../support/waiting.js";
import { silent } from "../support/world.js";

test("many calls can share one signal", async () => {
  const warnings: string[] = [];
  const warn = (warning: Error) => warnings.push(warning.name);
  process.on("warning", warn);
  const events = new EventSystem({ transport: new MemoryTransport(), logger: silent });
  await events.subscribe("slow", () => new Promise(() => undefined)).ready();
  await events.subscribe("fast", () => 1).ready();
  const controller = new AbortController();
  const { signal } = controller;
  const slow = Array.from({ length: 30 }, () => fails(events.publishAndWait("slow", 1, { signal }), "CANCELLED"));
  const streams = Array.from({ length: 30 }, () =>
    fails(events.publishAndStream("slow", 1, { signal }).next(), "CANCELLED"),
  );
  const fast = Array.from({ length: 30 }, () => events.publishAndWait("fast", 1, { signal }));
  assert.equal((await Promise.all(fast)).length, 30);
  controller.abort();
  await Promise.all([...slow, ...streams]);
  await fails(events.publishAndWait("fast", 1, { signal }), "CANCELLED");
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", warn);
  assert.deepStrictEqual(warnings, []);
  await events.close(0);
});
