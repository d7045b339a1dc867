// A service that calls, fails and is called, until it ends. Argument: JSON {url, topic}.
import { EventSystem } from "tieline";

const { url, topic } = JSON.parse(process.argv[2]);
const events = new EventSystem({ url, service: "busy" });
events.subscribe(`${topic}.node`, (data) => data);
events.subscribe(`${topic}.broken`, () => {
  throw new Error("never");
});
events.subscribe(`${topic}.held`, () => new Promise(() => {}));
await events.start();
console.log("READY");
events.publishAndWait(`${topic}.held`, 1, { correlationId: "held-in-node" }).catch(() => {});
events.publishAndWait(`${topic}.slow`, 1, { correlationId: "slow-for-node" }).catch(() => {});
while (true) {
  await events.publish(`${topic}.told`, 1);
  await events.publishAndWait(`${topic}.python`, 1).catch(() => {});
  await events.publishAndWait(`${topic}.broken`, 1).catch(() => {});
  await new Promise((done) => setTimeout(done, 20));
}
