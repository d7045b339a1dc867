// A program in Node that publishes an event and calls two services, whatever they are written in.
//
// TIELINE_URL=redis://localhost node examples/node_client.mjs

import { EventSystem, NoRespondersError, TielineError } from "tieline";

const events = new EventSystem();

const total = await events.publishAndWait("calculate.sum", [1, 2, 3, 4, 5], { waitForResponders: 10_000 });
console.log(`calculate.sum: ${total}`);

const question = { query: "tie line" };
const { answer } = await events.publishAndWait("ai.request", question, { ttl: 15_000, waitForResponders: 10_000 });
console.log(`ai.request: ${answer}`);

await events.publish("user.created", { id: 123 });

try {
  await events.publishAndWait("nobody.home");
} catch (error) {
  if (!(error instanceof NoRespondersError)) throw error;
  console.log(`nobody.home: ${error.code}, ${error.outcome}`);
}

try {
  await events.publishAndWait("calculate.sum", ["one", "two"]);
} catch (error) {
  if (!(error instanceof TielineError)) throw error;
  console.log(`calculate.sum: ${error.code}, ${error.outcome}`);
}

await events.close();
