// Says for each line of standard input, one question in JSON, when it comes next and what is due of it.
import { createInterface } from "node:readline";
import { parseCron } from "../../clients/node/dist/cron/cron.js";
import { checkTask, cronTask, due, encodeTask, fireTime } from "../../clients/node/dist/cron/task.js";

const SENT = { topic: "a", data: Buffer.alloc(0), contentType: "", ttl: 0, headers: {} };
const EVENT = { kind: "event", ...SENT, key: "", durable: false, priority: 0 };

function answer({ after, now, ...given }) {
  try {
    const task = cronTask({ ...given, action: EVENT });
    checkTask(task);
    const cron = parseCron(task.expression, task.zone);
    const times = cron.upcoming(after, 5, task.start);
    const bytes = encodeTask(task).toString("hex");
    if (times.length === 0) return { times, bytes };
    const { ticks, next = null, missed = null } = due(task, times[0], now);
    return { times, bytes, ticks, next, missed, fire: ticks.map((tick) => fireTime(task, tick)) };
  } catch (error) {
    return { error: error.message, field: error.details?.field };
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(answer(JSON.parse(line))));
