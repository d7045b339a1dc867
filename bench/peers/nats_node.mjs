// nats.js: request and respond, JSON payloads.
import { connect } from "@nats-io/transport-node";
import { PAYLOAD, play, TOPIC } from "./load.mjs";

const open = (url) => connect({ servers: url.replace("nats://", "") });

await play({
  async serve(url) {
    const connection = await open(url);
    connection.subscribe(TOPIC, { callback: (_, message) => message.respond(JSON.stringify(message.json())) });
    await connection.flush();
  },
  async connect(url) {
    const connection = await open(url);
    return {
      call: async () => (await connection.request(TOPIC, JSON.stringify(PAYLOAD), { timeout: 30_000 })).json(),
      close: () => connection.close(),
    };
  },
});
