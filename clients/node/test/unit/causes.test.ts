import assert from "node:assert/strict";
import { test } from "node:test";
import { Step } from "../../src/contract/envelope.js";
import { inOrder } from "../../src/explain/causes.js";
import { vectors } from "../support/vectors.js";

type Told = [source: string, name: string, topic: string, call: string, time: number, micros: number];

interface Vectors {
  readonly chains: readonly { readonly about: string; readonly steps: readonly Told[] }[];
}

const AT = 1_700_000_000_000;

function step([source, name, topic, call, time, micros]: Told): Step {
  return Step.create({ source, name, topic, callId: Buffer.from(call), time: AT + time, micros });
}

const nameOf = ({ source, name, callId }: Step) => `${source} ${name} ${callId}`;

for (const { about, steps } of vectors<Vectors>("causes").chains) {
  test(`each step is told after what caused it: ${about}`, () => {
    const told = steps.map(step);
    const apart = [...told.filter((_, at) => at % 2 === 1), ...told.filter((_, at) => at % 2 === 0)];
    for (const came of [told, [...told].reverse(), apart]) {
      const ordered = inOrder(came);
      assert.deepStrictEqual(ordered.map(nameOf), told.map(nameOf));
      const times = ordered.map(({ time, micros }) => time * 1000 + micros);
      if (!about.includes("contradicts")) assert.deepStrictEqual(times, [...times].sort());
    }
  });
}
