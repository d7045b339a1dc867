import assert from "node:assert/strict";
import { Call, type Effects, State } from "../../src/calls/call.js";
import { Calls } from "../../src/calls/calls.js";
import { Deadlines } from "../../src/calls/deadlines.js";
import { Reader, StreamCall } from "../../src/calls/streamCall.js";
import { type Envelope, errorToWire, newEnvelope, REQUEST, STREAM_ITEM } from "../../src/envelope.js";
import { OverloadedError, type TielineError } from "../../src/errors.js";
import { callKey } from "../../src/identity.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";

export const TTL = 5000;
export const TOTAL = 12_000;
const MOST = 20;

/** One attempt, as the world outside sees it. */
export interface Attempt {
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
  /** It waits for the run of another call. */
  joined: boolean;
  /** Items sent, and up to which one the reader allowed it. */
  sent: number;
  allowed: number;
}

/** A call, and what became of it. */
export interface Subject {
  readonly call: Call;
  readonly attempts: Attempt[];
  readonly idempotent: boolean;
  /** It must be over then; of a stream whose reader is busy, this moves up to the limit. */
  deadline: number;
  readonly limit: number;
  ends: number;
  endedAt: number;
  reply: Envelope | undefined;
  error: TielineError | undefined;
  abandoned: boolean;
  /** Items its reader took. */
  read: Envelope[];
  /** Somebody sent more than it was allowed, or left items out. */
  wronged: boolean;
}

/** A table of calls and everything around it, with a clock to turn by hand. */
export class Scene implements Effects {
  now = 1000;
  linked = true;
  readonly deadlines = new Deadlines();
  readonly calls = new Calls(this, this.deadlines, { ...DEFAULT_SETTINGS, pendingCalls: MOST });
  readonly subjects: Subject[] = [];
  readonly attempts: Attempt[] = [];
  /** Calls that gave up the claim of their key. */
  readonly released = new Set<Call>();
  refused = 0;
  #wake = Infinity;
  #starting: Subject | undefined;

  start(idempotent: boolean, patience: number, waitForLink: number): Subject | undefined {
    const options = this.#options(idempotent, patience, waitForLink);
    const waiter = { resolve: () => undefined, reject: () => undefined };
    return this.#start(new Call(this.#request(), this.now + TTL, waiter, options), idempotent, this.now + TTL);
  }

  /** A call with an idempotency key. */
  startKeyed(patience: number, waitForLink: number): Subject | undefined {
    const options = this.#options(true, patience, waitForLink);
    const waiter = { resolve: () => undefined, reject: () => undefined };
    const request = { ...this.#request(), idempotencyKey: "k" };
    return this.#start(new Call(request, this.now + TTL, waiter, options), true, this.now + TTL);
  }

  startStream(idempotent: boolean, patience: number, waitForLink: number, window: number): Subject | undefined {
    const options = this.#options(idempotent, patience, waitForLink);
    const limit = this.now + TOTAL;
    const call = new StreamCall(this.#request(), this.now, new Reader(), { ...options, limit, window });
    return this.#start(call, idempotent, limit);
  }

  #options(idempotent: boolean, patience: number, waitForLink: number) {
    return {
      idempotent,
      patience: patience && this.now + patience,
      waitForLink: waitForLink && this.now + waitForLink,
    };
  }

  #request(): Envelope {
    return { ...newEnvelope(REQUEST), topic: "a.b", ttlMs: TTL };
  }

  #start(call: Call, idempotent: boolean, limit: number): Subject | undefined {
    const subject: Subject = {
      call,
      attempts: [],
      idempotent,
      deadline: this.now + TTL,
      limit,
      ends: 0,
      endedAt: 0,
      reply: undefined,
      error: undefined,
      abandoned: false,
      read: [],
      wronged: false,
    };
    this.subjects.push(subject);
    this.#starting = subject;
    try {
      this.calls.start(call, this.now);
    } catch (error) {
      assert.ok(error instanceof OverloadedError && this.calls.active >= MOST);
      this.subjects.pop();
      this.refused += 1;
      return undefined;
    }
    return subject;
  }

  // Effects

  dispatch(call: Call): void {
    assert.ok(this.linked, "dispatched without a link");
    const owner = this.subjects.find((subject) => subject.call === call) ?? this.#starting;
    assert.ok(owner !== undefined && owner.ends === 0, "a call that is over is dispatched");
    assert.ok(!call.inflow?.received, "a stream is sent again after its first item");
    const { callId: id, stream } = call.envelope;
    const attempt: Attempt = {
      id,
      key: id.toString("hex"),
      call: owner,
      avoid: call.avoid,
      told: false,
      holder: "",
      mayHaveRun: false,
      cancelled: false,
      joined: false,
      sent: 0,
      allowed: stream?.window ?? 0,
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
    assert.equal(reply.callId.toString("hex"), subject.attempts.at(-1)?.key, "completed by a reply to another attempt");
  }

  reject(call: Call, error: TielineError): void {
    const subject = this.#end(call);
    subject.error = error;
    const ran = subject.attempts.some((attempt) => attempt.mayHaveRun);
    if (error.outcome === "NOT_DELIVERED") assert.ok(!ran, `${error.code} says not delivered, but it may have run`);
    if (error.code === "NO_RESPONDERS" && !ran) assert.equal(error.outcome, "NOT_DELIVERED");
    const due = call instanceof StreamCall && !call.awaited ? subject.limit : Math.min(subject.deadline, subject.limit);
    if (error.code === "TIMEOUT") assert.ok(this.now >= due, "it ended before its time");
    if (error.code === "INTERNAL") assert.ok(subject.wronged, "a responder that keeps to its credit is blamed");
  }

  release(call: Call): void {
    assert.ok(call.keyed && call.done, "a claim is released that is none, or too early");
    assert.ok(!this.released.has(call), "a claim is released twice");
    this.released.add(call);
  }

  arrived(call: StreamCall): void {
    assert.ok(this.subjects.some((one) => one.call === call && one.ends === 0) && call.flow.waiting > 0);
  }

  credit(call: StreamCall): void {
    const attempt = this.attempts.find(({ key }) => key === call.envelope.callId.toString("hex"));
    assert.ok(attempt !== undefined && attempt.holder === call.instance, "credit for somebody else");
    const { consumed, window } = call.flow.grant();
    assert.equal(consumed, attempt.call.read.length, "credit for items that were not read");
    attempt.allowed = consumed + window;
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

  /** An attempt has joined the run of another call, which is at this instance for so long. */
  join(attempt: Attempt, instance: string, ms: number): void {
    attempt.told = true;
    attempt.joined = true;
    attempt.holder = instance;
    attempt.mayHaveRun = true;
    this.calls.joined(attempt.id, this.now + ms, instance);
  }

  answer(id: Buffer, kind: number, error?: TielineError, fields: Partial<Envelope> = {}): void {
    const envelope = { ...newEnvelope(kind), callId: id, source: "s/r1", ...fields };
    if (error !== undefined) envelope.error = errorToWire(error);
    const asked = this.attempts.find((attempt) => attempt.id.equals(id));
    if (asked?.joined && error?.outcome === "NOT_DELIVERED") asked.mayHaveRun = false; // the owner of the run says so
    if ((asked?.call.call.inflow?.received ?? 0) >= (asked?.allowed ?? 0) && asked) asked.call.wronged = true;
    this.calls.answered(envelope, this.now);
  }

  /** An item, which may come before the broker has said who sends it. It changes nothing if the attempt is over. */
  item(attempt: Attempt, sequence: number): void {
    if (attempt.holder === "") attempt.holder = "r1";
    attempt.mayHaveRun = true;
    const { flow, state, callId } = attempt.call.call as StreamCall;
    const current = state !== State.DONE && callId === attempt.id.toString("latin1");
    const before = flow.received;
    if (current && (sequence > before + 1 || sequence > attempt.allowed)) attempt.call.wronged = true;
    this.answer(attempt.id, STREAM_ITEM, undefined, {
      source: `s/${attempt.holder}`,
      stream: { sequence, consumed: 0, window: 0 },
    });
    if (!current) assert.equal(flow.received, before, "an item of an attempt that is over was taken");
  }

  /** The reader takes what is there, or waits. */
  read(subject: Subject): void {
    const call = subject.call as StreamCall;
    const item = call.flow.take();
    if (item !== undefined) {
      subject.read.push(item);
      this.calls.taken(call);
    } else {
      if (!call.awaited) subject.deadline = this.now + TTL;
      this.calls.awaited(call, this.now);
    }
  }

  linkDown(): void {
    if (!this.linked) return;
    this.linked = false;
    for (const attempt of this.attempts) {
      if (attempt.told) continue;
      attempt.told = true;
      attempt.mayHaveRun = true;
    }
    const held = this.attempts.filter(({ call: { call }, key }) => {
      return call instanceof StreamCall && call.state === State.HELD && call.envelope.callId.toString("hex") === key;
    });
    this.calls.linkDown(this.now);
    for (const attempt of held) assert.ok(attempt.cancelled, "a responder streams on to a link that broke");
  }

  linkUp(): void {
    if (this.linked) return;
    this.linked = true;
    this.calls.linkUp(this.now);
  }

  /** The link that was in use until so long ago (ms) is gone; there is another one. */
  linkLeft(ago: number): void {
    const since = this.now - ago;
    const over = this.attempts.filter(({ call: { call }, key }) => {
      const isOut = call.state === State.SENT || call.state === State.HELD;
      return isOut && call.started < since && call.envelope.callId.toString("hex") === key;
    });
    for (const attempt of over) if (!attempt.told) attempt.told = attempt.mayHaveRun = true;
    const streams = over.filter(({ call: { call } }) => call instanceof StreamCall && call.state === State.HELD);
    const done = new Map(over.map(({ call }) => [call, call.attempts.length]));
    this.calls.linkLeft(new Set(over.map(({ call: { call } }) => callKey(call.envelope.callId))), this.now);
    for (const attempt of streams) assert.ok(attempt.cancelled, "a responder streams on to a link that is gone");
    for (const [subject, attempts] of done) {
      assert.ok(subject.ends > 0 || subject.attempts.length > attempts, "a call waits for who cannot answer");
    }
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
