import assert from "node:assert/strict";
import { test } from "node:test";
import { type EventSystem, HandlerError } from "../../src/index.js";
import { logging } from "../support/logging.js";
import { fails, until } from "../support/waiting.js";
import { silent, type World } from "../support/world.js";

type Act = (system: EventSystem, topic: string, data: number) => Promise<unknown>;

const ACTS: Record<string, Act> = {
  request: (system, topic, data) => fails(system.publishAndWait(topic, data), "HANDLER_ERROR"),
  event: (system, topic, data) => system.publish(topic, data, { waitLocal: true }),
};

/** Handlers that throw: what the log of their process says, and what their callers see. */
export function raisingTests(world: World): void {
  for (const [how, act] of Object.entries(ACTS)) {
    for (const where of ["here", "elsewhere"]) {
      test(`what a handler ${where} throws is in the log of its process once (${how})`, async () => {
        const { told, logger } = logging();
        const topic = `raising.${how}.${where}`;
        const system = world.system({ logger });
        const divide = async (data: number) => {
          if (data === 1) throw new HandlerError("an answer like others");
          throw new RangeError("no such row");
        };
        await system.subscribe(topic, divide).ready();
        const caller = where === "here" ? system : world.system();
        for (const data of [1, 2]) await act(caller, topic, data);
        await until(() => told.some(([level]) => level === "error"), "it is said");
        const raised = told.filter(([, message]) => message.includes("divide") && !message.includes("an answer"));
        const [[level, message, cause] = []] = raised;
        assert.deepStrictEqual([raised.length, level, message], [1, "error", `handler "divide" of "${topic}" raised`]);
        assert.match((cause as Error).stack ?? "", /no such row\n.*divide/s);
      });
    }
  }

  test("what a handler throws at a batch is in the log once", async () => {
    const { told, logger } = logging();
    const system = world.system({ logger });
    const digest = () => {
      throw new RangeError("no such row");
    };
    await system.subscribe("raising.batch", digest, { batch: { size: 2 } }).ready();
    for (let n = 0; n < 2; n++) await system.publish("raising.batch", n);
    await until(() => told.length > 0, "it is said");
    assert.deepStrictEqual(
      told.map(([level, message]) => [level, message]),
      [["error", 'handler "digest" of "raising.batch" raised']],
    );
  });

  test("who calls within the process sees where the handler threw", async () => {
    const system = world.system();
    const thrown = new RangeError("no such row");
    const fail = () => {
      throw thrown;
    };
    await system.subscribe("raising.cause", fail).ready();
    assert.equal((await fails(system.publishAndWait("raising.cause"), "HANDLER_ERROR")).cause, thrown);
    const elsewhere = await fails(world.system({ logger: silent }).publishAndWait("raising.cause"), "HANDLER_ERROR");
    assert.equal(elsewhere.cause, undefined, "it does not travel");
  });
}
