import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { EventSystem } from "../../src/index.js";
import { CLIENT } from "../../src/version.js";
import { RedisServer } from "../support/server.js";
import { until } from "../support/waiting.js";

const MAIN = fileURLToPath(new URL("../../src/main.js", import.meta.url));
const INDEX = new URL("../../src/index.js", import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), "tieline-command-"));
after(() => rmSync(folder, { recursive: true }));

/** `tieline` with these words, in a folder of its own, and what it said. */
class Command {
  stdout = "";
  stderr = "";
  readonly process: ChildProcess;
  readonly code: Promise<number | null>;

  constructor(words: string[], environment: Record<string, string> = {}) {
    const env = { PATH: process.env.PATH ?? "", ...environment };
    const stdio = ["ignore", "pipe", "pipe"] as const;
    const child = spawn(process.execPath, [MAIN, ...words], { cwd: folder, env, stdio: [...stdio], timeout: 60_000 });
    child.stdout.on("data", (data) => {
      this.stdout += data;
    });
    child.stderr.on("data", (data) => {
      this.stderr += data;
    });
    this.process = child;
    this.code = new Promise((resolve) => child.once("close", resolve));
  }
}

function module(name: string, program: string): void {
  writeFileSync(
    join(folder, name),
    `import { EventSystem, getEventSystem } from ${JSON.stringify(INDEX)};\n${program}`,
  );
}

test("a module is served until SIGTERM, and finishes what it runs", async () => {
  const redis = await RedisServer.start();
  const caller = new EventSystem(redis.url);
  try {
    module(
      "orders.mjs",
      `export const events = getEventSystem();
       events.subscribe("order.slow", async (_, event) => {
         console.log("started");
         await new Promise((resolve) => setTimeout(resolve, 500));
         return event.topic;
       });
       events.subscribe("order.quick", () => undefined);
       setInterval(() => undefined, 1000); // does not keep it`,
    );
    const command = new Command(["run", "./orders.mjs"], { REDIS_URL: redis.url });
    const reply = caller.publishAndWait("order.slow", 1, { waitForResponders: 20_000 });
    await until(() => /started/.test(command.stdout) && /serves/.test(command.stdout), "the handler runs");
    command.process.kill("SIGTERM");
    assert.equal(await reply, "order.slow");
    const stopping = "tieline: stopping; 1 under way have up to 10000 ms; signal again to stop now\n";
    assert.deepStrictEqual([await command.code, command.stderr], [0, stopping]);
    assert.match(command.stdout, /^tieline: orders\/[0-9a-f]{16} serves order\.quick, order\.slow$/m);
  } finally {
    await caller.close();
    await redis.stop();
  }
});

test("a signal that comes twice at once is one stop; a later one ends it", async () => {
  const redis = await RedisServer.start();
  const caller = new EventSystem(redis.url);
  try {
    module(
      "twice.mjs",
      `export const events = getEventSystem();
       events.subscribe("order.slow", async (ms) => {
         console.log("started");
         await new Promise((resolve) => setTimeout(resolve, ms));
         console.log("done");
       });`,
    );
    for (const pause of [0, 700]) {
      const command = new Command(["run", "./twice.mjs"], { REDIS_URL: redis.url });
      await until(() => /serves/.test(command.stdout), "it serves");
      await caller.publish("order.slow", pause === 0 ? 1000 : 60_000);
      await until(() => /started/.test(command.stdout), "the handler runs");
      command.process.kill("SIGTERM");
      await until(() => /stopping; 1 under way/.test(command.stderr), "it was told");
      await new Promise((resolve) => setTimeout(resolve, pause));
      command.process.kill("SIGTERM");
      assert.equal(await command.code, pause === 0 ? 0 : null);
      assert.equal(/done/.test(command.stdout), pause === 0);
    }
  } finally {
    await caller.close();
    await redis.stop();
  }
});

test("it serves what is exported as events, app or default, by the name given, or the default system", async () => {
  const cases: [string, string][] = [
    ["events", "export const events = system; export const app = other;"],
    ["app", "export const app = system;"],
    ["default", "export default system;"],
    ["named:bus", "export const bus = system; export const events = other;"],
    ["none", 'getEventSystem().subscribe("the.topic", () => 1);'],
  ];
  const commands = cases.map(([target, exported]) => {
    const [name] = target.split(":");
    const systems = `
      const system = new EventSystem("memory://");
      system.subscribe("the.topic", () => 1);
      const other = new EventSystem("memory://");`;
    module(`${name}.mjs`, `${systems}\n${exported}`);
    return new Command(["run", target.replace(/^\w+/, "$&.mjs")]);
  });
  for (const command of commands) {
    await until(() => command.stdout.includes("serves the.topic"), "it serves");
    command.process.kill("SIGINT");
    assert.equal(await command.code, 0, command.stderr);
  }
});

test("a module that has served itself is done", async () => {
  module(
    "itself.mjs",
    `export const events = new EventSystem("memory://");
     const over = events.serve();
     await events.start();
     setTimeout(() => process.kill(process.pid, "SIGTERM"), 50);
     await over;`,
  );
  const command = new Command(["run", "itself.mjs"]);
  assert.deepStrictEqual([await command.code, command.stdout, command.stderr], [0, "", ""]);
});

test("what cannot be served is told, with the exit code", async () => {
  module("empty.mjs", "export const events = 1;");
  module("away.mjs", 'export const events = new EventSystem("redis://127.0.0.1:1");');
  module("broken.mjs", 'throw new Error("broken inside");');
  const cases: [string[], number, RegExp][] = [
    [["run", "."], 2, /^tieline: INVALID_ARGUMENT: "." is a folder; give the module in it: .\/orders.js\n$/],
    [["run", "nowhere.mjs"], 2, /^tieline: INVALID_ARGUMENT: there is no module "nowhere.mjs" here/],
    [
      ["run", "empty.mjs"],
      2,
      /^tieline: INVALID_ARGUMENT: module "empty.mjs" exports no EventSystem named events, app, def/,
    ],
    [["run", "empty.mjs:bus"], 2, /exports no EventSystem named bus$/m],
    [["run", "away.mjs"], 6, /^tieline: UNAVAILABLE: .*127\.0\.0\.1:1/],
    [["run", "broken.mjs"], 1, /broken inside/],
    [["run"], 2, /^usage: /],
    [["walk", "empty.mjs"], 2, /^usage: /],
    [[], 2, /^usage: /],
  ];
  const commands = cases.map(([words]) => new Command(words));
  for (const [at, command] of commands.entries()) {
    const [words, code, said] = cases[at] as (typeof cases)[number];
    assert.equal(await command.code, code, words.join(" "));
    assert.match(command.stderr, said);
    assert.equal(command.stdout, "");
  }
  const help = new Command(["--help"]);
  assert.equal(await help.code, 0);
  assert.match(help.stdout, /^usage: tieline run/);
  const version = new Command(["--version"]);
  assert.deepStrictEqual([await version.code, version.stdout], [0, `tieline ${CLIENT.replace("node/", "")}\n`]);
});
