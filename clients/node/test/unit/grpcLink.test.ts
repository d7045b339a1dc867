import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../src/clock.js";
import { UnavailableError } from "../../src/index.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { type Gateway, GrpcLink } from "../../src/transports/grpcLink.js";
import { sleep, until } from "../support/waiting.js";

test("a gateway whose pong waits behind other frames is alive, one that says nothing is not", async () => {
  const broken: string[] = [];
  const open: Gateway["open"] = (events) => {
    const welcome = { $case: "welcome", value: { instance: "one", time: Date.now() } } as const;
    setImmediate(() => events.onItems([{ item: welcome }]));
    return {
      write: (_, written) => written(),
      end: () => undefined,
      cancel: () => undefined,
      keepAlive: () => undefined,
    };
  };
  const settings = { ...DEFAULT_SETTINGS, pingInterval: 100, pongTimeout: 1000 };
  const user = { onSaid: () => undefined, onBroken: (_: GrpcLink, reason: string) => broken.push(reason) };
  const gateway: Gateway = { address: "here", open, late: () => new UnavailableError("late") };
  const link = new GrpcLink(gateway, new Clock(), settings, user);
  await link.open({ service: "test", client: "test", moves: false });
  const chatter = setInterval(() => link.onItems([]), 50);
  try {
    await sleep(2500);
    assert.deepStrictEqual(broken, []);
  } finally {
    clearInterval(chatter);
  }
  await until(() => broken.length > 0, "it is given up");
  assert.match(broken[0] ?? "", /^no sign of life for \d+ ms$/);
  await link.close();
});
