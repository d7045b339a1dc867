import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { type Envelope, EVENT, newEnvelope, parse, REPLY, REQUEST, serialize } from "../../src/envelope.js";
import { callKey, newCallId } from "../../src/identity.js";
import { InternalError } from "../../src/index.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { type Gap, type Interest, Route } from "../../src/transport.js";
import { GrpcPort } from "../../src/transports/grpcPort.js";
import { Raw } from "../support/raw.js";
import { ScriptedGateways, type ScriptedLink } from "../support/scriptedGateway.js";
import { until } from "../support/waiting.js";

const SETTINGS = { ...DEFAULT_SETTINGS, reconnectMin: 1, reconnectMax: 10 };
const ANSWERS: Interest = { route: Route.REQUEST, pattern: "t", group: "" };
const LISTENS: Interest = { route: Route.EVENT, pattern: "t", group: "" };
const SHARES: Interest = { route: Route.GROUP, pattern: "t", group: "g" };
const DRAIN = { $case: "drain", value: { ref: 0 } } as const;

/** A receiver that remembers what it is told of its place. */
class Receiver extends Raw {
  readonly calls = new Set<string>();
  readonly places: (string | Gap | undefined)[] = [];
  readonly left: ReadonlySet<string>[] = [];

  override underWay(): Set<string> {
    return this.calls;
  }

  override onLeft(calls: ReadonlySet<string>): void {
    this.left.push(calls);
  }

  override onConnected(gap?: Gap): void {
    this.places.push(gap);
  }

  override onDisconnected(reason?: string): void {
    this.places.push(reason ?? "");
  }
}

const open: GrpcPort[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((port) => port.close()));
});

async function portAt(far: ScriptedGateways, receiver: Receiver, gateways = 2): Promise<GrpcPort> {
  const port = new GrpcPort(far.gateways(gateways), { service: "s", client: "c", moves: true }, receiver, SETTINGS);
  open.push(port);
  await port.start();
  await port.register([ANSWERS, LISTENS]);
  return port;
}

async function linkOf(far: ScriptedGateways, number: number): Promise<ScriptedLink> {
  await until(() => far.links.length > number, `Link ${number}`);
  return far.links[number] as ScriptedLink;
}

/** The next Link of one that is told that its gateway stops; what it was asked to register is not confirmed yet. */
async function movingFrom(far: ScriptedGateways, old: ScriptedLink): Promise<ScriptedLink> {
  far.slow = true;
  old.say(DRAIN);
  const next = await linkOf(far, far.links.length);
  await until(() => next.told("register").length > 0, "it was asked to register");
  next.slow = far.slow = false;
  return next;
}

function deliver(link: ScriptedLink, interest: Interest, fields: Partial<Envelope>): Envelope {
  const kind = interest.route === Route.REQUEST ? REQUEST : EVENT;
  const envelope = { ...newEnvelope(kind), id: "id", topic: "t", ...fields };
  link.say({ $case: "delivery", value: { interest: { ...interest }, envelope: serialize(envelope) } });
  return envelope;
}

test("what is said of a call goes over the Link by which it came", async () => {
  const [far, receiver] = [new ScriptedGateways(), new Receiver()];
  const port = await portAt(far, receiver);
  const old = await linkOf(far, 0);
  const calls = { old: newCallId(), early: newCallId(), late: newCallId(), fresh: newCallId() };
  const made = newCallId();
  deliver(old, ANSWERS, { callId: calls.old });
  const next = await movingFrom(far, old);
  deliver(next, ANSWERS, { callId: calls.early });
  for (const callId of [calls.old, calls.early, made]) receiver.calls.add(callKey(callId));
  const answer = (callId: Buffer) => port.answer("somebody", { ...newEnvelope(REPLY), callId });
  answer(calls.early);
  await until(() => next.told("answer").length === 1, "it was answered before the Link was in use");
  assert.equal(port.instance, old.instance);
  next.confirm();
  await until(() => port.instance === next.instance, "it moved");
  deliver(old, ANSWERS, { callId: calls.late });
  deliver(next, ANSWERS, { callId: calls.fresh });
  for (const callId of Object.values(calls)) answer(callId);
  port.release({ ...newEnvelope(REQUEST), topic: "t", id: "id", callId: made }, new InternalError("no"));
  await until(() => old.told("answer").length === 2 && next.told("answer").length === 3, "all are answered");
  await until(() => old.told("release").length === 1, "the claim is given up where it was made");
  assert.equal(next.told("release").length, 0);
  old.end();
  await until(() => receiver.left.length === 1, "the old place is gone");
  answer(calls.old);
  await until(() => next.told("answer").length === 4, "there is no other way any more");
  const [ended] = receiver.left;
  assert.deepEqual(ended, new Set([calls.old, made, calls.late].map(callKey)));
  assert.deepEqual(receiver.places, [undefined, undefined]);
});

test("calls end where they began, however many Links are left at a time", async () => {
  const [far, receiver] = [new ScriptedGateways(), new Receiver()];
  const port = await portAt(far, receiver, 3);
  const [calls, links]: [Buffer[], ScriptedLink[]] = [[], []];
  for (const number of [0, 1, 2]) {
    const link = await linkOf(far, number);
    await until(() => port.instance === link.instance, "it moved");
    const envelope = deliver(link, ANSWERS, { callId: newCallId() });
    receiver.calls.add(callKey(envelope.callId));
    calls.push(envelope.callId);
    links.push(link);
    if (number < 2) link.say(DRAIN);
  }
  for (const callId of calls) port.answer("somebody", { ...newEnvelope(REPLY), callId });
  await until(() => links.every((link) => link.told("answer").length === 1), "each is answered where it came from");
  for (const link of links) {
    const answered = link.told("answer").map(({ value }) => parse(value.envelope)?.callId);
    assert.deepEqual(answered, [calls[links.indexOf(link)]]);
  }
  for (const number of [1, 0]) links[number]?.end();
  await until(() => receiver.left.length === 2, "both places are gone");
  assert.deepEqual(
    receiver.left,
    [calls[1], calls[0]].map((callId) => new Set([callKey(callId as Buffer)])),
  );
  assert.equal(port.instance, links[2]?.instance);
});

test("a live event counts once of three Links, and a group's share comes by each", async () => {
  const [far, receiver] = [new ScriptedGateways(), new Receiver()];
  const port = await portAt(far, receiver, 3);
  const first = await linkOf(far, 0);
  first.slow = true; // it goes on bringing events
  first.say(DRAIN);
  const second = await linkOf(far, 1);
  await until(() => port.instance === second.instance, "it moved");
  deliver(second, LISTENS, { id: "1" });
  second.slow = true;
  second.say(DRAIN);
  const third = await linkOf(far, 2);
  await until(() => port.instance === third.instance && second.told("drain").length === 1, "it moved again");
  for (const link of [first, second, third]) deliver(link, LISTENS, { id: "2" });
  for (const link of [third, first]) deliver(link, LISTENS, { id: "3" });
  deliver(first, LISTENS, { id: "1" });
  for (const link of [first, second, third]) deliver(link, SHARES, { id: link.instance });
  first.confirm();
  deliver(second, LISTENS, { id: "3" });
  second.confirm();
  deliver(third, LISTENS, { id: "4" });
  await until(() => receiver.events.length >= 7, "what came over the new one only");
  const shared = [first, second, third].map(({ instance }) => instance);
  assert.deepEqual(
    receiver.events.map(({ id }) => id),
    ["1", "2", ...shared, "3", "4"],
  );
});

test("a gateway that stops before it is in use is left, too", async () => {
  const far = new ScriptedGateways();
  const port = await portAt(far, new Receiver());
  const next = await movingFrom(far, await linkOf(far, 0));
  next.say(DRAIN);
  next.confirm();
  const third = await linkOf(far, 2);
  await until(() => port.instance === third.instance, "it moved on");
});

test("what is wanted meanwhile is wanted there, and what is not is not", async () => {
  const far = new ScriptedGateways();
  const port = await portAt(far, new Receiver());
  const next = await movingFrom(far, await linkOf(far, 0));
  const more: Interest = { route: Route.EVENT, pattern: "more", group: "" };
  await Promise.all([port.register([more]), port.unregister([LISTENS])]);
  next.confirm();
  await until(() => port.instance === next.instance, "it moved");
  assert.deepEqual(next.told("register").at(-1)?.value.interests, [more]);
  assert.deepEqual(next.told("unregister").at(-1)?.value.interests, [LISTENS]);
});

test("live events count once, in the order of the old Link, until it has left", async () => {
  const [far, receiver] = [new ScriptedGateways(), new Receiver()];
  const port = await portAt(far, receiver);
  const old = await linkOf(far, 0);
  const next = await movingFrom(far, old);
  old.slow = true;
  deliver(next, LISTENS, { id: "2" });
  deliver(old, LISTENS, { id: "1" });
  next.confirm();
  await until(() => old.told("drain").length === 1, "it leaves");
  for (const id of ["3", "4"]) deliver(next, LISTENS, { id });
  for (const id of ["2", "3"]) deliver(old, LISTENS, { id });
  deliver(old, LISTENS, { id: "own", source: `s/${next.instance}` });
  deliver(next, LISTENS, { id: "own", source: `s/${old.instance}` });
  deliver(next, LISTENS, { id: "planned", source: `s/${old.instance}`, scheduled: 1 });
  const ids = () => receiver.events.map(({ id }) => id);
  assert.deepEqual(ids(), ["1", "2", "3"]);
  old.confirm();
  await until(() => receiver.events.length === 5, "what came over the new one only");
  deliver(next, LISTENS, { id: "5" });
  assert.deepEqual(ids(), ["1", "2", "3", "4", "planned", "5"]);
  assert.ok(port.connected);
});

test("a broker that was away before a move is back after it, with its gap", async () => {
  const [far, receiver] = [new ScriptedGateways(), new Receiver()];
  await portAt(far, receiver);
  const old = await linkOf(far, 0);
  old.say({ $case: "broker", value: { connected: false } });
  const next = await movingFrom(far, old);
  next.confirm();
  await until(() => receiver.places.length === 3, "it is told");
  const [, lost, gap] = receiver.places;
  assert.equal(lost, "the gateway lost its broker");
  assert.ok(typeof gap === "object" && gap.since <= gap.until);
  assert.match(gap.reason, /^the gateway at gateway-\d stopped$/);
});

test("a gateway that is the only one is not left before it ends", async () => {
  const [far, receiver] = [new ScriptedGateways(), new Receiver()];
  const port = await portAt(far, receiver, 1);
  const old = await linkOf(far, 0);
  old.say(DRAIN);
  await port.register([{ ...LISTENS, pattern: "more" }]);
  assert.equal(far.links.length, 1);
  old.end();
  await until(() => receiver.places.length === 3, "it is back");
  assert.equal((await linkOf(far, 1)).instance, port.instance);
});
