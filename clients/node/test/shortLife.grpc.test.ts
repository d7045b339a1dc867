import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { EventSystem } from "../src/index.js";
import { makeCertificates } from "./support/certificates.js";
import { Gateway } from "./support/gateway.js";
import { sleep, until } from "./support/waiting.js";
import { silent } from "./support/world.js";

const gateway = await Gateway.start();
const pem = makeCertificates();
const secure = await Gateway.start(["--tls-cert", join(pem, "server.pem"), "--tls-key", join(pem, "server.key")]);
const secureUrl = `grpcs://localhost:${secure.port}?ca=${join(pem, "authority.pem")}`;
const system = new EventSystem({ url: gateway.url, logger: silent });
const TIELINE = JSON.stringify(new URL("../src/index.js", import.meta.url).href);
const ENV = { TIELINE_URL: gateway.url };

function running(program: string): string[] {
  return ["--input-type=module", "-e", program];
}

after(async () => {
  await system.close(0);
  await Promise.all([gateway.stop(), secure.stop()]);
});

test("a program that only publishes and calls ends by itself", async () => {
  const got: unknown[] = [];
  await system.subscribe("short.life", (data) => void got.push(data)).ready();
  const program = `
    import { publishEvent, publishEventAndWait } from ${TIELINE};
    console.log(await publishEventAndWait("short.life", 1));
    publishEvent("short.life", 2);
  `;
  const { stdout } = await promisify(execFile)(process.execPath, running(program), { env: ENV, timeout: 60_000 });
  assert.equal(stdout, "null\n");
  await until(() => got.length === 2, "the call and the event");
});

test("one over TLS does, too, though it did not wait for what it published", async () => {
  const program = `
    import { publishEvent } from ${TIELINE};
    publishEvent("short.life", 1).then(() => console.log("published"));
  `;
  const env = { TIELINE_URL: secureUrl };
  const { stdout } = await promisify(execFile)(process.execPath, running(program), { env, timeout: 60_000 });
  assert.equal(stdout, "published\n");
});

test("a program that serves stays, until nothing is subscribed any more", async () => {
  const program = `
    import { getEventSystem } from ${TIELINE};
    const subscription = getEventSystem().subscribe("long.life", () => {
      setImmediate(() => subscription.unsubscribe());
      return "here";
    });
    await subscription.ready();
    console.log("ready");
  `;
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(process.execPath, running(program), { env: ENV, stdio: [...stdio], timeout: 60_000 });
  const ended = once(child, "exit");
  await Promise.race([once(child.stdout as Readable, "data"), ended]);
  await sleep(3_000); // longer than from one ping to the next
  assert.equal(child.exitCode, null);
  assert.equal(await system.publishAndWait("long.life"), "here");
  assert.deepEqual(await ended, [0, null]);
});
