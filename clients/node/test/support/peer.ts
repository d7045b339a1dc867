// A service in a process of its own; argv[2] is the broker's URL, argv[3] its settings. It tells its parent what it does.
import { EventSystem } from "../../src/index.js";

const [url = "", options = "{}"] = process.argv.slice(2);
const events = new EventSystem(url, { service: "peer", ...JSON.parse(options) });

function tell(what: string): void {
  process.send?.(what);
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const subscriptions = [
  events.subscribe("peer.echo", (data) => data),
  events.subscribe("peer.pid", () => process.pid),
  events.subscribe<number>("peer.slow", async (ms, event) => {
    tell("started");
    event.signal.addEventListener("abort", () => tell(`aborted ${event.signal.reason.code}`));
    await sleep(ms);
    tell("finished");
    return process.pid;
  }),
  events.subscribe<number>("peer.stream", async function* stream(pause) {
    try {
      for (let number = 0; ; number++) {
        yield number;
        await sleep(pause);
      }
    } finally {
      tell("closed");
    }
  }),
  events.subscribe("peer.event", () => tell("event"), { group: "peers" }),
];

process.on("message", async (message) => {
  if (message === "close") await events.close();
  if (message === "unsubscribe") await Promise.all(subscriptions.map((subscription) => subscription.unsubscribe()));
  tell(`${String(message)} done`);
  if (message === "close") process.disconnect();
});

await Promise.all(subscriptions.map((subscription) => subscription.ready()));
tell("ready");
