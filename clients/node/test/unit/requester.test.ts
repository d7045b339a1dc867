import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSystem as System } from "../../src/events.js";
import {
  type EventSystem,
  HandlerError,
  NoRespondersError,
  type Port,
  type Receiver,
  type TielineError,
} from "../../src/index.js";
import { Broker } from "../../src/testing/index.js";
import { MemoryTransport } from "../../src/transports/memory.js";
import { failure } from "../support/waiting.js";
import { silent } from "../support/world.js";

/** A system whose requests end one after the other with these errors, before anybody has them. */
function failing(...errors: TielineError[]): EventSystem {
  const transport = new MemoryTransport();
  const open = transport.open.bind(transport);
  transport.open = async (service: string, receiver: Receiver) => {
    const port = await open(service, receiver);
    const dispatch: Port["dispatch"] = ({ callId }) => receiver.onDispatched(callId, "", errors.shift());
    return Object.assign(port, { dispatch });
  };
  return new System({ transport, logger: silent });
}

const QUICK = { base: 0, cap: 0, attempts: 3 };

test("what may have run in an earlier try is not hidden by a later one", async () => {
  const unsure = () => new HandlerError("it broke", { outcome: "MAY_HAVE_RUN" });
  const nobody = () => new NoRespondersError("nobody is there", { details: { a: 1 }, retryAfter: 1 });
  const outcomeOf = async (errors: TielineError[], signal?: AbortSignal) => {
    const events = failing(...errors);
    const options = { idempotent: true, retry: { ...QUICK, when: () => true }, ...(signal && { signal }) };
    const error = await failure(events.publishAndWait("try.again", 1, options));
    await events.close(0);
    return error;
  };
  const error = await outcomeOf([unsure(), nobody(), nobody()]);
  const { code, message, outcome, details, retryAfter, idempotent } = error;
  assert.deepStrictEqual([code, message, outcome], ["NO_RESPONDERS", "nobody is there", "MAY_HAVE_RUN"]);
  assert.deepStrictEqual([details, retryAfter, idempotent], [{ a: 1 }, 1, true]);
  assert.equal((await outcomeOf([nobody(), nobody(), nobody()])).outcome, "NOT_DELIVERED");
  assert.equal((await outcomeOf([nobody(), nobody(), unsure()])).outcome, "MAY_HAVE_RUN");
});

test("a policy whose `when` answers with a promise is told so", async () => {
  await using broker = new Broker();
  const events = broker.system();
  let runs = 0;
  events.subscribe("when.later", () => {
    runs += 1;
    throw new Error("no");
  });
  for (const when of [async () => false, () => Promise.reject(new Error("later"))]) {
    const retry = { ...QUICK, when } as unknown as { when: () => boolean };
    const error = await failure(events.publishAndWait("when.later", 1, { idempotent: true, retry }));
    assert.equal(error.message, "when of a retry policy returned a promise; it must answer at once");
    assert.equal(error.outcome, "RAN");
    assert.ok(error.cause instanceof HandlerError);
  }
  assert.equal(runs, 2);
});
