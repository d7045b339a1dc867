// An outbox: `outbox.mjs '{"url": …, "path": …, "topic": …, "first": 1, "count": 9, "forget": false}'`; the twin of outbox.py.
import { EventSystem } from "tieline";
import { OutboxFile } from "../../clients/node/dist/outbox/file.js";

const { url, path, topic, first, count, forget } = JSON.parse(process.argv[2]);
if (forget) OutboxFile.prototype.remove = () => undefined;
const settings = { connectTimeout: 500, reconnectMax: 200 };
const events = new EventSystem(url, { service: "peer", outbox: path, settings });
console.log("READY");
try {
  console.log("WAITING", (await events.outbox.figures()).events);
} catch (error) {
  console.log(error.code, error.outcome, error.message);
}
for (let number = first; number < first + count; number++) {
  const { queued } = await events.publish(topic, number, { key: `k${number % 3}` });
  if (queued) console.log("QUEUED", number);
}
console.log("ALL");
if (!count) events.start().catch((error) => console.log(String(error)));
while ((await events.outbox.figures()).events > 0) await new Promise((resolve) => setTimeout(resolve, 20));
console.log("EMPTY");
setInterval(() => undefined, 1000);
