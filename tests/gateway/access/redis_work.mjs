// Everything a Node service does with a broker; ends with 1 where it may not: node redis_work.mjs URL [NAMESPACE | URL]
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { EventSystem } from "../../../clients/node/dist/index.js";

const [url, second = ""] = process.argv.slice(2);
const [other, namespace] = second.includes("://") ? [second, ""] : [url, second];

async function until(isTrue) {
  for (let n = 0; n < 600; n += 1) {
    if (await isTrue()) return;
    await sleep(50);
  }
  throw new Error("it did not come");
}

async function live(ours, theirs) {
  const heard = [];
  const subscriptions = [
    theirs.subscribe("acl.new", (data) => void heard.push(data)),
    theirs.subscribe("acl.*", (data) => void heard.push(data), { group: "g" }),
    theirs.subscribe("acl.sum", (numbers) => numbers.reduce((a, b) => a + b, 0)),
    theirs.subscribe("acl.count", async function* (start) {
      for (let n = 0; n < start; n += 1) yield n;
    }),
  ];
  for (const each of subscriptions) await each.ready();
  await ours.publish("acl.new", 1);
  await until(() => heard.length >= 2);
  assert.equal(await ours.publishAndWait("acl.sum", [1, 2, 3]), 6);
  const items = [];
  for await (const item of ours.publishAndStream("acl.count", 2)) items.push(item);
  assert.deepEqual(items, [0, 1]);
  assert.equal((await ours.publishAndGather("acl.sum", [1])).replies.length, 1);
  for (let n = 0; n < 2; n += 1) assert.equal(await ours.publishAndWait("acl.sum", [5], { idempotencyKey: "n" }), 5);
  const { correlationId } = await ours.publish("acl.new", 2);
  assert.ok((await ours.explain(correlationId)).steps);
  for (const each of subscriptions) await each.unsubscribe();
}

async function durable(ours, theirs) {
  const done = new Set();
  const handle = (data) => {
    if (data === "bad") throw new Error("bad");
    done.add(data);
  };
  const options = { durable: true, group: "n", retry: { maxAttempts: 1 } };
  const subscription = theirs.subscribe("acl.nodekept", handle, options);
  await subscription.ready();
  await ours.publish("acl.nodekept", 1, { key: "a" });
  await ours.publish("acl.nodekept", 2, { durable: true, dedupe: "once" });
  await ours.publish("acl.nodekept", 3, { durable: true, delay: 100 });
  await until(() => done.size === 3);
  await ours.publish("acl.nodekept", "bad", { key: "b" });
  await ours.publish("acl.nodekept", "bad", { durable: true });
  await until(async () => (await ours.deadLetters.list("acl.nodekept")).length > 0);
  await until(async () => (await ours.parked.list("acl.nodekept", { group: "n" })).length > 0);
  await ours.parked.skip("acl.nodekept", "b", { group: "n" });
  await ours.deadLetters.redrive("acl.nodekept");
  assert.ok((await ours.groups.topics()).length > 0);
  await subscription.unsubscribe();
}

async function planned(ours) {
  const { id } = await ours.publish("acl.later", 1, { delay: 3_600_000 });
  await ours.schedules.reschedule(id, { delay: 7_200_000 });
  await ours.schedules.list();
  await ours.schedules.cancel(id);
  await ours.cron.create("nodeacl", "@yearly", "acl.tick", 1);
  await ours.cron.runNow("nodeacl");
  await ours.cron.list();
  await ours.cron.delete("nodeacl");
}

const ours = new EventSystem(url, { service: "ours", namespace });
const theirs = new EventSystem(other, { service: "theirs", namespace });
await live(ours, theirs);
await durable(ours, theirs);
await planned(ours);
await Promise.all([ours.close(), theirs.close()]);
process.exit(0);
