import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { EventSystem, type TielineError } from "../../src/index.js";
import { sleep, until } from "../support/waiting.js";
import { silent } from "../support/world.js";

const INDEX = fileURLToPath(new URL("../../src/index.js", import.meta.url));

function run(program: string): { status: number | null; stdout: string; stderr: string } {
  const script = `import { EventSystem, publishEvent, publishEventAndWait } from ${JSON.stringify(INDEX)};\n${program}`;
  const env = { PATH: process.env.PATH ?? "" };
  return spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8", env, timeout: 60_000 });
}

test("a publish that nobody awaits never ends the process; its failure goes to the log", () => {
  const { status, stdout, stderr } = run(`
    publishEvent("not a topic", 1);
    setTimeout(() => console.log("alive"), 100);
  `);
  assert.deepStrictEqual([status, stdout], [0, "alive\n"]);
  assert.match(stderr, /publish on "not a topic" failed/);
});

test("awaited, it rejects as usual, and is not reported a second time", async () => {
  const reported: unknown[] = [];
  const events = new EventSystem({ url: "memory://", onError: (error) => reported.push(error), logger: silent });
  await assert.rejects(events.publish("not a topic"), { code: "INVALID_TOPIC" });
  await assert.rejects(
    events.publish("not a topic").then(() => 1),
    { code: "INVALID_TOPIC" },
  );
  assert.equal(await events.publish("not a topic").catch((error: TielineError) => error.code), "INVALID_TOPIC");
  await sleep(30);
  assert.deepStrictEqual(reported, []);
  events.publish("not a topic");
  await until(() => reported.length > 0, "it is reported");
  assert.equal((reported as TielineError[])[0]?.code, "INVALID_TOPIC");
  await events.close();
});

test("a program in one process ends by itself when its work is done", () => {
  const { status, stdout, stderr } = run(`
    const events = new EventSystem("memory://");
    events.subscribe("a.b", (n) => new Promise((resolve) => setTimeout(resolve, 50, n + 1)));
    console.log(await events.publishAndWait("a.b", 1), (await events.publish("a.b", 1)).id.length);
  `);
  assert.deepStrictEqual([status, stdout, stderr], [0, "2 36\n", ""]);
});

test("await using closes the system; the environment chooses the broker and the service", () => {
  const { stdout, stderr } = run(`
    process.env.TIELINE_URL = "memory://";
    process.env.TIELINE_SERVICE = "my shop";
    let closed;
    {
      const events = new EventSystem();
      await events.subscribe("who.am.i", (_, event) => event.source.split("/")[0]).ready();
      console.log(await events.publishAndWait("who.am.i"));
      await events[Symbol.asyncDispose]();
      closed = events.closed;
    }
    process.env.TIELINE_URL = "";
    process.env.REDIS_URL = "redis://127.0.0.1:1";
    console.log(closed, await publishEventAndWait("a.b").catch((error) => error.code));
  `);
  assert.deepStrictEqual([stdout, stderr], ["my-shop\ntrue UNAVAILABLE\n", ""]);
});
