// A caller in Node: `node_caller.mjs URL LANGUAGE` calls the three topics of a responder and prints what it gets.
// The last call takes long: SIGTERM makes it give up. Another SIGTERM ends it.
import { EventSystem } from "../../clients/node/dist/index.js";

const [url, language] = process.argv.slice(2);
const events = new EventSystem(url, { service: "caller" });
const gaveUp = new AbortController();
const awake = setInterval(() => undefined, 60_000); // to wait for a signal keeps no program alive
const told = () => new Promise((resolve) => process.once("SIGTERM", resolve));
console.log("READY");

console.log("SUM", JSON.stringify(await events.publishAndWait(`${language}.sum`, [1, 2, 3])));

await events.publishAndWait(`${language}.fail`, { item: "lamp" }).catch(({ code, type, outcome, message, details }) => {
  console.log("FAIL", JSON.stringify({ code, type, outcome, message, details }));
});

await events.publishAndWait(`${language}.slow`, 40, { ttl: 2_000 }).catch(({ code, outcome }) => {
  console.log("TIMEOUT", JSON.stringify({ code, outcome }));
});

told().then(() => gaveUp.abort());
await events.publishAndWait(`${language}.slow`, 50, { signal: gaveUp.signal }).catch(({ code }) => {
  console.log("GAVE UP", code);
});
await told();

clearInterval(awake);
await events.close();
