// BullMQ: jobs added one by one with 512 in flight, and worked off by one worker. It has no keys: one queue for all.
import { Queue, Worker } from "bullmq";
import { PAYLOAD, play } from "./load.mjs";

const EVENTS = 40_000;
const IN_FLIGHT = 512;
const options = { removeOnComplete: true, removeOnFail: true };

await play({
  async measure(url) {
    const connection = { url, maxRetriesPerRequest: null };
    const queue = new Queue("bench", { connection });
    await queue.waitUntilReady();
    let next = 0;
    let begun = performance.now();
    const publish = async () => {
      while (next++ < EVENTS) await queue.add("event", PAYLOAD, options);
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, publish));
    const published = EVENTS / ((performance.now() - begun) / 1_000);
    begun = performance.now();
    let left = EVENTS;
    const worker = new Worker("bench", async () => {}, { connection, concurrency: 100, autorun: false });
    const done = new Promise((resolve) => worker.on("completed", () => --left === 0 && resolve()));
    worker.run();
    await done;
    const handled = EVENTS / ((performance.now() - begun) / 1_000);
    await worker.close();
    await queue.close();
    return { published_1: published, handled_1: handled };
  },
});
