// Says which of the options on standard input, a JSON list of [what, option], the Node client does not have.
import { EventSystem, idempotencyStore, TielineError } from "tieline";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const events = new EventSystem("memory://", { service: "options", logger: quiet });
const done = () => {};
const asked = {
  EventSystem: (given) => new EventSystem({ url: "memory://", logger: quiet, ...given }),
  Settings: (settings) => new EventSystem({ url: "memory://", logger: quiet, settings }),
  RetryPolicy: (retry) => events.subscribe("a.b", done, { durable: true, retry }),
  subscribe: (given) => events.subscribe("a.b", done, given),
  idempotencyStore: (given) => idempotencyStore("memory://", given),
  publish: (given) => events.publish("a.b", null, given),
  publishAndWait: (given) => events.publishAndWait("a.c", null, given),
};

function has(path) {
  const found = path.split(".").slice(1).reduce((value, name) => value?.[name], events);
  return typeof found === "function";
}

/** An option that is not known is refused by name also without a value. */
async function knows(what, option) {
  if (what.startsWith("events.")) return has(what);
  if (asked[what] === undefined) return false;
  try {
    await asked[what]({ [option]: undefined });
  } catch (error) {
    if (!(error instanceof TielineError)) throw error;
    return !error.message.includes(`not know ${option};`);
  }
  return true;
}

let text = "";
for await (const chunk of process.stdin) text += chunk;
const missing = [];
for (const [what, option] of JSON.parse(text)) if (!(await knows(what, option))) missing.push([what, option]);
console.log(JSON.stringify(missing));
await events.close();
process.exit();
