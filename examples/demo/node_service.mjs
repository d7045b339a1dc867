// The Node half of the demo. Where it connects to is in TIELINE_URL.

import { EventSystem } from "tieline";

// A lease is shorter than usual, so that nobody waits for 15 s when this process is killed.
const events = new EventSystem({ service: "node", settings: { lease: 1_000, leaseRefresh: 300 } });

// Answers a request.
events.subscribe("ai.request", async ({ query }) => ({ answer: `${query.length} letters` }));

// Raises; the caller gets the error's type and message.
events.subscribe("stock.reserve", async ({ item }) => {
  throw new RangeError(`no ${item} left`);
});

// Hears an event, and says so with another.
events.subscribe("news.flash", async (headline) => {
  await events.publish("news.heard", { by: "Node", headline });
});

// Calls Python as often as it is told to, and says what came back and how long each call took.
events.subscribe("node.asks", async ({ topic, data, times }) => {
  const milliseconds = [];
  let answer;
  for (let count = 0; count < times; count++) {
    const begun = performance.now();
    answer = await events.publishAndWait(topic, data, { ttl: 5_000 });
    milliseconds.push(performance.now() - begun);
  }
  return { answer, milliseconds };
});

// Handles stored events, those of a card in their order, and says so.
const comment = async (number, event) => {
  await new Promise((resolve) => setTimeout(resolve, 60)); // what takes a while is claimed no earlier than it is handled, and so shared
  await events.publish("comment.handled", { by: "Node", card: event.key, number });
};
events.subscribe("comment.added", comment, { durable: true });

await events.start();
process.stdout.write("READY\n");
await events.serve();
