// A Node service for `tests/test_languages.py`: `languages.mjs '{"url": …}'`. It answers node.* and calls whom it is told to.
import { EventSystem, idempotencyStore, TielineError } from "tieline";

const { url } = JSON.parse(process.argv[2]);
const events = new EventSystem(url, { service: "node-peer" });
let yielded = 0;
let runs = 0;

/** Counts, and says how it fared. */
async function* count({ end, fail = false }, event) {
  event.signal.addEventListener("abort", () => console.log(`ABORTED ${event.signal.reason.code}`));
  try {
    for (let number = 0; number < end; number++) {
      yielded = number + 1;
      yield number;
    }
    if (fail) throw new RangeError("no more");
  } finally {
    console.log(`CLOSED ${yielded}`);
  }
}

/** Reads a stream, up to `stop` items; what came, and the error it ended with. */
async function read({ topic, data, stop = Infinity, options = {} }) {
  const items = [];
  try {
    for await (const item of events.publishAndStream(topic, data, options)) if (items.push(item) >= stop) break;
  } catch (error) {
    return { items, error: told(error) };
  }
  return { items };
}

/** Asks everybody. */
async function gather({ topic, data, options = {} }) {
  const { replies, errors, missing } = await events.publishAndGather(topic, data, options);
  const named = ({ responder, error }) => ({ responder, error: told(error) });
  return { replies, errors: errors.map(named), missing: missing.map(named) };
}

/** Calls plainly. */
async function call({ topic, data, options = {} }) {
  try {
    return { value: await events.publishAndWait(topic, data, options) };
  } catch (error) {
    return { error: told(error) };
  }
}

function told(error) {
  if (!(error instanceof TielineError)) throw error;
  const { code, message, type, outcome, details } = error;
  return { code, message, type, outcome, details };
}

/** What is there for versions: it lifts a name to a first and a last one. */
const versioned = {
  schemaVersion: "2",
  upcasters: [["1", "2", ({ name }) => ({ first: name.split(" ")[0], last: name.split(" ")[1] })]],
  inputSchema: { type: "object", properties: { first: { type: "string" }, last: { type: "string" } } },
  outputSchema: { type: "string" },
};

/** Who is there; what is not said is left out. */
async function services() {
  return JSON.parse(JSON.stringify(await events.services()));
}

/** Handles durable events, and remembers them. */
const handled = [];
const handle = (data, { key, delivery }) => {
  handled.push([key, data, delivery.attempt]);
  if (data.fail > delivery.attempt) throw new RangeError("not yet");
  if (data.reject) delivery.reject(data.reject);
};
const retry = { backoff: 10, cap: 10 };

/** Asks a store what was handled, as a consumer would. */
const stores = new Map();
function asked({ url, what, handling, owner }) {
  if (!stores.has(url)) stores.set(url, idempotencyStore(url, { namespace: "shop" }));
  return stores.get(url)[what](handling, owner, 60_000);
}

const subscriptions = [
  events.subscribe("node.count", count),
  events.subscribe("node.yielded", () => yielded),
  events.subscribe("node.read", read),
  events.subscribe("node.call", call),
  events.subscribe("node.gather", gather),
  events.subscribe("node.explain", async (correlationId) => {
    const { steps, missing } = await events.explain(correlationId);
    return { steps: steps.map(({ source, name, detail }) => ({ source, name, detail })), missing };
  }),
  events.subscribe("node.work", (data) => ({ run: ++runs, data })),
  events.subscribe("node.services", services),
  events.subscribe("node.greet", ({ first, last }) => `${last}, ${first}`, { ...versioned, name: "greet" }),
  events.subscribe("both.who", () => "node"),
  events.subscribe("both.group", () => "node", { group: "shared" }),
  events.subscribe("stored.node", handle, { durable: true, retry }),
  events.subscribe("stored.both", handle, { durable: true, retry }),
  events.subscribe("node.handled", () => handled.splice(0)),
  events.subscribe("node.once", async (question) => (await asked(question)) ?? null),
  events.subscribe("node.store", async ({ topic, data, options }) => {
    const { stored } = await events.publish(topic, data, options);
    return stored;
  }),
];
await Promise.all(subscriptions.map((subscription) => subscription.ready()));
console.log("READY");
await events.serve();
