import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { EventSystem } from "../../src/index.js";
import { makeCertificates } from "../support/certificates.js";
import { Gateway } from "../support/gateway.js";
import { freePort } from "../support/server.js";
import { fails, failure, gate, until } from "../support/waiting.js";
import { silent, type World } from "../support/world.js";

/** What only a gateway can show: that it dies, comes back, and is somebody else. */
export function gatewayTests(world: World, gateway: Gateway): void {
  test("a gateway that is killed and comes back: calls end typed, succeed again within 5 s, and the gap is told", async () => {
    const [a, b] = [world.system(), world.system()];
    const gaps: [Date, Date, string][] = [];
    const held = gate();
    let begun = 0;
    const slow = (data: unknown) => {
      begun += 1;
      return held.opened.then(() => data);
    };
    await b.subscribe("link.calls", slow).ready();
    await a.subscribe("link.events", () => undefined, { onGap: (...gap) => gaps.push(gap) }).ready();
    const before = a.instance;
    const call = fails(a.publishAndWait("link.calls", 1), "UNAVAILABLE");
    const again = a.publishAndWait("link.calls", 2, { idempotent: true });
    await until(() => begun === 2, "both have begun");
    await gateway.stop();
    assert.equal((await call).outcome, "MAY_HAVE_RUN");
    await until(() => !a.connected && !b.connected, "both know");
    held.open();
    assert.equal((await fails(a.publishAndWait("link.calls", 1), "UNAVAILABLE")).outcome, "NOT_DELIVERED");
    await fails(a.publish("link.events"), "UNAVAILABLE");
    const patient = a.publishAndWait("link.calls", 3, { waitForConnection: 25_000 });
    await gateway.start();
    const back = Date.now();
    assert.equal(await again, 2);
    assert.equal(await patient, 3);
    assert.equal(await a.publishAndWait("link.calls", 4), 4);
    assert.ok(Date.now() - back < 5000);
    assert.equal(gaps.length, 1);
    assert.notEqual(a.instance, before);
    const sources: string[] = [];
    await b.subscribe("link.source", (_, event) => void sources.push(event.source)).ready();
    await a.publish("link.source");
    await until(() => sources.length === 1, "an event of the new instance");
    assert.ok(sources[0]?.endsWith(`/${a.instance}`));
  });

  test("TLS and tokens", async () => {
    const pem = makeCertificates();
    const token = "a-token-of-twenty-five-chars";
    writeFileSync(join(pem, "token"), token, { mode: 0o600 });
    const [cert, key, file] = ["server.pem", "server.key", "token"].map((name) => join(pem, name)) as [
      string,
      string,
      string,
    ];
    const door = await Gateway.start(["--tls-cert", cert, "--tls-key", key, "--token-file", file]);
    const url = (secret: string) => `grpcs://:${secret}@localhost:${door.port}?ca=${join(pem, "authority.pem")}`;
    try {
      const byFile = `grpcs://localhost:${door.port}?ca=${join(pem, "authority.pem")}&token_file=${file}`;
      const [a, b] = [world.system({ url: url(token) }), world.system({ url: byFile })];
      await b.subscribe("secure.echo", (data) => data).ready();
      assert.equal(await a.publishAndWait("secure.echo", 1), 1);
      const wrong = await failure(new EventSystem({ url: url("wrong"), logger: silent }).start());
      assert.equal(wrong.code, "UNAUTHENTICATED");
    } finally {
      await world.clean();
      await door.stop();
    }
  });

  test("what is wrong with TLS is told with what to write instead", async () => {
    const pem = makeCertificates();
    const file = (name: string) => join(pem, name);
    const reason = async (url: string) => (await failure(new EventSystem({ url, logger: silent }).start())).message;
    const ca = `?ca=${file("authority.pem")}`;
    const [door, other, open, web] = await Promise.all([
      Gateway.start(["--tls-cert", file("server.pem"), "--tls-key", file("server.key")]),
      Gateway.start(["--tls-cert", file("other.pem"), "--tls-key", file("other.key")]),
      Gateway.start(),
      listening(createServer((_, answer) => answer.end())),
    ]);
    try {
      assert.match(await reason(`grpc://localhost:${door.port}`), /; if it serves with TLS, use grpcs:\/\/$/);
      const untrusted = await reason(`grpcs://localhost:${door.port}`);
      assert.match(untrusted, /\); its certificate is not trusted here: give its authority as \?ca=FILE$/);
      const misnamed = await reason(`grpcs://localhost:${other.port}${ca}`);
      assert.match(misnamed, /\); its certificate is for other names: put one of them into the URL$/);
      const plain = await reason(`grpcs://localhost:${open.port}${ca}`);
      assert.match(plain, /\(TLS: wrong version number\); it serves without TLS: use grpc:\/\/$/);
      assert.match(await reason(`grpc://localhost:${web.port}`), /\); that is a port for HTTP: `tieline up` says/);
      for (const told of [untrusted, misnamed]) assert.doesNotMatch(told, /\n|Resolution note|Last error/);
    } finally {
      await Promise.all([door.stop(), other.stop(), open.stop()]);
      web.server.close();
    }
  });

  test("an address where no gateway is, and one that is none", async () => {
    const refused = (url: string) => failure(new EventSystem({ url, logger: silent }).start());
    const nobody = await refused(`grpc://127.0.0.1:${await freePort()}`);
    assert.ok(nobody.code === "UNAVAILABLE" && nobody.message.includes("127.0.0.1"), nobody.message);
    assert.equal((await refused("grpcs://127.0.0.1:1?ca=/no/such/file")).code, "INVALID_ARGUMENT");
  });
}

/** A server on a port of its own. */
async function listening(server: Server): Promise<{ server: Server; port: number }> {
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return { server, port: (server.address() as AddressInfo).port };
}
