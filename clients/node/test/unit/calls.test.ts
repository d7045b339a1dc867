import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Call, State } from "../../src/calls/call.js";
import { StreamCall } from "../../src/calls/streamCall.js";
import { ACCEPTED, REPLY, STREAM_END } from "../../src/envelope.js";
import { HandlerError, NoRespondersError, OverloadedError, UnavailableError } from "../../src/errors.js";
import { newCallId } from "../../src/identity.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { type Attempt, Scene, type Subject, TOTAL } from "../support/callScene.js";

const WINDOWS = [1, 2, 5, 1024];
const INSTANCES = ["r1", "r2", "r3"];
const NAMES = [
  "start",
  "stream",
  "stream",
  "key",
  "key",
  "join",
  "join",
  "take",
  "take",
  "nobody",
  "reply",
  "reply",
  "refuse",
  "fail",
  "accept",
  "again",
  "forge",
  "undispatched",
  "down",
  "up",
  "up",
  "left",
  "probe",
  "abandon",
  "pass",
  "pass",
  "jump",
  "items",
  "items",
  "items",
  "stray",
  "end",
  "fail end",
  "read",
  "read",
] as const;
const ops = fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.nat(), fc.nat()), {
  minLength: 1,
  maxLength: 60,
  size: "max",
});

/** Schedules that once brought up a defect. */
const FOUND: (typeof NAMES)[number][][] = [
  // who joined a run twice in vain, and was then taken
  ["key", "join", "refuse", "join", "refuse", "jump", "take"],
];

function pick<T>(list: readonly T[], at: number): T | undefined {
  return list[at % Math.max(1, list.length)];
}

function step(scene: Scene, [name, a, b]: [(typeof NAMES)[number], number, number]): void {
  const open = pick(
    scene.attempts.filter((attempt) => !attempt.told),
    a,
  );
  const held = pick(
    scene.attempts.filter((attempt) => attempt.holder !== ""),
    a,
  );
  const any = pick(scene.attempts, a);
  const instance = INSTANCES[b % 3] ?? "r1";
  if (name === "start") scene.start(a % 2 === 0, b % 3 === 0 ? 800 : 0, b % 4 === 0 ? 1500 : 0);
  else if (name === "stream")
    scene.startStream(a % 2 === 0, b % 3 === 0 ? 800 : 0, b % 4 === 0 ? 1500 : 0, WINDOWS[a % WINDOWS.length] ?? 1);
  else if (name === "key") scene.startKeyed(b % 3 === 0 ? 800 : 0, b % 4 === 0 ? 1500 : 0);
  else if (name === "join") join(scene, a, b);
  else if (name === "take" && open && open.avoid !== instance) scene.tell(open, open.holder || instance);
  else if (name === "nobody" && open?.holder === "") scene.tell(open, "");
  else if (name === "undispatched" && open?.holder === "")
    scene.tell(open, "", new UnavailableError("x", { outcome: b % 2 ? "NOT_DELIVERED" : "MAY_HAVE_RUN" }));
  else if (name === "reply" && any) scene.answer(any.id, REPLY);
  else if (name === "again" && any) for (let n = 0; n < 3; n++) scene.answer(any.id, REPLY);
  else if (name === "fail" && any) scene.answer(any.id, REPLY, new HandlerError("x"));
  else if (name === "refuse" && held && !held.cancelled && !held.call.call.inflow?.received) refuse(scene, held, b);
  else if (name === "accept" && any) scene.answer(any.id, ACCEPTED);
  else if (name === "forge") scene.answer(a % 2 ? newCallId() : Buffer.alloc(a % 20), REPLY);
  else if (name === "down") scene.linkDown();
  else if (name === "up") scene.linkUp();
  else if (name === "left") scene.linkLeft(a % 3 === 0 ? 0 : b % 100);
  else if (name === "probe") probe(scene, a, b);
  else if (name === "abandon")
    scene.subjects[a % Math.max(1, scene.subjects.length)] && scene.abandon(pick(scene.subjects, a) as Subject);
  else if (name === "items" || name === "stray" || name === "end" || name === "fail end" || name === "read")
    stepStream(scene, name, a, b);
  else if (name === "pass") scene.pass(a % 400);
  else if (name === "jump") scene.pass(a % 20_000);
}

/** Whoever has a key may find a run under way. */
function join(scene: Scene, a: number, b: number): void {
  const keyed = scene.attempts.filter(({ call, told, holder }) => call.call.keyed && !told && holder === "");
  const attempt = pick(keyed, a);
  if (attempt !== undefined) scene.join(attempt, INSTANCES[b % 3] ?? "r1", b % 3000);
}

/** A step of one of the streams: its responder sends, rightly or wrongly, or its reader reads. */
function stepStream(scene: Scene, name: "items" | "stray" | "end" | "fail end" | "read", a: number, b: number): void {
  const streams = scene.subjects.filter(({ call }) => call instanceof StreamCall);
  const stream = pick(streams, a);
  const attempt = pick(
    scene.attempts.filter((one) => one.call.call instanceof StreamCall && (!one.told || one.holder !== "")),
    a,
  );
  if (name === "read" && stream !== undefined) for (let n = b % 20; n >= 0; n--) scene.read(stream);
  if (attempt === undefined) return;
  const { id } = attempt;
  if (name === "items")
    for (let n = b % 8; n >= 0 && attempt.sent < attempt.allowed; n--) scene.item(attempt, ++attempt.sent);
  else if (name === "stray") scene.item(attempt, (b >> 3) % (attempt.allowed + 3));
  else if (name === "end") endStream(scene, attempt, attempt.sent + (b % 4 === 0 ? 1 : 0));
  else if (name === "fail end") scene.answer(id, STREAM_END, new HandlerError("x"), positionOf(attempt.sent));
}

function endStream(scene: Scene, attempt: Attempt, count: number): void {
  const { call, attempts } = attempt.call;
  const before = (call as StreamCall).flow.received;
  const out = attempts.at(-1) === attempt && call.state !== State.DONE && call.state !== State.WAITING;
  scene.answer(attempt.id, STREAM_END, undefined, positionOf(count));
  if (out) assert.equal(attempt.call.error?.code, count > before ? "UNAVAILABLE" : undefined);
}

function positionOf(sequence: number) {
  return { stream: { sequence, consumed: 0, window: 0 } };
}

function refuse(scene: Scene, attempt: Attempt, b: number): void {
  if (attempt.key !== attempt.call.attempts.at(-1)?.key || attempt.call.call.state === State.WAITING) return;
  attempt.told = true;
  attempt.mayHaveRun = attempt.joined; // whoever joined does not know what ran before
  attempt.holder = "";
  scene.answer(attempt.id, REPLY, b % 2 ? new OverloadedError("full") : new NoRespondersError("filtered"));
}

function probe(scene: Scene, a: number, b: number): void {
  if (!scene.linked) return;
  const asked = scene.calls.suspects(scene.now);
  const silent = new Set([...asked].filter((_, at) => (a >> at) & 1));
  const expired = new Set([...asked].filter((_, at) => (b >> at) & 1 && b % 3 === 0));
  scene.calls.probed({ silent, expired }, asked, scene.now);
}

test("whatever happens in whatever order: each call and stream ends once, in time, and truthfully", () => {
  fc.assert(
    fc.property(ops, (schedule) => {
      const scene = new Scene();
      for (const op of schedule) {
        step(scene, op);
        check(scene);
      }
      for (const end = scene.now + TOTAL; scene.now <= end; check(scene)) scene.pass(TOTAL / 4 + 1);
      for (const subject of scene.subjects) assert.equal(subject.ends, 1, "a call never ended");
      for (const { call, error, reply, abandoned } of scene.subjects.filter((one) => one.call.keyed)) {
        if (reply !== undefined || abandoned) assert.ok(!scene.released.has(call), "a run with a result is released");
        if (error?.code === "TIMEOUT") assert.ok(!scene.released.has(call), "a run that may go on is released");
      }
      assert.equal(scene.calls.active, 0);
      assert.deepStrictEqual(scene.calls.all(), []);
      if (scene.linked) leftovers(scene);
    }),
    { numRuns: 20_000, examples: FOUND.map((schedule) => [schedule.map((name) => [name, 50, 0])]) },
  );
});

function check(scene: Scene): void {
  assert.equal(scene.calls.active, scene.subjects.filter((subject) => subject.ends === 0).length);
  for (const subject of scene.subjects) {
    const { call, ends, deadline, limit, attempts, idempotent, error } = subject;
    if (call instanceof StreamCall) checkStream(subject, call);
    const busy = call instanceof StreamCall && !call.awaited;
    if (ends === 0) assert.ok(scene.now < (busy ? limit : Math.min(deadline, limit)), "it outlives its deadline");
    const ran = attempts.filter((attempt) => attempt.mayHaveRun).length;
    assert.ok(call.keyed || ran <= (idempotent ? DEFAULT_SETTINGS.attempts : 1), `${ran} attempts may have run`);
    if (error) assert.equal(error.idempotent, idempotent);
  }
}

/** Items come in order and from one attempt only, no more than were asked for, and whoever reads gets more. */
function checkStream({ attempts, read, ends }: Subject, call: StreamCall): void {
  const { flow } = call;
  const [first] = read;
  assert.deepStrictEqual(
    read.map((item) => item.stream?.sequence),
    read.map((_, at) => at + 1),
  );
  assert.ok(read.every((item) => item.callId === first?.callId || item.callId.equals(first?.callId ?? item.callId)));
  const current = attempts.at(-1);
  if (current === undefined || ends > 0) return;
  assert.ok(flow.received <= Math.max(current.allowed, flow.consumed), "more came than there was credit for");
  if (call.state === State.HELD) assert.ok(current.allowed > flow.consumed, "whoever reads all gets no more");
}

/** Whoever takes an attempt of a call that was given up is told so, even if that is only known later. */
function leftovers(scene: Scene): void {
  for (const attempt of scene.attempts.filter(({ told }) => !told)) {
    const { call } = attempt;
    const current = call.attempts.at(-1) === attempt;
    scene.tell(attempt, "r1");
    const givenUp = call.abandoned || call.error?.code === "TIMEOUT";
    if (givenUp && current && !attempt.call.call.keyed) assert.ok(attempt.cancelled, "a responder works for nobody");
  }
}

test("100,000 calls that are done leave nothing behind", () => {
  const scene = new Scene();
  for (let n = 0; n < 100_000; n++) {
    const subject = scene.start(false, 0, 0);
    const attempt = scene.attempts.pop();
    subject?.attempts.splice(0);
    scene.subjects.pop();
    scene.calls.abandon(subject?.call as Call);
    scene.calls.dispatched(attempt?.id ?? Buffer.alloc(0), "", undefined, scene.now);
    scene.now += 0.01;
  }
  assert.equal(scene.calls.active, 0);
  assert.ok(scene.deadlines.size < 1000, `${scene.deadlines.size} deadlines`);
});
