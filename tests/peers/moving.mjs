// A Node service for `tests/gateway/test_rolling_restart.py`: `moving.mjs '{"url": …, "topic": …, "name": …}'`. It answers
// the topic, and calls it at a steady pace until it is asked how it fared.
import { setTimeout as sleep } from "node:timers/promises";
import { EventSystem } from "tieline";

const { url, topic, name } = JSON.parse(process.argv[2]);
const options = { service: name, settings: { drain: 100, reconnectMin: 20, reconnectMax: 200 } };
const [answering, calling] = [new EventSystem(url, options), new EventSystem(url, options)];
const calls = [];
const wrong = [];

async function echo(number) {
  await sleep(number % 100 === 0 ? 300 : 1);
  return number;
}

async function call(number) {
  try {
    const answer = await calling.publishAndWait(topic, number, { ttl: 30_000 });
    if (answer !== number) wrong.push(`${number} was answered with ${answer}`);
  } catch (error) {
    wrong.push(`${error}`);
  }
}

await answering.subscribe(topic, echo).ready();
await calling
  .subscribe(`${topic}.${name}`, async () => {
    clearInterval(load);
    await Promise.all(calls);
    return { made: calls.length, wrong };
  })
  .ready();
console.log("READY");
await sleep(200); // the other services come
const load = setInterval(() => {
  for (let some = 0; some < 5; some++) calls.push(call(calls.length));
}, 20);
await calling.serve();
