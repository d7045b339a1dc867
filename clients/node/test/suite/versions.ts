import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import type { EventSystem, StandardSchema, Upcaster } from "../../src/index.js";
import { fails, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

interface Named {
  name: string;
}
interface User {
  first: string;
  last: string;
  active: boolean;
}

const split = ({ name }: Named) => {
  const [first, last] = name.split(" ");
  return { first, last };
};
const UPCASTERS: readonly Upcaster[] = [
  ["1", "2", split],
  ["2", "3", (data: object) => ({ ...data, active: true })],
];
const ADA = { first: "Ada", last: "Lovelace", active: true };
const inputs: Record<string, StandardSchema<unknown, User>> = {
  zod: z.object({ first: z.string(), last: z.string(), active: z.boolean() }),
  valibot: v.object({ first: v.string(), last: v.string(), active: v.boolean() }),
};

/** Payloads of older versions, lifted to the handler's. */
export function versionTests(world: World): void {
  /** Who calls from here and from elsewhere. */
  async function lifting(topic: string, input?: StandardSchema<unknown, User>): Promise<EventSystem[]> {
    const [a, b] = [world.system(), world.system()];
    await b
      .subscribe(topic, (user) => user, { ...(input && { input }), schemaVersion: "3", upcasters: UPCASTERS })
      .ready();
    return [a, b];
  }

  for (const [library, input] of Object.entries(inputs)) {
    test(`older versions are lifted before they are validated (${library})`, async () => {
      const older: [string, unknown][] = [
        ["1", { name: "Ada Lovelace" }],
        ["2", { first: "Ada", last: "Lovelace" }],
        ["3", ADA],
        ["", ADA],
      ];
      for (const system of await lifting("lift.valid", input)) {
        for (const [schemaVersion, data] of older) {
          assert.deepStrictEqual(await system.publishAndWait("lift.valid", data, { schemaVersion }), ADA);
        }
      }
    });

    test(`what does not fit when it is lifted is refused (${library})`, async () => {
      for (const system of await lifting("lift.misfit", input)) {
        const call = system.publishAndWait("lift.misfit", { first: "Ada" }, { schemaVersion: "2" });
        const error = await fails(call, "INVALID_PAYLOAD");
        assert.match(error.message, /does not fit the handler: \$\.last/);
        assert.equal(error.outcome, "NOT_DELIVERED");
      }
    });
  }

  test("what cannot be lifted is refused, and nobody else is affected", async () => {
    const wrong: [string, unknown, RegExp][] = [
      ["4", ADA, /understands schema version "3" and lifts "1", "2", not "4"/],
      ["1", { nom: "Ada" }, /the upcaster from schema version "1" to "2" threw TypeError: ./],
    ];
    for (const system of await lifting("lift.not")) {
      for (const [schemaVersion, data, why] of wrong) {
        const error = await fails(system.publishAndWait("lift.not", data, { schemaVersion }), "INVALID_PAYLOAD");
        assert.match(error.message, why);
        assert.deepStrictEqual([error.outcome, error.retryable], ["NOT_DELIVERED", false]);
      }
      assert.deepStrictEqual(await system.publishAndWait("lift.not", ADA), ADA);
    }
  });

  test("an upcaster that makes a promise is refused, whatever becomes of the promise", async () => {
    const [a, b] = [world.system(), world.system()];
    let handled = 0;
    const later = async (kept: boolean) => {
      if (!kept) throw new RangeError("later");
    };
    await b.subscribe("lift.later", () => ++handled, { schemaVersion: "2", upcasters: [["1", "2", later]] }).ready();
    for (const system of [a, b]) {
      for (const kept of [true, false]) {
        const call = system.publishAndWait("lift.later", kept, { schemaVersion: "1" });
        assert.match((await fails(call, "INVALID_PAYLOAD")).message, /returned a promise/);
      }
    }
    assert.equal(handled, 0);
  });

  test("events, batches, filters and streams get the lifted payload", async () => {
    const [a, b] = [world.system(), world.system()];
    const options = { schemaVersion: "2", upcasters: [["1", "2", split]] as Upcaster[] };
    const seen: unknown[] = [];
    const batches: unknown[][] = [];
    const filter = (data: User) => data.first === "Ada";
    const input = z.object({ first: z.string(), last: z.string() });
    await b.subscribe("lift.each", (data: User) => void seen.push(data), { ...options, filter }).ready();
    await b
      .subscribe("lift.each", (list) => void batches.push(list), { ...options, batch: { size: 2, ms: 60_000 } })
      .ready();
    await b
      .subscribe("lift.each", (list) => void batches.push(list), { ...options, input, batch: { size: 2, ms: 60_000 } })
      .ready();
    for (const name of ["Ada Lovelace", "Alan Turing"]) await a.publish("lift.each", { name }, { schemaVersion: "1" });
    const [ada, alan] = [
      { first: "Ada", last: "Lovelace" },
      { first: "Alan", last: "Turing" },
    ];
    await until(() => seen.length > 0 && batches.length === 2, "all have got theirs");
    assert.deepStrictEqual(
      [seen, batches],
      [
        [ada],
        [
          [ada, alan],
          [ada, alan],
        ],
      ],
    );
    await b
      .subscribe(
        "lift.stream",
        async function* (user) {
          yield user;
        },
        options,
      )
      .ready();
    for (const system of [a, b]) {
      const stream = system.publishAndStream("lift.stream", { name: "Ada Lovelace" }, { schemaVersion: "1" });
      assert.deepStrictEqual((await stream.next()).value, ada);
    }
  });

  test("what cannot be lifted is left out of a batch", async () => {
    const [a, b] = [world.system(), world.system()];
    const batches: unknown[][] = [];
    const options = {
      schemaVersion: "2",
      upcasters: [["1", "2", split]] as Upcaster[],
      batch: { size: 3, ms: 60_000 },
    };
    await b.subscribe("lift.some", (list) => void batches.push(list), options).ready();
    await a.publish("lift.some", { name: "Ada Lovelace" }, { schemaVersion: "1" });
    await a.publish("lift.some", { nom: "Ada Lovelace" }, { schemaVersion: "1" });
    await a.publish("lift.some", "as it is");
    await until(() => batches.length === 1, "the batch");
    assert.deepStrictEqual(batches, [[{ first: "Ada", last: "Lovelace" }, "as it is"]]);
  });
}
