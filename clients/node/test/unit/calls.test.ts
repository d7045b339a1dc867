import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Call, type Effects } from "../../src/call.js";
import { Calls } from "../../src/calls.js";
import { Deadlines } from "../../src/deadlines.js";
import { ACCEPTED, type Envelope, errorToWire, newEnvelope, REPLY, REQUEST } from "../../src/envelope.js";
import {
  HandlerError,
  NoRespondersError,
  OverloadedError,
  type TielineError,
  UnavailableError,
} from "../../src/errors.js";
import { newCallId } from "../../src/identity.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";

const TTL = 5000;

/** One attempt, as the world outside sees it. */
interface Attempt {
  readonly id: Buffer;
  readonly key: string;
  readonly call: Subject;
  readonly avoid: string;
  /** The dispatch has been answered. */
  told: boolean;
  /** Who holds it; nobody yet, or nobody any more. */
  holder: string;
  /** A responder got it and did not refuse it. */
  mayHaveRun: boolean;
  cancelled: boolean;
}

interface Subject {
  readonly call: Call;
  readonly attempts: Attempt[];
  readonly idempotent: boolean;
  readonly deadline: number;
  ends: number;
  endedAt: number;
  reply: Envelope | undefined;
  error: TielineError | undefined;
  abandoned: boolean;
}

/** A table of calls and everything around it, with a clock to turn by hand. */
class Scene implements Effects {
  now = 1000;
  linked = true;
  readonly deadlines = new Deadlines();
  readonly calls = new Calls(this, this.deadlines, { ...DEFAULT_SETTINGS, pendingCalls: 20 });
  readonly subjects: Subject[] = [];
  readonly attempts: Attempt[] = [];
  refused = 0;
  #wake = Infinity;
  #starting: Subject | undefined;

  start(idempotent: boolean, patience: number, waitForLink: number): Subject | undefined {
    const envelope = { ...newEnvelope(REQUEST), topic: "a.b", ttlMs: TTL };
    const deadline = this.now + TTL;
    const subject: Subject = {
      call: new Call(
        envelope,
        deadline,
        { resolve: () => undefined, reject: () => undefined },
        { idempotent, patience: patience && this.now + patience, waitForLink: waitForLink && this.now + waitForLink },
      ),
      attempts: [],
      idempotent,
      deadline,
      ends: 0,
      endedAt: 0,
      reply: undefined,
      error: undefined,
      abandoned: false,
    };
    this.subjects.push(subject);
    this.#starting = subject;
    try {
      this.calls.start(subject.call, this.now);
    } catch (error) {
      assert.ok(error instanceof OverloadedError && this.calls.active >= 20);
      this.subjects.pop();
      this.refused += 1;
      return undefined;
    }
    return subject;
  }

  // Effects

  dispatch(envelope: Envelope, avoid: string): void {
    assert.ok(this.linked, "dispatched without a link");
    const owner = this.subjects.find(({ call }) => call.envelope === envelope) ?? this.#starting;
    assert.ok(owner !== undefined && owner.ends === 0, "a call that is over is dispatched");
    const id = envelope.callId;
    const attempt = {
      id,
      key: id.toString("hex"),
      call: owner,
      avoid,
      told: false,
      holder: "",
      mayHaveRun: false,
      cancelled: false,
    };
    assert.ok(!this.attempts.some(({ key }) => key === attempt.key), "an id is used twice");
    if (!owner.idempotent)
      assert.ok(!owner.attempts.some((one) => one.mayHaveRun), "sent again although it may have run");
    owner.attempts.push(attempt);
    this.attempts.push(attempt);
  }

  cancel(instance: string, callId: Buffer): void {
    const attempt = this.attempts.find(({ key }) => key === callId.toString("hex"));
    assert.ok(attempt !== undefined && (attempt.holder === instance || attempt.holder === ""));
    attempt.cancelled = true;
  }

  resolve(call: Call, reply: Envelope): void {
    const subject = this.#end(call);
    subject.reply = reply;
    const current = subject.attempts[subject.attempts.length - 1];
    assert.equal(reply.callId.toString("hex"), current?.key, "completed by a reply to another attempt");
  }

  reject(call: Call, error: TielineError): void {
    const subject = this.#end(call);
    subject.error = error;
    const ran = subject.attempts.some((attempt) => attempt.mayHaveRun);
    if (error.outcome === "NOT_DELIVERED") assert.ok(!ran, `${error.code} says not delivered, but it may have run`);
    if (error.code === "NO_RESPONDERS" && !ran) assert.equal(error.outcome, "NOT_DELIVERED");
  }

  wakeAt(moment: number): void {
    this.#wake = Math.min(this.#wake, moment);
  }

  // what happens

  pass(ms: number): void {
    this.now += ms;
    if (this.now < this.#wake) return;
    this.#wake = Infinity;
    this.deadlines.advance(this.now);
    this.#wake = Math.min(this.#wake, this.deadlines.next() ?? Infinity);
  }

  tell(attempt: Attempt, instance: string, error?: TielineError): void {
    attempt.told = true;
    if (instance !== "") {
      attempt.holder = instance;
      attempt.mayHaveRun = true;
    }
    if (error?.outcome === "MAY_HAVE_RUN") attempt.mayHaveRun = true;
    this.calls.dispatched(attempt.id, instance, error, this.now);
  }

  answer(id: Buffer, kind: number, error?: TielineError): void {
    const envelope = { ...newEnvelope(kind), callId: id, source: "s/r1" };
    if (error !== undefined) envelope.error = errorToWire(error);
    this.calls.answered(envelope, this.now);
  }

  linkDown(): void {
    if (!this.linked) return;
    this.linked = false;
    for (const attempt of this.attempts) {
      if (attempt.told) continue;
      attempt.told = true;
      attempt.mayHaveRun = true;
    }
    this.calls.linkDown(this.now);
  }

  linkUp(): void {
    if (this.linked) return;
    this.linked = true;
    this.calls.linkUp(this.now);
  }

  abandon(subject: Subject): void {
    if (subject.ends > 0) return;
    subject.abandoned = true;
    subject.ends += 1;
    subject.endedAt = this.now;
    this.calls.abandon(subject.call);
  }

  #end(call: Call): Subject {
    const subject = this.subjects.find((one) => one.call === call);
    assert.ok(subject !== undefined);
    assert.equal(subject.ends, 0, "a call ended twice");
    subject.ends += 1;
    subject.endedAt = this.now;
    return subject;
  }
}

const INSTANCES = ["r1", "r2", "r3"];
const NAMES = [
  "start",
  "start",
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
  "probe",
  "abandon",
  "pass",
  "pass",
  "jump",
] as const;
const ops = fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.nat(), fc.nat()), { minLength: 1, maxLength: 60 });

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
  else if (name === "take" && open && open.avoid !== instance) scene.tell(open, instance);
  else if (name === "nobody" && open) scene.tell(open, "");
  else if (name === "undispatched" && open)
    scene.tell(open, "", new UnavailableError("x", { outcome: b % 2 ? "NOT_DELIVERED" : "MAY_HAVE_RUN" }));
  else if (name === "reply" && any) scene.answer(any.id, REPLY);
  else if (name === "again" && any) for (let n = 0; n < 3; n++) scene.answer(any.id, REPLY);
  else if (name === "fail" && any) scene.answer(any.id, REPLY, new HandlerError("x"));
  else if (name === "refuse" && held && !held.cancelled) refuse(scene, held, b);
  else if (name === "accept" && any) scene.answer(any.id, ACCEPTED);
  else if (name === "forge") scene.answer(a % 2 ? newCallId() : Buffer.alloc(a % 20), REPLY);
  else if (name === "down") scene.linkDown();
  else if (name === "up") scene.linkUp();
  else if (name === "probe") probe(scene, a, b);
  else if (name === "abandon")
    scene.subjects[a % Math.max(1, scene.subjects.length)] && scene.abandon(pick(scene.subjects, a) as Subject);
  else if (name === "pass") scene.pass(a % 400);
  else if (name === "jump") scene.pass(a % 20_000);
}

function refuse(scene: Scene, attempt: Attempt, b: number): void {
  attempt.mayHaveRun = false;
  attempt.holder = "";
  scene.answer(attempt.id, REPLY, b % 2 ? new OverloadedError("full") : new NoRespondersError("filtered"));
}

function probe(scene: Scene, a: number, b: number): void {
  if (!scene.linked) return;
  const asked = scene.calls.suspects(scene.now);
  const silent = new Set([...asked].filter((_, at) => (a >> at) & 1));
  const expired = new Set([...asked].filter((_, at) => (b >> at) & 1 && b % 3 === 0));
  scene.calls.probed(silent, expired, asked, scene.now);
}

test("whatever happens in whatever order: each call ends once, in time, and truthfully", () => {
  fc.assert(
    fc.property(ops, (schedule) => {
      const scene = new Scene();
      for (const op of schedule) {
        step(scene, op);
        check(scene);
      }
      scene.pass(TTL + 1);
      check(scene);
      for (const subject of scene.subjects) assert.equal(subject.ends, 1, "a call never ended");
      assert.equal(scene.calls.active, 0);
      assert.deepStrictEqual(scene.calls.all(), []);
      if (scene.linked) leftovers(scene);
    }),
    { numRuns: 20_000 },
  );
});

function check(scene: Scene): void {
  assert.equal(scene.calls.active, scene.subjects.filter((subject) => subject.ends === 0).length);
  for (const { ends, deadline, attempts, idempotent, error } of scene.subjects) {
    if (ends === 0) assert.ok(scene.now < deadline, "it outlives its deadline");
    const ran = attempts.filter((attempt) => attempt.mayHaveRun).length;
    assert.ok(ran <= (idempotent ? DEFAULT_SETTINGS.attempts : 1), `${ran} attempts may have run`);
    if (error) assert.equal(error.idempotent, idempotent);
  }
}

/** Whoever takes an attempt of a call that was given up is told so, even if that is only known later. */
function leftovers(scene: Scene): void {
  for (const attempt of scene.attempts.filter(({ told }) => !told)) {
    const { call } = attempt;
    const current = call.attempts[call.attempts.length - 1] === attempt;
    scene.tell(attempt, "r1");
    const givenUp = call.abandoned || call.error?.code === "TIMEOUT";
    if (givenUp && current) assert.ok(attempt.cancelled, "a responder works for nobody");
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
