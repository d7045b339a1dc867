// BullMQ: a job for each call, and `job.waitUntilFinished` for its result. Every job is written down and kept for a
// while, which none of the others do; it is what people have when they have BullMQ and need an answer.
import { Queue, QueueEvents, Worker } from "bullmq";
import { PAYLOAD, play, TOPIC } from "./load.mjs";

const CONCURRENCY = 512;
const TIMEOUT_MS = 30_000;
const options = { removeOnComplete: 10_000, removeOnFail: 10_000 };
const connection = (url) => ({ url, maxRetriesPerRequest: null });

await play({
  async serve(url) {
    const worker = new Worker(TOPIC, async (job) => job.data, { connection: connection(url), concurrency: CONCURRENCY });
    await worker.waitUntilReady();
  },
  async connect(url) {
    const queue = new Queue(TOPIC, { connection: connection(url) });
    const ends = new QueueEvents(TOPIC, { connection: connection(url) });
    for (const emitter of [queue, ends]) emitter.setMaxListeners(0); // each call that waits is a listener
    await ends.waitUntilReady();
    return {
      call: async () => (await queue.add("echo", PAYLOAD, options)).waitUntilFinished(ends, TIMEOUT_MS),
      close: () => Promise.all([queue.close(), ends.close()]),
    };
  },
});
