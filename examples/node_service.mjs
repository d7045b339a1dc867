// A service in Node.
//
// TIELINE_URL=redis://localhost node examples/node_service.mjs

import { EventSystem } from "tieline";

const events = new EventSystem({ service: "assistant" });

// Answers requests: what it returns is the reply.
events.subscribe("ai.request", async ({ query }) => ({ answer: query.toUpperCase() }));

// Hears events: of all replicas in the group, one gets each.
events.subscribe(
  "user.*",
  async (user, event) => {
    console.log(`${event.topic}: ${user.id}`);
  },
  { group: "assistant" },
);

await events.serve();
