import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { inboxChannel } from "../../src/contract/contract.js";
import { newEnvelope, REPLY, serializeFrame } from "../../src/envelope.js";
import { newCallId } from "../../src/identity.js";
import { EventSystem, TielineError } from "../../src/index.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { RedisTransport } from "../../src/transports/redis.js";
import { makeCertificates } from "../support/certificates.js";
import { RedisServer } from "../support/server.js";
import { fails, failure, gate, sleep, timed, until } from "../support/waiting.js";
import { silent, type World } from "../support/world.js";

/** What only a Redis can show: monitors, forged replies, restarts, refused logins. */
export function brokerTests(world: World, redis: RedisServer): void {
  test("no responders is told at once with a monitor of all channels attached", async () => {
    const monitor = connect(redis.port, "127.0.0.1", () => monitor.write("PSUBSCRIBE *\r\n"));
    await once(monitor, "data");
    const a = world.system({ settings: { respondersGrace: 60_000 } });
    await a.start();
    const [, ms] = await timed(fails(a.publishAndWait("no.body.there"), "NO_RESPONDERS"));
    monitor.destroy();
    assert.ok(ms < 10_000, `${ms} ms`);
  });

  test("late, duplicate, unknown and forged replies and garbage change nothing", async () => {
    const [a, b] = [world.system(), world.system()];
    const ids: Buffer[] = [];
    const held = gate();
    await b
      .subscribe("forge.me", (data, event) => {
        ids.push(event.envelope.callId);
        return data === "second" ? held.opened.then(() => data) : data;
      })
      .ready();
    assert.equal(await a.publishAndWait("forge.me", "first"), "first");
    const forged = newEnvelope(REPLY);
    const call = a.publishAndWait("forge.me", "second");
    for (const callId of [ids[0] ?? newCallId(), newCallId(), Buffer.alloc(0)]) {
      forged.callId = callId;
      await send(redis, inboxChannel("tl:", a.instance), serializeFrame(forged));
    }
    await send(redis, inboxChannel("tl:", a.instance), Buffer.from("this is no envelope"));
    await send(redis, "tl:ev:forge.me", Buffer.from([0xff, 0xff]));
    held.open();
    assert.equal(await call, "second");
    assert.equal(await a.publishAndWait("forge.me", "third"), "third");
  });

  test("scripts that the server forgot are sent again", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("forgotten.script", (data) => data, { group: "g" }).ready();
    await a.start();
    await command(redis, "SCRIPT FLUSH");
    assert.equal(await a.publishAndWait("forgotten.script", 1), 1);
    await command(redis, "SCRIPT FLUSH");
    await a.publish("forgotten.script", 1);
  });

  test("a Redis that is killed and comes back: calls end typed, succeed again within 5 s, and the gap is told", async () => {
    const settings = { settings: { lease: 2000, leaseRefresh: 500 } };
    const [a, b] = [world.system(settings), world.system(settings)];
    const gaps: [Date, Date, string][] = [];
    await b.subscribe("storm.calls", (data) => sleep(5).then(() => data)).ready();
    await a.subscribe("storm.events", () => undefined, { onGap: (...gap) => gaps.push(gap) }).ready();
    const load = new Load(a);
    await until(() => load.lastSuccess > 0, "calls succeed");
    await redis.kill();
    await sleep(1000);
    await redis.start();
    const restarted = Date.now();
    await until(() => load.lastSuccess > restarted, "calls succeed again", 5000);
    await load.stop();
    for (const error of load.errors) {
      assert.ok(error instanceof TielineError, String(error));
      assert.ok(["UNAVAILABLE", "NO_RESPONDERS", "TIMEOUT", "RESPONDER_LOST"].includes(error.code), error.code);
    }
    assert.ok(load.errors.length > 0 && load.slowest < 5000, `${load.slowest} ms`);
    assert.equal(gaps.length, 1);
    const [since, until_, reason] = gaps[0] ?? [];
    assert.ok(since && since.getTime() < restarted && until_ && until_ > since && reason);
  });

  test("while Redis is away: calls fail at once, or wait where they may; idempotent ones are sent again", async () => {
    const [a, b] = [world.system(), world.system()];
    const held = gate();
    let begun = 0;
    const slow = () => {
      begun += 1;
      return held.opened.then(() => "done");
    };
    await b.subscribe("away.calls", slow).ready();
    await a.start();
    const idempotent = a.publishAndWait("away.calls", 1, { idempotent: true });
    const broken = fails(a.publishAndWait("away.calls", 1), "UNAVAILABLE");
    await until(() => begun === 2, "both have begun");
    await redis.kill();
    assert.equal((await broken).outcome, "MAY_HAVE_RUN");
    await until(() => !a.connected, "the system knows");
    held.open();
    const [error, ms] = await timed(fails(a.publishAndWait("away.calls", 1), "UNAVAILABLE"));
    assert.deepStrictEqual([error.outcome, error.retryable], ["NOT_DELIVERED", true]);
    assert.ok(ms < 2000, `${ms} ms`);
    await fails(a.publish("away.events"), "UNAVAILABLE");
    await fails(a.publishAndWait("away.calls", 1, { waitForConnection: 100 }), "UNAVAILABLE");
    const patient = a.publishAndWait("away.calls", 1, { waitForConnection: 25_000 });
    const event = a.publish("away.events", 1, { waitForConnection: 25_000 });
    await redis.start();
    assert.equal(await patient, "done");
    assert.equal(await idempotent, "done");
    assert.ok((await event).id);
  });

  test("a reply whose responder lost its link is sent when it is back", async () => {
    const [a, b] = [world.system(), world.system()];
    let begun = false;
    let whileDown = false;
    await b
      .subscribe("link.cut", async () => {
        begun = true;
        while (b.connected) await new Promise(setImmediate);
        whileDown = true;
        return "kept";
      })
      .ready();
    const call = a.publishAndWait("link.cut");
    await until(() => begun, "the call has begun");
    await killLink(redis, b.instance);
    assert.equal(await call, "kept");
    assert.ok(whileDown);
  });

  test("two systems on different databases and namespaces do not hear each other", async () => {
    const got: unknown[] = [];
    const [a, b, c] = [world.system(), world.system({ url: `${redis.url}/1` }), world.system({ namespace: "other" })];
    for (const system of [b, c]) await system.subscribe("apart.topic", (data) => void got.push(data)).ready();
    await a.publish("apart.topic", 1);
    await fails(a.publishAndWait("apart.topic", 1), "NO_RESPONDERS");
    await sleep(50);
    assert.deepStrictEqual(got, []);
  });

  test("a server that does not let replies be spared is used without that", async () => {
    const strict = await RedisServer.start("--user default on nopass ~* &* +@all -client|reply".split(" "));
    try {
      const [a, b] = [world.system({ url: strict.url }), world.system({ url: strict.url })];
      await b.subscribe("strict.echo", (data) => data).ready();
      const answers = await Promise.all(Array.from({ length: 500 }, (_, n) => a.publishAndWait("strict.echo", n)));
      assert.deepStrictEqual(
        answers,
        Array.from({ length: 500 }, (_, n) => n),
      );
    } finally {
      await world.clean();
      await strict.stop();
    }
  });

  test("a subscription that the server refuses does not keep the others from coming back", async () => {
    const channels = ["rq", "gr", "in", "ob", "ev:allowed"].map((name) => `&tl:${name}*`);
    const strict = await RedisServer.start([
      "--user",
      ..."default on nopass ~* +@all resetchannels &tl:pn".split(" "),
      ...channels,
    ]);
    try {
      const [a, b] = [world.system({ url: strict.url }), world.system({ url: strict.url })];
      await b.subscribe("allowed.echo", (data) => data).ready();
      await fails(b.subscribe("refused.topic", () => undefined).ready(), "PERMISSION_DENIED");
      await killLink(strict, b.instance);
      assert.equal(await a.publishAndWait("allowed.echo", 1, { waitForResponders: 20_000 }), 1);
      await until(() => b.connected, "it is back");
      await b.publish("allowed.echo", 2);
    } finally {
      await world.clean();
      await strict.stop();
    }
  });

  test("while Redis is away, unsubscribing and closing wait for nobody", async () => {
    const [a, b] = [world.system(), world.system()];
    const first = a.subscribe("leave.away", (data) => data);
    await first.ready();
    await b.start();
    await redis.kill();
    let away = true;
    try {
      await until(() => !a.connected && !b.connected, "both know");
      const second = a.subscribe("register.away", () => undefined);
      const third = a.subscribe("register.away.too", () => undefined);
      const [, ms] = await timed(Promise.all([first.unsubscribe(), second.unsubscribe()]));
      assert.ok(ms < 8000, `${ms} ms`);
      void b
        .subscribe("register.later", () => undefined)
        .ready()
        .catch(() => undefined);
      const [, closing] = await timed(b.close());
      assert.ok(closing < 8000, `${closing} ms`);
      await redis.start();
      away = false;
      await third.ready();
      const c = world.system();
      await fails(c.publishAndWait("leave.away"), "NO_RESPONDERS");
      await fails(c.publishAndWait("register.away"), "NO_RESPONDERS");
      assert.equal(await c.publishAndWait("register.away.too"), null);
    } finally {
      if (away) await redis.start();
    }
  });

  test("a system that is closed while it starts leaves no connection behind", async () => {
    const a = world.system({ service: "brief" });
    const started = a.start().catch(() => undefined);
    await a.close(0);
    await started;
    const gone = async () => !(await command(redis, "CLIENT LIST")).includes("tieline:brief:");
    for (const deadline = Date.now() + 20_000; !(await gone()); await sleep(20)) assert.ok(Date.now() < deadline);
  });

  test("an event that handlers here have is never told to be undelivered", async () => {
    const tight = await RedisServer.start([]);
    try {
      const system = world.system({ url: tight.url });
      let seen = 0;
      await system.subscribe("both.here", () => seen++).ready();
      await command(tight, "CONFIG SET maxmemory 1");
      for (const [topic, outcome] of [
        ["nobody.here", "NOT_DELIVERED"],
        ["both.here", "MAY_HAVE_RUN"],
      ] as const) {
        const error = await failure(system.publish(topic, 1));
        assert.deepStrictEqual([error.code, error.outcome], ["OVERLOADED", outcome]);
      }
      assert.equal(seen, 1);
    } finally {
      await world.clean();
      await tight.stop();
    }
  });

  test("a link whose answer is behind much else is kept", async () => {
    const settings = { ...DEFAULT_SETTINGS, pingInterval: 100, pongTimeout: 400 };
    const transport = new RedisTransport(redis.url, { namespace: "", settings });
    const [reader, publisher] = [world.system({ url: "", transport }), world.system()];
    await reader.subscribe("much.else", () => undefined).ready();
    const link = transport.require();
    const call = link.call.bind(link);
    let answered = 0;
    link.call = async (...command) => {
      for (let n = 0; n < 20; n++) await publisher.publish("much.else").then(() => sleep(75));
      answered += 1;
      return call(...command);
    };
    await until(() => answered > 1, "it was asked", 30_000);
    assert.equal(transport.require(), link);
    link.call = call;
  });

  test("who is there and what was stored are asked no longer than the deadline", async () => {
    const frozen = await RedisServer.start([]);
    const system = world.system({ url: frozen.url, settings: { pingInterval: 60_000, pongTimeout: 120_000 } });
    try {
      await system.subscribe("slow.topic", (data) => data).ready();
      const asks: (() => Promise<unknown>)[] = [
        () => system.publishAndGather("slow.topic", 1, { ttl: 300 }),
        () => system.explain("x", { ttl: 300 }),
        () => system.services({ ttl: 300 }),
      ];
      for (const ask of asks) {
        frozen.pause();
        const [error, ms] = await timed(fails(ask(), "TIMEOUT"));
        frozen.resume();
        assert.equal(error.outcome, "NOT_DELIVERED");
        assert.ok(ms >= 250 && ms < 10_000, `${ms} ms`);
        assert.deepStrictEqual((await system.publishAndGather("slow.topic", 1)).values, [1], "and it goes on");
      }
    } finally {
      frozen.resume();
      await world.clean();
      await frozen.stop();
    }
  });

  test("an observer that throws disturbs nobody", async () => {
    const observe = () => {
      throw new Error("never mind");
    };
    const [a, b] = [world.system({ observe }), world.system({ observe })];
    await b.subscribe("observed.badly", (data) => data).ready();
    assert.equal(await a.publishAndWait("observed.badly", 1), 1);
    assert.ok(a.connected && b.connected);
  });

  test("a script of somebody else that hangs: every call ends with its own answer or an error of ours", async () => {
    const [a, b] = [world.system(), world.system()];
    await b.subscribe("hang.echo", (data) => data).ready();
    await command(redis, "CONFIG SET busy-reply-threshold 20");
    const hanging = command(redis, 'EVAL "while true do end" 0').catch(() => undefined);
    const calls = Array.from({ length: 200 }, async (_, n) => {
      await sleep(n);
      const answer = await a.publishAndWait("hang.echo", n, { ttl: 2000 }).catch((error: unknown) => error);
      if (!(answer instanceof TielineError)) assert.equal(answer, n);
    });
    while (!(await command(redis, "GET hang")).startsWith("-BUSY")) await sleep(5);
    await sleep(100); // calls run into it
    await command(redis, "SCRIPT KILL");
    await hanging;
    await Promise.all(calls);
    await command(redis, "CONFIG SET busy-reply-threshold 5000");
    await until(() => a.connected && b.connected, "both are there again");
    for (let n = 0; n < 50; n++) assert.equal(await a.publishAndWait("hang.echo", n, { waitForResponders: 20_000 }), n);
  });

  test("over TLS and over a unix socket it is the same", async () => {
    const pem = makeCertificates();
    const options = { key: readFileSync(join(pem, "server.key")), cert: readFileSync(join(pem, "server.pem")) };
    const door = createTlsServer(options, (socket) => {
      const behind = connect(redis.port, "127.0.0.1");
      socket.pipe(behind).pipe(socket);
      socket.on("error", () => behind.destroy());
      behind.on("error", () => socket.destroy());
    }).listen(0, "127.0.0.1");
    await once(door, "listening");
    const port = (door.address() as AddressInfo).port;
    const path = join(pem, "redis.sock");
    const local = await RedisServer.start(["--unixsocket", path]);
    const known = `?ssl_ca_certs=${join(pem, "authority.pem")}`;
    try {
      for (const url of [
        `rediss://localhost:${port}/${known}`,
        `rediss://127.0.0.1:${port}/${known}`,
        `unix://${path}`,
      ]) {
        const [a, b] = [world.system({ url }), world.system({ url })];
        await b.subscribe("secure.echo", (data) => data).ready();
        assert.equal(await a.publishAndWait("secure.echo", "x".repeat(100_000)), "x".repeat(100_000));
      }
      const stranger = await failure(new EventSystem({ url: `rediss://localhost:${port}`, logger: silent }).start());
      assert.equal(stranger.code, "UNAVAILABLE");
    } finally {
      await world.clean();
      await local.stop();
      door.close();
    }
  });

  test("a program that only publishes and calls ends by itself", async () => {
    const a = world.system();
    const got: unknown[] = [];
    await a.subscribe("short.life", (data) => void got.push(data)).ready();
    const program = `
      import { publishEvent, publishEventAndWait } from ${JSON.stringify(new URL("../../src/index.js", import.meta.url).href)};
      console.log(await publishEventAndWait("short.life", 1));
      publishEvent("short.life", 2);
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], {
      env: { REDIS_URL: redis.url },
      timeout: 60_000,
    });
    assert.equal(stdout, "null\n");
    await until(() => got.length === 2, "the call and the event");
  });

  test("what cannot be reached or used is refused with its name and what to do", async () => {
    const locked = await RedisServer.start(["--requirepass", "secret"]);
    const refused = async (url: string) => failure(new EventSystem({ url, logger: silent }).start());
    try {
      const wrong = await refused(`redis://:wrong@127.0.0.1:${locked.port}`);
      assert.deepStrictEqual([wrong.code, wrong.message.includes(String(locked.port))], ["UNAUTHENTICATED", true]);
      assert.equal((await refused(locked.url)).code, "UNAUTHENTICATED");
      const right = world.system({ url: `redis://:secret@127.0.0.1:${locked.port}` });
      await right.start();
    } finally {
      await world.clean();
      await locked.stop();
    }
    const strict = await RedisServer.start([
      "--user",
      ..."default on nopass ~* +@all -script resetchannels".split(" "),
    ]);
    const forbidden = await refused(strict.url);
    await strict.stop();
    assert.ok(
      forbidden.code === "PERMISSION_DENIED" && forbidden.message.includes(String(strict.port)),
      forbidden.message,
    );
    const nobody = await refused("redis://127.0.0.1:1");
    assert.ok(nobody.code === "UNAVAILABLE" && nobody.message.includes("127.0.0.1:1"), nobody.message);
    const notPem = await refused(`rediss://127.0.0.1:1?ssl_certfile=${process.execPath}`);
    assert.equal(notPem.code, "INVALID_ARGUMENT");
    const noFile = await refused("rediss://127.0.0.1:1?ssl_ca_certs=/no/such/file");
    assert.ok(noFile.code === "INVALID_ARGUMENT" && noFile.message.includes("/no/such/file"), noFile.message);
  });
}

/** Calls, fifty at a time, that each must end within 2 s. */
class Load {
  readonly errors: unknown[] = [];
  lastSuccess = 0;
  slowest = 0;
  #running = true;
  readonly #loops: Promise<void>[];

  constructor(system: EventSystem) {
    this.#loops = Array.from({ length: 50 }, () => this.#loop(system));
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
  }

  async #loop(system: EventSystem): Promise<void> {
    while (this.#running) {
      const start = Date.now();
      try {
        await system.publishAndWait("storm.calls", 1, { ttl: 2000 });
        this.lastSuccess = Date.now();
      } catch (error) {
        this.errors.push(error);
        await sleep(5);
      }
      this.slowest = Math.max(this.slowest, Date.now() - start);
    }
  }
}

async function send(redis: RedisServer, channel: string, data: Buffer): Promise<void> {
  const name = channel.startsWith("tl:ev:") ? "PUBLISH" : "SPUBLISH";
  const parts = [Buffer.from(name), Buffer.from(channel), data];
  const pieces = parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from("\r\n")]);
  await exchange(redis, Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...pieces]));
}

function command(redis: RedisServer, line: string): Promise<string> {
  return exchange(redis, Buffer.from(`${line}\r\n`));
}

function exchange(redis: RedisServer, request: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(redis.port, "127.0.0.1", () => socket.write(request));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(String(data));
    });
  });
}

async function killLink(redis: RedisServer, instance: string): Promise<void> {
  const line = (await command(redis, "CLIENT LIST")).split("\n").find((one) => one.includes(`:${instance} `));
  await command(redis, `CLIENT KILL ID ${/id=(\d+)/.exec(line ?? "")?.[1]}`);
}
