import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { EventSystem, TielineError } from "../src/index.js";
import { newTopic } from "./support/durable.js";
import { Gateway } from "./support/gateway.js";
import { RedisServer } from "./support/server.js";
import { fails, gate, sleep, until } from "./support/waiting.js";
import { silent } from "./support/world.js";

const QUICK = { drain: 100, reconnectMin: 20, reconnectMax: 200 };

const redis = await RedisServer.start();
const behind = ["--redis-url", redis.url];
const gateways = [await Gateway.start(behind), await Gateway.start(behind)] as const;
const [first, second] = gateways;
const both = `grpc://127.0.0.1:${first.port},127.0.0.1:${second.port}`;
const opened: EventSystem[] = [];

function systemAt(url: string): EventSystem {
  const system = new EventSystem({ url, service: "moving", settings: QUICK, logger: silent });
  opened.push(system);
  return system;
}

async function restart(gateway: Gateway): Promise<void> {
  await gateway.stop("SIGTERM");
  await gateway.start();
}

function restartBoth(): { readonly all: Promise<void>; done: boolean } {
  const restarted = { all: restart(first).then(() => restart(second)), done: false };
  const end = () => {
    restarted.done = true;
  };
  restarted.all.then(end, end);
  return restarted;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((system) => system.close(0)));
});

after(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await redis.stop();
});

test("no call fails while two gateways are restarted", async () => {
  const topic = newTopic();
  const echo = async (number: unknown) => {
    await sleep(Number(number) % 100 === 0 ? 300 : 1);
    return number;
  };
  for (const system of [systemAt(both), systemAt(both)]) await system.subscribe(topic, echo).ready();
  const callers = [systemAt(both), systemAt(both)] as const;
  const [calls, wrong]: [Promise<void>[], unknown[]] = [[], []];
  const call = async (number: number) => {
    const answer = await (callers[number % 2] as EventSystem).publishAndWait(topic, number, { ttl: 30_000 });
    if (answer !== number) wrong.push(`${number} was answered with ${answer}`);
  };
  const load = setInterval(() => {
    for (let some = 0; some < 4; some++) calls.push(call(calls.length).catch((error) => void wrong.push(error)));
  }, 10);
  for (const gateway of gateways) {
    await sleep(500);
    await restart(gateway);
  }
  await sleep(500);
  clearInterval(load);
  await Promise.all(calls);
  assert.deepEqual(wrong, []);
  assert.ok(calls.length > 500, `${calls.length} calls`);
});

test("a stream under way ends where it began", async () => {
  await second.stop();
  const [topic, near, goOn] = [newTopic(), systemAt(both), gate()];
  await near.start().finally(() => second.start());
  const far = systemAt(second.url);
  await far
    .subscribe(topic, async function* (last: unknown) {
      for (let number = 0; number < Number(last); number++) {
        if (number === Number(last) / 2) await goOn.opened;
        yield number;
      }
    })
    .ready();
  const before = near.instance;
  const got: unknown[] = [];
  let restarting: Promise<void> | undefined;
  for await (const item of near.publishAndStream(topic, 1000)) {
    if (got.push(item) > 1) continue;
    restarting = restart(first);
    until(() => near.instance !== before, "it moved").then(goOn.open, goOn.open);
  }
  assert.deepEqual(got, [...Array(1000).keys()]);
  assert.notEqual(near.instance, before);
  await restarting;
});

test("live events come once and without a gap", async () => {
  const topic = newTopic();
  const [publisher, subscriber] = [systemAt(redis.url), systemAt(both)];
  const gaps: unknown[] = [];
  const onGap = (...gap: unknown[]) => gaps.push(gap);
  const got = { all: [] as number[], shared: [] as number[], observed: [] as number[] };
  const into = (numbers: number[]) => (number: unknown) => void numbers.push(Number(number));
  await subscriber.subscribe(topic, into(got.all), { onGap }).ready();
  await subscriber.subscribe(topic, into(got.shared), { group: "g", onGap }).ready();
  await subscriber.subscribe(topic, into(got.observed), { observe: true, onGap }).ready();
  const before = subscriber.instance;
  const restarted = restartBoth();
  let sent = 0;
  for (; !restarted.done || sent < 500; sent++) {
    await publisher.publish(topic, sent);
    await sleep(2);
  }
  await restarted.all;
  await until(() => Object.values(got).every((numbers) => numbers.at(-1) === sent - 1), "the last of each came");
  assert.deepEqual(gaps, []);
  got.shared.sort((a, b) => a - b); // each went to one of two places
  for (const [name, numbers] of Object.entries(got)) assert.deepEqual(numbers, [...Array(sent).keys()], name);
  assert.notEqual(subscriber.instance, before);
});

test("what a system publishes does not come back to it by its other Link", async () => {
  const [topic, system] = [newTopic(), systemAt(both)];
  const got: unknown[] = [];
  await system.subscribe(topic, (number) => void got.push(number)).ready();
  await system.subscribe(topic, (number) => void got.push(number), { observe: true }).ready();
  const before = system.instance;
  const restarted = restartBoth();
  let sent = 0;
  const publish = async () => {
    while (!restarted.done) await system.publish(topic, sent++);
  };
  await Promise.all([publish(), publish(), publish(), publish()]);
  await restarted.all;
  await system.publish(topic, sent++);
  await sleep(200);
  assert.equal(got.length, 2 * sent);
  assert.notEqual(system.instance, before);
});

test("durable events flow on", async () => {
  const [topic, consumer, publisher] = [newTopic(), systemAt(both), systemAt(both)];
  const got = new Set<unknown>();
  await consumer.subscribe(topic, (number) => void got.add(number), { durable: true }).ready();
  const publishing = (async () => {
    for (let number = 0; number < 300; number++) {
      const options = { key: "k", dedupe: `${number}`, waitForConnection: 30_000 };
      await publisher.publish(topic, number, options);
      await sleep(10);
    }
  })();
  for (const gateway of gateways) await restart(gateway);
  await publishing;
  await until(() => got.size === 300, "all came", 60_000);
  assert.deepEqual([...got], [...Array(300).keys()]);
});

test("a gateway that is killed is left for another one", async () => {
  const [topic, server, caller] = [newTopic(), systemAt(both), systemAt(both)];
  await server.subscribe(topic, (number) => number).ready();
  await caller.start();
  await first.stop();
  try {
    let answer: unknown;
    for (let left = 100; left > 0 && answer === undefined; left--) {
      answer = await caller.publishAndWait(topic, 1, { ttl: 5000, waitForConnection: 5000 }).catch((error: unknown) => {
        assert.ok(error instanceof TielineError, String(error));
        assert.ok(["UNAVAILABLE", "RESPONDER_LOST", "NO_RESPONDERS"].includes(error.code), String(error));
      });
      if (answer === undefined) await sleep(100);
    }
    assert.equal(answer, 1);
  } finally {
    await first.start();
  }
});

test("where only the second gateway is there, it is taken; where none is, that is said", async () => {
  await first.stop();
  try {
    for (let count = 0; count < 4; count++) await systemAt(both).start();
    const nobody = systemAt(`grpc://127.0.0.1:${first.port},127.0.0.1:${first.port}`);
    const error = await fails(nobody.start(), "UNAVAILABLE");
    assert.match(error.message, /^no gateway can be reached at 127\.0\.0\.1:\d+/);
  } finally {
    await first.start();
  }
});
