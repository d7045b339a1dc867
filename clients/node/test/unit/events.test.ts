import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { EventSystem, type EventSystemOptions, MemoryTransport, UnavailableError } from "../../src/index.js";
import { fails, gate, sleep, timed, until } from "../support/waiting.js";
import { silent } from "../support/world.js";

test("what cannot be read of a URL or namespace is told by the constructor", () => {
  const wrong: [string, EventSystemOptions?][] = [
    ["http://x"],
    ["redis://host:notaport"],
    ["redis://localhost/notanumber"],
    ["redis://user:%zz@localhost"],
    ["unix:///tmp/%zz"],
    ["redis://localhost", { namespace: "no spaces" }],
    ["grpc://"],
    ["memory://host"],
    ["memory://?x=1"],
    ["grpc://127.0.0.1:1?ca=x"],
    ["grpcs://127.0.0.1:1?strange=x"],
    ["grpcs://:%zz@127.0.0.1:1"],
  ];
  for (const [url, options] of wrong) {
    assert.throws(() => new EventSystem(url, options), { code: "INVALID_ARGUMENT" }, url);
  }
  assert.throws(() => new EventSystem("memory:///tmp/file.db"), { code: "UNSUPPORTED" });
  for (const url of [
    "memory:",
    "memory://",
    "memory:///",
    "redis://:a%40b@[::1]:1/2",
    "unix:///tmp/redis.sock?db=1",
    "grpcs://:token@localhost?ca=/ca.pem",
  ]) {
    new EventSystem(url);
  }
});

test("closing does not wait for a start that waits for the broker", async () => {
  const closed = gate();
  const transport = new MemoryTransport();
  const open = transport.open.bind(transport);
  transport.open = async (service, receiver) => {
    const port = await open(service, receiver);
    port.connected = false;
    port.register = () => closed.opened.then(() => Promise.reject(new UnavailableError("closed")));
    return port;
  };
  transport.close = async () => closed.open();
  const events = new EventSystem({ transport, logger: silent });
  events.subscribe("start.away", () => undefined);
  const starting = fails(events.start(), "UNAVAILABLE");
  await until(() => events.instance !== "", "it has its place");
  const [, ms] = await timed(events.close());
  assert.ok(ms < 5000, `${ms} ms`);
  await starting;
});

test("a call made while the port closes is told so", async () => {
  const closing = gate();
  const closed = gate();
  const transport = new MemoryTransport();
  const open = transport.open.bind(transport);
  transport.open = async (service, receiver) => {
    const port = await open(service, receiver);
    port.close = () => {
      closing.open();
      return closed.opened;
    };
    return port;
  };
  const events = new EventSystem({ transport, logger: silent });
  events.subscribe("still.here", () => sleep(20_000));
  await events.start();
  const over = events.close(0);
  await closing.opened;
  await fails(events.publishAndWait("still.here", 1, { ttl: 1000, waitForResponders: 1000 }), "INVALID_ARGUMENT");
  await fails(events.publish("still.here", 1), "INVALID_ARGUMENT");
  closed.open();
  await over;
});

test("a drain may be as long as one likes", async () => {
  const events = new EventSystem({ transport: new MemoryTransport(), logger: silent });
  const held = gate();
  const call = events.subscribe("long.drain", () => held.opened.then(() => "done")).ready();
  await call;
  const answer = events.publishAndWait("long.drain");
  const over = events.close(Infinity);
  await sleep(30);
  held.open();
  assert.equal(await answer, "done");
  await over;
});

test("the first call is not late because a server is silent", async (context) => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket.on("error", () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ttl = 200;
  const calls: Record<string, (events: EventSystem) => Promise<unknown>> = {
    call: (events) => events.publishAndWait("t", 1, { ttl }),
    tries: (events) => events.publishAndWait("t", 1, { ttl, retry: {} }),
    stream: (events) => events.publishAndStream("t", 1, { ttl }).next(),
    gather: (events) => events.publishAndGather("t", 1, { ttl }),
    explain: (events) => events.explain("t", { ttl }),
    services: (events) => events.services({ ttl }),
  };
  for (const scheme of ["redis", "grpc"]) {
    for (const [name, call] of Object.entries(calls)) {
      const events = new EventSystem(`${scheme}://127.0.0.1:${port}`, { logger: silent });
      const begun = performance.now();
      const error = await fails(call(events), "TIMEOUT");
      const ms = performance.now() - begun;
      assert.match(error.message, /^the broker did not answer in time; /, name);
      assert.equal(error.outcome, "NOT_DELIVERED", name);
      assert.ok(ms >= ttl - 1 && ms < 2500, `${scheme} ${name} took ${ms} ms`);
      for (const socket of sockets) socket.destroy();
      await events.close(0);
    }
  }
});

test("what serves ends when the system is closed elsewhere, and listens to no signal any more", async () => {
  const events = new EventSystem({ transport: new MemoryTransport(), logger: silent });
  const before = process.listenerCount("SIGTERM");
  const served = events.serve();
  await until(() => process.listenerCount("SIGTERM") > before, "it serves");
  const closed = events.close();
  await served;
  await closed;
  assert.equal(process.listenerCount("SIGTERM"), before);
});
