// Makes a cron task at the broker in argv, reads one that was made there before, and says what it is.
import { EventSystem } from "tieline";

const events = new EventSystem(process.argv[2], { service: "node" });
await events.cron.create("from.node", "every 1s", "tick.tock", { a: 1 }, { key: "k", jitter: 20, headers: { h: "x" } });
const { next, created, ...job } = await events.cron.get("from.python");
console.log(JSON.stringify({ ...job, next, created }));
await events.close();
