import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSystem, MemoryBroker, MemoryTransport, UnavailableError } from "../../src/index.js";
import { fails } from "../support/waiting.js";
import { silent } from "../support/world.js";

test("a start that failed half way leaves nothing unregistered at the next one", async () => {
  const broker = new MemoryBroker();
  const transport = new MemoryTransport(broker);
  const open = transport.open.bind(transport);
  let left = 1;
  transport.open = async (service, receiver) => {
    const port = await open(service, receiver);
    const register = port.register.bind(port);
    port.register = async (interests) => {
      await register(interests);
      if (interests.some(({ pattern }) => pattern === "system.ask") && left-- > 0) throw new UnavailableError("broke");
    };
    return port;
  };
  const responder = new EventSystem({ transport, logger: silent });
  const subscription = responder.subscribe("half.way", () => "here");
  await fails(responder.start(), "UNAVAILABLE");
  await responder.start();
  await subscription.ready();
  const caller = new EventSystem({ transport: new MemoryTransport(broker), logger: silent });
  assert.equal(await caller.publishAndWait("half.way"), "here");
  await Promise.all([responder.close(), caller.close()]);
});
