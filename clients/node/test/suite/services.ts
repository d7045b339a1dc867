import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import { ASK_TOPIC } from "../../src/contract/contract.js";
import type { EventSystem, Service, Subscribed } from "../../src/index.js";
import { fails, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const DRAFT = "https://json-schema.org/draft/2020-12/schema";
const order = z.object({ sku: z.string(), price: z.string().transform(Number).pipe(z.number()) });

/** Who is there, and what they are subscribed to. */
export function serviceTests(world: World): void {
  async function system(service: string): Promise<EventSystem> {
    return world.system({ service }).start();
  }

  test("services tell their instances and what these are subscribed to", async () => {
    const asker = await system("asker");
    const shops = [await system("shop"), await system("shop")];
    for (const shop of shops) {
      const options = { group: "workers", schemaVersion: "2", name: "order" };
      await shop.subscribe("tell.order", () => 1, options).ready();
    }
    const [shop] = shops as [EventSystem];
    await shop.subscribe("tell.lines", async function* lines() {}).ready();
    await shop.subscribe("tell.>", () => undefined, { observe: true, name: "watch" }).ready();
    await shop.subscribe("tell.*", () => undefined, { batch: {}, name: "collect" }).ready();
    const left = shop.subscribe("tell.left", () => 1);
    await left.ready();
    await left.unsubscribe();
    const services = await found(asker);
    assert.deepStrictEqual(
      services.map(({ name }) => name),
      ["asker", "shop"],
    );
    const none = { group: "", streams: false, schemaVersion: "", input: undefined, output: undefined };
    assert.deepStrictEqual(services[1], {
      name: "shop",
      instances: Object.fromEntries(shops.map(({ instance }) => [instance, "node/0.1.0"])),
      subscriptions: [
        { ...none, topic: "tell.*", name: "collect", kind: "batch" },
        { ...none, topic: "tell.>", name: "watch", kind: "observer" },
        { ...none, topic: "tell.lines", name: "lines", kind: "handler", streams: true },
        { ...none, topic: "tell.order", name: "order", kind: "handler", group: "workers", schemaVersion: "2" },
      ],
    });
    assert.deepStrictEqual(services[0]?.subscriptions, []);
    for (const one of shops) assert.deepStrictEqual(await found(one), services);
  });

  test("a schema is told in JSON Schema where its library can say it: what is taken, and what is given", async () => {
    const [asker, shop] = [await system("asker"), await system("shop")];
    await shop.subscribe("said.zod", () => ({ sku: "x", price: "1" }), { input: order, output: order }).ready();
    await shop.subscribe("said.batch", () => undefined, { input: order, batch: {} }).ready();
    const properties = { sku: { type: "string" }, price: { type: "string" } };
    const required = ["sku", "price"];
    const taken = { $schema: DRAFT, type: "object", properties, required };
    const made = { ...properties, price: { type: "number" } };
    const given = { ...taken, properties: made, additionalProperties: false };
    const told = await subscriptions(asker, "shop");
    assert.deepStrictEqual(told.get("said.zod")?.input, taken);
    assert.deepStrictEqual(told.get("said.zod")?.output, given);
    assert.deepStrictEqual(told.get("said.batch")?.input, taken);
  });

  test("a schema that cannot be said is left out, unless the subscriber says it", async () => {
    const [asker, shop] = [await system("asker"), await system("shop")];
    const [input, output] = [v.object({ sku: v.string() }), v.bigint()];
    const inputSchema = { type: "object", properties: { sku: { type: "string" } } };
    const outputSchema = { type: "integer" };
    await shop.subscribe("unsaid.valibot", () => 1n, { input, output }).ready();
    await shop.subscribe("unsaid.zod", () => 1n, { input: z.bigint(), output: z.bigint() }).ready();
    await shop.subscribe("given.valibot", () => 1n, { input, output, inputSchema, outputSchema }).ready();
    await shop
      .subscribe("given.zod", () => 1n, { input: order, output: z.bigint(), inputSchema, outputSchema })
      .ready();
    await shop.subscribe("given.alone", () => 1, { inputSchema, outputSchema }).ready();
    const told = await subscriptions(asker, "shop");
    for (const topic of ["unsaid.valibot", "unsaid.zod"])
      assert.deepStrictEqual(schemas(told, topic), [undefined, undefined]);
    for (const topic of ["given.valibot", "given.zod", "given.alone"]) {
      assert.deepStrictEqual(schemas(told, topic), [inputSchema, outputSchema]);
    }
    assert.equal(await asker.publishAndWait("given.alone", "anything"), 1, "it is told, not checked");
  });

  test("instances of one service that differ show as several subscriptions of one name", async () => {
    const [asker, old, young] = [await system("asker"), await system("shop"), await system("shop")];
    for (const [shop, schemaVersion] of [
      [old, "1"],
      [young, "2"],
    ] as const) {
      await shop.subscribe("differ.order", () => 1, { schemaVersion, name: "order" }).ready();
    }
    const shop = named(await found(asker), "shop");
    assert.deepStrictEqual(shop?.subscriptions.map((one) => one.schemaVersion).sort(), ["1", "2"]);
    await old.close();
    const { subscriptions: left, instances } = named(await found(asker), "shop") ?? assert.fail("it is gone");
    assert.deepStrictEqual(
      left.map((one) => one.schemaVersion),
      ["2"],
    );
    assert.deepStrictEqual(Object.keys(instances), [young.instance]);
  });

  test("who answers strangely or not at all does not hide the others", async () => {
    const [asker, silent] = [await system("asker"), await world.raw()];
    const strange: unknown[] = [
      null,
      [1],
      { service: 7 },
      { service: "odd", subscriptions: [null, { topic: 5, input: "x" }] },
    ];
    const raws = await Promise.all(strange.map(() => world.raw()));
    for (const raw of [silent, ...raws]) await raw.answersTo(ASK_TOPIC);
    const asking = found(asker, 2000);
    for (const [at, raw] of raws.entries()) raw.reply(await raw.request(), strange[at]);
    const nothing = { topic: "", name: "", group: "", kind: "handler", streams: false, schemaVersion: "" };
    assert.deepStrictEqual(
      (await asking).map(({ name, subscriptions }) => [name, subscriptions]),
      [
        ["asker", []],
        ["odd", [{ ...nothing, input: undefined, output: undefined }]],
        ["raw", []],
      ],
    );
    const told = named(await found(asker, 2000), "raw") ?? assert.fail("who is silent is not told");
    assert.equal(told.instances[silent.port.instance], "", "it is there, but did not answer");
  });

  test("neither observers nor middleware see what is asked inside, and nobody else can ask", async () => {
    const seen: unknown[] = [];
    const middleware = [
      {
        publish: (message: { topic: string }, next: (message: never) => unknown) => {
          seen.push(message.topic);
          return next(message as never);
        },
        handle: (event: { topic: string }, next: () => unknown) => {
          seen.push(event.topic);
          return next();
        },
      },
    ];
    const watcher = world.system({ service: "watcher", middleware });
    await watcher.subscribe(">", (_, event) => void seen.push(event.topic), { observe: true }).ready();
    const other = await system("other");
    for (const one of [watcher, other]) {
      assert.equal((await found(one)).length, 2);
      await one.explain("nothing");
    }
    await fails(other.publishAndWait(ASK_TOPIC, { subscriptions: true }), "INVALID_TOPIC");
    await other.publish("in.step");
    await until(() => seen.includes("in.step"), "what came after it is seen");
    assert.ok(!seen.includes(ASK_TOPIC));
    assert.deepStrictEqual([watcher.subscriptions.length, other.subscriptions.length], [1, 0]);
    await other.unsubscribe(ASK_TOPIC);
    assert.deepStrictEqual(
      (await found(watcher)).map(({ name }) => name),
      ["other", "watcher"],
    );
  });
}

/** Who is there, besides a gateway, which is an instance like any other, and peers that other tests killed. */
async function found(asker: EventSystem, ttl = 5000): Promise<Service[]> {
  return (await asker.services({ ttl })).filter(({ name }) => !["gateway", "peer"].includes(name));
}

async function subscriptions(asker: EventSystem, service: string): Promise<Map<string, Subscribed>> {
  const { subscriptions: told = [] } = named(await found(asker), service) ?? {};
  return new Map(told.map((one) => [one.topic, one]));
}

function named(services: readonly Service[], name: string): Service | undefined {
  return services.find((service) => service.name === name);
}

function schemas(told: Map<string, Subscribed>, topic: string): unknown[] {
  const one = told.get(topic) ?? assert.fail(`"${topic}" is not told`);
  return [one.input, one.output];
}
