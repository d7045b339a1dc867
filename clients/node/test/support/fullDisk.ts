// A process whose files may not grow beyond a limit; argv[2] is the file of its outbox. It says what becomes of its events.
import { statSync } from "node:fs";
import type { Draft } from "../../src/durable/mail.js";
import { TielineError } from "../../src/index.js";
import type { Log } from "../../src/log.js";
import { OutboxFile } from "../../src/outbox/file.js";

const quiet = () => undefined;
const log: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const path = process.argv[2] ?? "";
const file = new OutboxFile(path, log);
const draft = (size: number): Draft => {
  return { key: "k", priority: 5, knownAs: "id", window: 1, envelope: Buffer.alloc(size) };
};

let [kept, size] = [0, 0];
try {
  for (; kept < 100; kept++) {
    await file.put("t", [draft(100_000)]);
    size = statSync(path).size;
  }
} catch (error) {
  if (!(error instanceof TielineError)) throw error;
  console.log("refused", error.code, error.outcome);
}
console.log("kept", kept, (await file.figures()).events === kept, statSync(path).size === size);
await file.put("t", [draft(10)]);
console.log("small");
const page = [];
for (let after = 0; page.length <= kept; after = page.at(-1)?.number ?? 0) page.push(...(await file.page(after)));
console.log("read", page.length === kept + 1);
file.remove(page);
await file.put("t", [draft(200_000)]);
console.log("after", (await file.figures()).events);
await file.close();
console.log("reopened", (await file.figures()).events);
await file.close();
