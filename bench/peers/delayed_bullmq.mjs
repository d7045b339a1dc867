// BullMQ: delayed jobs added one by one with 512 in flight, and worked off by one worker when they are due.
import { Queue, Worker } from "bullmq";
import { PAYLOAD, play } from "./load.mjs";

const EVENTS = 20_000;
const IN_FLIGHT = 512;
const AHEAD_MS = 12_000;
const LATE = 3_000;
const RATE = 1_000;
const options = { removeOnComplete: true, removeOnFail: true };

await play({
  async measure(url) {
    const connection = { url, maxRetriesPerRequest: null };

    async function handled(queue, count, handler) {
      let left = count;
      const worker = new Worker(queue, handler, { connection, concurrency: 100, autorun: false });
      const done = new Promise((resolve) => worker.on("completed", () => --left === 0 && resolve(performance.now())));
      worker.run();
      const at = await done;
      await worker.close();
      return at;
    }

    const all = new Queue("all", { connection });
    await all.waitUntilReady();
    const due = Date.now() + AHEAD_MS;
    let next = 0;
    const begun = performance.now();
    const plan = async () => {
      while (next++ < EVENTS) await all.add("event", PAYLOAD, { ...options, delay: due - Date.now() });
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, plan));
    const planned = EVENTS / ((performance.now() - begun) / 1_000);
    if (Date.now() > due - 1_000) throw new Error(`planning ${EVENTS} events took longer than ${AHEAD_MS} ms`);
    const began = performance.now() + due - Date.now();
    const fired = EVENTS / (((await handled("all", EVENTS, async () => {})) - began) / 1_000);
    const some = new Queue("some", { connection });
    const late = [];
    const first = Date.now() + 2_000;
    const handling = handled("some", LATE, async (job) => late.push(Date.now() - job.data));
    for (let number = 0; number < LATE; number++) {
      const moment = first + (number * 1_000) / RATE;
      await some.add("event", moment, { ...options, delay: Math.max(0, moment - Date.now()) });
    }
    await handling;
    late.sort((one, other) => one - other);
    await all.close();
    await some.close();
    return { planned, fired, late_p50: late[late.length >> 1], late_p99: late[Math.floor(late.length * 0.99)] };
  },
});
