import assert from "node:assert/strict";
import { test } from "node:test";
import { CANCEL, type Envelope, errorToWire } from "../../src/envelope.js";
import {
  type EventSystem,
  type Gathered,
  type Handler,
  OverloadedError,
  type SubscribeOptions,
} from "../../src/index.js";
import type { Raw } from "../support/raw.js";
import { fails, sleep, timed, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** One question, many answers: whom it reaches, when it ends, and who is named missing. */
export function gatherTests(world: World): void {
  async function service(topic: string, name: string, handler?: Handler, options?: SubscribeOptions) {
    const system = world.system({ service: name });
    await system.subscribe(topic, handler ?? ((data) => [name, data]), options).ready();
    return system;
  }

  async function asker(): Promise<EventSystem> {
    const system = world.system({ service: "asker" });
    await system.start();
    return system;
  }

  test("one instance of each service answers", async () => {
    const caller = await asker();
    const names = ["prices", "prices", "stock", "stock", "tax"];
    const systems = await Promise.all(names.map((name) => service("gather.services", name)));
    const gathered = await caller.publishAndGather("gather.services", 7);
    assert.deepStrictEqual(services(gathered), ["prices", "stock", "tax"]);
    assert.deepStrictEqual(gathered.values.map(String).sort(), ["prices,7", "stock,7", "tax,7"]);
    assert.deepStrictEqual([gathered.complete, gathered.errors, gathered.missing], [true, [], []]);
    const tax = gathered.replies.find((reply) => reply.responder.service === "tax");
    assert.deepStrictEqual(tax?.responder, { service: "tax", instance: systems[4]?.instance, group: "" });
  });

  test("one member of each group answers, whatever its service, by its own subscription", async () => {
    const caller = await asker();
    let ran = 0;
    for (const [at, group] of ["red", "red", "blue", ""].entries()) {
      const answer = () => {
        ran += 1;
        return group || "none";
      };
      await service("gather.groups", `s${at}`, answer, group === "" ? {} : { group });
    }
    const gathered = await caller.publishAndGather<string>("gather.groups");
    assert.deepStrictEqual([...gathered.values].sort(), ["blue", "none", "red"]);
    assert.deepStrictEqual(gathered.replies.map((reply) => reply.responder.group).sort(), ["", "blue", "red"]);
    await sleep(50);
    assert.equal(ran, 3);
    const both = world.system();
    for (const group of ["left", "right"]) await both.subscribe("gather.both", () => group, { group }).ready();
    for (let n = 0; n < 4; n++) {
      const { replies } = await caller.publishAndGather("gather.both");
      const said = Object.fromEntries(replies.map(({ responder, value }) => [responder.group, value]));
      assert.deepStrictEqual(said, { left: "left", right: "right" });
    }
  });

  test("every instance can be asked, the own one included, which is asked first", async () => {
    const systems = await Promise.all([1, 2, 3, 4].map(() => service("gather.every", "same")));
    const [own] = systems as [EventSystem];
    const gathered = await own.publishAndGather("gather.every", 1, { everyInstance: true });
    const asked = gathered.replies.map((reply) => reply.responder.instance);
    assert.deepStrictEqual(asked.sort(), systems.map((system) => system.instance).sort());
    const one = await own.publishAndGather("gather.every", 1);
    assert.deepStrictEqual(
      one.replies.map((reply) => reply.responder.instance),
      [own.instance],
    );
  });

  test("errors are named beside the replies, and it ends long before the deadline", async () => {
    const caller = await asker();
    await service("gather.errors", "good");
    await service("gather.errors", "bad", () => {
      throw new RangeError("no price");
    });
    const [gathered, ms] = await timed(caller.publishAndGather("gather.errors", 1, { ttl: 60_000 }));
    assert.ok(ms < 10_000, `${ms} ms`);
    assert.deepStrictEqual(services(gathered), ["good"]);
    const said = gathered.errors.map(({ responder, error }) => [responder.service, error.code, error.type]);
    assert.deepStrictEqual([said, gathered.complete], [[["bad", "HANDLER_ERROR", "RangeError"]], true]);
  });

  test("who does not answer in time is missing, and cancelled", async () => {
    const caller = await asker();
    let cancelled = false;
    await service("gather.slow", "quick");
    await service("gather.slow", "slow", (_, event) => {
      event.signal.addEventListener("abort", () => (cancelled = true));
      return sleep(30_000, undefined, { ref: false });
    });
    const gathered = await caller.publishAndGather("gather.slow", 1, { ttl: 1500 });
    assert.deepStrictEqual(services(gathered), ["quick"]);
    assert.deepStrictEqual(missing(gathered), [["slow", "TIMEOUT"]]);
    assert.equal(gathered.complete, false);
    await until(() => cancelled, "it is cancelled");
  });

  test("it ends with so many replies, and the others are cancelled", async () => {
    const caller = await asker();
    const raw = await world.raw();
    await raw.answersTo("gather.some");
    for (const name of ["a", "b"]) await service("gather.some", name);
    const gathered = await caller.publishAndGather("gather.some", 1, { maxReplies: 2 });
    assert.deepStrictEqual(services(gathered), ["a", "b"]);
    assert.deepStrictEqual(missing(gathered), [["raw", "CANCELLED"]]);
    await until(() => raw.answers.some((answer) => answer.kind === CANCEL), "CANCEL came");
  });

  test("there are never more replies than were asked for", async () => {
    const caller = await asker();
    const raws = await Promise.all([1, 2, 3, 4].map(() => world.raw()));
    for (const raw of raws) await raw.answersTo("gather.exact");
    const asking = caller.publishAndGather("gather.exact", 1, { maxReplies: 2, everyInstance: true });
    const requests = await Promise.all(raws.map((raw) => raw.request()));
    for (const [at, raw] of raws.entries()) raw.reply(requests[at] as Envelope, "here");
    const gathered = await asking;
    assert.deepStrictEqual(gathered.values, ["here", "here"]);
    const codes = gathered.missing.map(({ error }) => error.code);
    assert.deepStrictEqual(codes, ["CANCELLED", "CANCELLED"]);
    const named = [...gathered.replies, ...gathered.missing].map(({ responder }) => responder.instance);
    assert.deepStrictEqual(named.sort(), raws.map((raw) => raw.port.instance).sort());
  });

  test("who was not waited for is the one that was asked last", async () => {
    const caller = await asker();
    let open: (value: string) => void = () => undefined;
    const gate = new Promise<string>((resolve) => {
      open = resolve;
    });
    await service("gather.last", "quick", () => gate);
    const raws = await Promise.all([world.raw(), world.raw()]);
    for (const raw of raws) await raw.answersTo("gather.last");
    const asking = caller.publishAndGather("gather.last", 1, { maxReplies: 1 });
    await until(() => raws.some((raw) => raw.requests.length > 0), "one is asked");
    const refuses = raws.find((raw) => raw.requests.length > 0) as Raw;
    const asked = raws.find((raw) => raw !== refuses) as Raw;
    const error = errorToWire(new OverloadedError("full", { outcome: "NOT_DELIVERED" }));
    refuses.reply(await refuses.request(), undefined, { data: Buffer.alloc(0), error });
    await asked.request();
    open("here");
    const { missing } = await asking;
    assert.deepStrictEqual(
      missing.map(({ responder }) => responder.instance),
      [asked.port.instance],
    );
  });

  test("a reply that cannot be read, or who could not be asked, is told beside the others", async () => {
    const caller = world.system({ settings: { pendingCalls: 2 } });
    await caller.start();
    const raws = await Promise.all([1, 2, 3].map(() => world.raw()));
    for (const raw of raws) await raw.answersTo("gather.odd");
    const asking = caller.publishAndGather("gather.odd", 1, { everyInstance: true });
    const reached = () => raws.filter((raw) => raw.requests.length > 0);
    await until(() => reached().length === 2, "two are asked");
    const [good, odd] = reached() as [Raw, Raw];
    odd.reply(await odd.request(), undefined, { data: Buffer.from([0xc1]) });
    good.reply(await good.request(), "here");
    const { values, errors, missing } = await asking;
    assert.deepStrictEqual(values, ["here"]);
    const said = [...errors, ...missing].map(({ error }) => [error.code, error.outcome]);
    assert.deepStrictEqual(said, [
      ["INVALID_PAYLOAD", "RAN"],
      ["OVERLOADED", "NOT_DELIVERED"],
    ]);
  });

  test("who gives up before it is known whom to ask asks nobody", async () => {
    const caller = await asker();
    const raw = await world.raw();
    await raw.answersTo("gather.never");
    const controller = new AbortController();
    const asking = caller.publishAndGather("gather.never", 1, { signal: controller.signal });
    controller.abort();
    await fails(asking, "CANCELLED");
    await caller.publishAndGather("gather.never", 2, { ttl: 1000 });
    assert.equal(raw.requests.length, 1);
  });

  test("giving up cancels everybody", async () => {
    const caller = await asker();
    const raws = await Promise.all([world.raw(), world.raw()]);
    for (const raw of raws) await raw.answersTo("gather.given");
    const controller = new AbortController();
    const asking = caller.publishAndGather("gather.given", 1, { everyInstance: true, signal: controller.signal });
    for (const raw of raws) await raw.request();
    controller.abort();
    await fails(asking, "CANCELLED");
    for (const raw of raws) {
      await until(() => raw.answers.some((answer) => answer.kind === CANCEL), "CANCEL came");
    }
  });

  test("nobody to ask is told at once, and what is asked is checked", async () => {
    const caller = await asker();
    const [error, ms] = await timed(fails(caller.publishAndGather("gather.nobody"), "NO_RESPONDERS"));
    assert.match(error.message, /gather\.nobody/);
    assert.ok(ms < 5000, `${ms} ms`);
    for (const maxReplies of [-1, 1.5, Number.NaN]) {
      await fails(caller.publishAndGather("gather.nobody", 1, { maxReplies }), "INVALID_ARGUMENT");
    }
  });

  test("who is full lets another one of its service answer, and says so if it is alone", async () => {
    const caller = await asker();
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    let held = false;
    const wait = () => {
      held = true;
      return gate.then(() => "late");
    };
    await service("gather.full", "same", wait, { concurrency: 1, queue: 0 });
    const late = caller.publishAndWait("gather.full");
    await until(() => held, "it is full");
    const alone = await caller.publishAndGather("gather.full");
    assert.deepStrictEqual(
      alone.errors.map(({ error }) => [error.code, error.retryable]),
      [["OVERLOADED", true]],
    );
    await service("gather.full", "same", () => "free");
    for (let n = 0; n < 6; n++) {
      assert.deepStrictEqual((await caller.publishAndGather("gather.full")).values, ["free"]);
    }
    open();
    assert.equal(await late, "late");
  });

  test("observers see the question once, and wildcards do not answer", async () => {
    const [caller, watcher] = [await asker(), world.system()];
    const observed: unknown[] = [];
    await watcher.subscribe("gather.seen", (data) => void observed.push(data), { observe: true }).ready();
    await watcher.subscribe("gather.>", () => assert.fail("a wildcard answers"), { name: "wild" }).ready();
    for (const name of ["a", "b", "c"]) await service("gather.seen", name);
    await caller.publish("in.step"); // notices of observers travel ahead of its answer
    assert.equal((await caller.publishAndGather("gather.seen", "once")).replies.length, 3);
    await until(() => observed.length > 0, "it is seen");
    await sleep(50);
    assert.deepStrictEqual(observed, ["once"]);
  });

  test("who left is not asked", async () => {
    const caller = await asker();
    const staying = await service("gather.left", "a");
    const leaving = await service("gather.left", "b");
    await leaving.subscriptions[0]?.unsubscribe();
    const gathered = await caller.publishAndGather("gather.left", 1, { everyInstance: true });
    assert.deepStrictEqual(services(gathered), ["a"]);
    await staying.close();
    await fails(caller.publishAndGather("gather.left"), "NO_RESPONDERS");
  });

  test("hundreds of questions at once get their own answers", async () => {
    const caller = await asker();
    for (const name of ["a", "b", "c"]) await service("gather.many", name);
    const numbers = [...Array(300).keys()];
    const all = await Promise.all(numbers.map((number) => caller.publishAndGather("gather.many", number)));
    for (const [number, gathered] of all.entries()) {
      assert.deepStrictEqual(
        gathered.values.map(String).sort(),
        ["a", "b", "c"].map((name) => `${name},${number}`),
      );
    }
  });

  if (world.processes) {
    test("who dies is missing long before the deadline", async () => {
      const caller = await asker();
      const peer = await world.peer();
      await service("peer.slow", "alive", () => 1);
      const asking = caller.publishAndGather("peer.slow", 60_000, { ttl: 60_000, everyInstance: true });
      await peer.says(/^started$/);
      await peer.kill();
      const [gathered, ms] = await timed(asking);
      assert.deepStrictEqual(services(gathered), ["alive"]);
      const lost = missing(gathered).filter(([, code]) => code === "RESPONDER_LOST"); // others died before it began
      assert.deepStrictEqual(lost, [["peer", "RESPONDER_LOST"]]);
      assert.ok(ms < 30_000, `${ms} ms`);
    });
  }
}

function services(gathered: Gathered): string[] {
  return gathered.replies.map((reply) => reply.responder.service).sort();
}

function missing(gathered: Gathered): string[][] {
  return gathered.missing.map(({ responder, error }) => [responder.service, error.code]);
}
