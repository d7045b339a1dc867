import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import type { StandardSchema } from "../../src/index.js";
import { fails, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** The same order, described by two libraries: the price is text on its way and a number for the handler. */
const zodOrder = z.object({
  id: z.number(),
  items: z.array(z.object({ price: z.string().transform(Number).pipe(z.number()) })),
});
const valibotOrder = v.object({
  id: v.number(),
  items: v.array(v.object({ price: v.pipe(v.string(), v.transform(Number), v.number()) })),
});
type Order = z.output<typeof zodOrder>;
const inputs: Record<string, StandardSchema<unknown, Order>> = { zod: zodOrder, valibot: valibotOrder };
const order = { id: 1, items: [{ price: "2" }, { price: "3.5" }] };

const outputs: Record<string, StandardSchema<unknown, unknown>> = {
  zod: z.object({ sum: z.number() }),
  valibot: v.object({ sum: v.number() }),
};

export function schemaTests(world: World): void {
  for (const [library, input] of Object.entries(inputs)) {
    test(`a handler gets what the schema makes of the payload (${library})`, async () => {
      const [a, b] = [world.system(), world.system()];
      const sum = ({ items }: Order) => items.reduce((total, { price }) => total + price, 0);
      await b.subscribe("order.sum", sum, { input }).ready();
      for (const system of [a, b]) assert.equal(await system.publishAndWait("order.sum", order), 5.5);
    });

    test(`a payload that does not fit is refused with its places, and not handled (${library})`, async () => {
      const [a, b] = [world.system(), world.system()];
      let handled = 0;
      await b.subscribe("order.bad", () => handled++, { input }).ready();
      for (const system of [a, b]) {
        const bad = { id: "1", items: [{ price: "2" }, { price: 3 }] };
        const error = await fails(system.publishAndWait("order.bad", bad), "INVALID_PAYLOAD");
        assert.deepStrictEqual([error.outcome, error.fromWire], ["NOT_DELIVERED", true]);
        assert.match(error.message, /^the payload does not fit the handler: \$\.id: .+; \$\.items\[1\]\.price: ./);
        const issues = error.details.issues as { path: string; message: string }[];
        const paths = issues.map(({ path }) => path);
        assert.deepStrictEqual(paths, ["$.id", "$.items[1].price"]);
        for (const { message } of issues) assert.ok(error.message.includes(message));
      }
      assert.equal(handled, 0);
    });
  }

  for (const [library, output] of Object.entries(outputs)) {
    test(`a reply that does not fit is the handler's failure (${library})`, async () => {
      const [a, b] = [world.system(), world.system()];
      await b.subscribe("reply.fits", (data) => data, { output }).ready();
      for (const system of [a, b]) {
        assert.deepStrictEqual(await system.publishAndWait("reply.fits", { sum: 1, secret: 2 }), { sum: 1 });
        const error = await fails(system.publishAndWait("reply.fits", { sum: "1" }), "HANDLER_ERROR");
        assert.deepStrictEqual([error.type, error.outcome], ["InvalidPayloadError", "RAN"]);
        assert.match(error.message, /^the handler's return value cannot be sent: .*\$\.sum: ./);
        assert.equal(error.details.code, "INVALID_PAYLOAD");
        assert.deepStrictEqual((error.details.issues as { path: string }[])[0]?.path, "$.sum");
      }
    });
  }

  test("schemas may take their time; the filter comes first, the handler knows its event", async () => {
    const seen = new Set<number>();
    const [a, b] = [world.system(), world.system()];
    const input = z.number().refine(async (n) => {
      await sleep(5);
      seen.add(n);
      return n < 10;
    });
    const output = v.pipeAsync(
      v.number(),
      v.transformAsync(async (n) => n + 0.5),
    );
    const handler = (n: number, event: { data: unknown }) => n + (event.data as number);
    await b.subscribe("take.time", handler, { input, output, filter: (n) => n !== 5 }).ready();
    for (const system of [a, b]) {
      assert.equal(await system.publishAndWait("take.time", 4), 8.5);
      await fails(system.publishAndWait("take.time", 11), "INVALID_PAYLOAD");
      await fails(system.publishAndWait("take.time", 5), "NO_RESPONDERS");
    }
    assert.deepStrictEqual([...seen], [4, 11]);
  });

  test("an event that does not fit is not handled; replies to events are not looked at", async () => {
    const [a, b] = [world.system(), world.system()];
    const seen: number[] = [];
    let looked = 0;
    const output = z.unknown().refine(() => ++looked < 0);
    await b.subscribe("event.fits", (n) => seen.push(n), { input: z.number(), output }).ready();
    for (const data of ["no", 1, null, 2]) await a.publish("event.fits", data);
    await until(() => seen.length === 2, "those that fit");
    for (const data of ["no", 3]) await b.publish("event.fits", data, { waitLocal: true });
    assert.deepStrictEqual([seen, looked], [[1, 2, 3], 0]);
  });

  test("of a batch, those that fit are handled", async () => {
    const [a, b] = [world.system(), world.system()];
    const batches: number[][] = [];
    const input = z.string().transform(Number).pipe(z.number());
    const batch = { size: 4, ms: 60_000 };
    await b.subscribe("batch.fits", (list) => void batches.push(list), { input, batch }).ready();
    for (const data of ["1", 2, "three", "4"]) await a.publish("batch.fits", data);
    await until(() => batches.length === 1, "the batch");
    await Promise.all([0, 0, 0, 0].map(() => b.publish("batch.fits", 0, { waitLocal: true })));
    assert.deepStrictEqual(batches, [[1, 4]]);
  });

  test("middleware comes before the input and after the output", async () => {
    const [a, b] = [
      world.system(),
      world.system({
        middleware: [
          {
            async handle(event, next) {
              event.setData(Number(event.data));
              return `<${await next()}>`;
            },
          },
        ],
      }),
    ];
    await b.subscribe("in.side", (n) => n * 2, { input: z.number(), output: z.number() }).ready();
    for (const system of [a, b]) {
      assert.equal(await system.publishAndWait("in.side", "4"), "<8>");
      await fails(system.publishAndWait("in.side", "x"), "INVALID_PAYLOAD");
    }
  });

  test("a schema that throws is a failure of the handler; what is wrong in many places is told in short", async () => {
    const [a, b] = [world.system(), world.system()];
    const input: StandardSchema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate(value) {
          if (value === "throw") throw new RangeError("broken");
          return { issues: Array.from({ length: 1000 }, (_, n) => ({ message: "x".repeat(999), path: ["é€😀", n] })) };
        },
      },
    };
    await b.subscribe("schema.throws", () => 1, { input }).ready();
    for (const system of [a, b]) {
      const error = await fails(system.publishAndWait("schema.throws", "throw"), "HANDLER_ERROR");
      assert.deepStrictEqual([error.type, error.message], ["RangeError", "the input schema threw: broken"]);
      const long = await fails(system.publishAndWait("schema.throws", 1), "INVALID_PAYLOAD");
      assert.ok(long.message.length < 5000, `${long.message.length}`);
      assert.match(long.message, /\$\["é€😀"\]\[0\]: x.*; and 984 more$/);
      assert.equal((long.details.issues as unknown[]).length, 16);
    }
  });

  test("each item of a stream must fit the output, and is what the schema makes of it", async () => {
    const [a, b] = [world.system(), world.system()];
    const handler = async function* sums(last: unknown) {
      yield { sum: 1, secret: 2 };
      yield last as { sum: number };
    };
    await b.subscribe("stream.fits", handler, { output: z.object({ sum: z.number() }) }).ready();
    for (const system of [a, b]) {
      const stream = system.publishAndStream("stream.fits", { sum: "1" });
      assert.deepStrictEqual((await stream.next()).value, { sum: 1 });
      const error = await fails(stream.next(), "HANDLER_ERROR");
      assert.match(error.message, /yielded does not fit the output schema: \$\.sum/);
      assert.deepStrictEqual([error.type, error.outcome], ["InvalidPayloadError", "RAN"]);
    }
  });
}
