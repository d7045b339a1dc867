// Tieline's Node client; build it first (`npm run build` in clients/node).
import { EventSystem } from "../../clients/node/dist/index.js";
import { PAYLOAD, play, TOPIC } from "./load.mjs";

await play({
  async serve(url) {
    const events = new EventSystem(url, { service: "bench-responder" });
    await events.subscribe(TOPIC, (data) => data, { queue: 10_000 }).ready();
  },
  async connect(url) {
    const events = new EventSystem(url, { service: "bench-caller" });
    await events.start();
    return { call: () => events.publishAndWait(TOPIC, PAYLOAD), close: () => events.close() };
  },
});
