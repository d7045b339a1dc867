// Moleculer over Redis: `broker.call` to an action of another node, JSON payloads, which is what it does unless told.
import { ServiceBroker } from "moleculer";
import { PAYLOAD, play, TOPIC } from "./load.mjs";

const SERVICE = TOPIC.split(".")[0];
const open = (url, nodeID) => new ServiceBroker({ nodeID, transporter: url, logger: false, requestTimeout: 30_000 });

await play({
  async serve(url) {
    const broker = open(url, "responder");
    broker.createService({ name: SERVICE, actions: { echo: (context) => context.params } });
    await broker.start();
  },
  async connect(url) {
    const broker = open(url, "caller");
    await broker.start();
    await broker.waitForServices(SERVICE);
    return { call: () => broker.call(TOPIC, PAYLOAD), close: () => broker.stop() };
  },
});
