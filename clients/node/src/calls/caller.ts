import type { Timer } from "../clock.js";
import { Event } from "../context.js";
import { ASK_TOPIC } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { ACCEPTED, CANCEL, CREDIT, newEnvelope } from "../envelope.js";
import { type TielineError, UnavailableError } from "../errors.js";
import type { Recorded } from "../explain/trail.js";
import type { UnderWay } from "../figures/standing.js";
import type { Instance } from "../instance.js";
import type { Router } from "../router.js";
import { Alarm } from "../schedules/alarm.js";
import type { Subscription } from "../subscription.js";
import { inTime } from "../within.js";
import { Call, type CallOptions, type Effects, type Waiter } from "./call.js";
import { isRefusal } from "./callErrors.js";
import { Calls } from "./calls.js";
import { Deadlines } from "./deadlines.js";
import { type Answer, type Begin, Gathering, type Unit, units } from "./gather.js";
import { LocalCall } from "./localCall.js";
import { PendingReply } from "./pendingReply.js";
import { gaveUp, type Scopes, scopesOf, whenOver } from "./scopes.js";
import { Reader, StreamCall } from "./streamCall.js";

/** What a caller may ask of a call, in milliseconds. */
export interface Request {
  readonly idempotent: boolean;
  readonly waitForResponders: number;
  readonly waitForConnection: number;
  readonly signal: AbortSignal | undefined;
}

/** What a caller may ask of a call for a stream, in milliseconds. */
export interface StreamRequest extends Request {
  /** The end of it all, from now. */
  readonly total: number;
  /** Items the responder may be ahead, at most. */
  readonly window: number | undefined;
}

/** What a caller may ask of a gather. */
export interface Asked {
  readonly maxReplies: number;
  readonly everyInstance: boolean;
  readonly signal: AbortSignal | undefined;
}

const NOTHING_ASKED: Request = { idempotent: false, waitForResponders: 0, waitForConnection: 0, signal: undefined };

/** A call on its way. */
interface Out {
  readonly envelope: Envelope;
  readonly request: Request;
  readonly scopes: Scopes;
  readonly deadline: number;
  readonly pending: PendingReply;
}

/** Calls as the caller sees them: to a handler here or to one elsewhere; deadlines; asking after responders. */
export class Caller implements Effects {
  readonly #instance: Instance;
  readonly #router: Router;
  readonly #deadlines = new Deadlines();
  readonly #alarm: Alarm;
  readonly #calls: Calls;
  readonly #local = new Set<LocalCall>();
  #watch: Timer | undefined;

  constructor(instance: Instance, router: Router) {
    this.#instance = instance;
    this.#router = router;
    this.#alarm = new Alarm(this.#deadlines, instance);
    this.#calls = new Calls(this, this.#deadlines, instance.settings);
    instance.tally.gauges.set("callsPending", () => this.#calls.active);
  }

  /** Calls to other processes that are not done. */
  get active(): number {
    return this.#calls.active;
  }

  /** The requests of calls that are not done: with whom they are, and whether it said that it has them. */
  out(): UnderWay[] {
    const remote = this.#calls.all().map(({ envelope, instance, accepted }) => ({ envelope, instance, accepted }));
    const local = [...this.#local].map(({ envelope }) => ({ envelope, instance: "", accepted: true }));
    return [...remote, ...local].filter(({ envelope }) => envelope.topic !== ASK_TOPIC);
  }

  /** What there is to tell of the calls to other processes that are not done. */
  waiting(): Recorded[] {
    return this.#calls.all().map((call) => this.#instance.trail.waiting(call));
  }

  /** Ends what is still out with UNAVAILABLE. */
  close(): void {
    this.#watch?.cancel();
    const error = () => new UnavailableError("the event system was closed while the call was out");
    for (const call of this.#calls.all()) this.#calls.close(call, error());
    for (const call of [...this.#local]) call.interrupt(error());
    this.#alarm.stop();
  }

  // --- a call --------------------------------------------------------------------------------------------------------

  /** Has somebody answer: a handler here that has room, else somebody elsewhere. `data` is what was published. */
  call(envelope: Envelope, data: unknown, request: Request): Promise<unknown> {
    const scopes = scopesOf(request.signal);
    const deadline = this.#instance.now() + envelope.ttlMs;
    return new Promise((resolve, reject) => {
      this.#alarm.hold();
      const pending = new PendingReply(resolve, reject, () => this.#alarm.release());
      envelope.idempotent = request.idempotent;
      const keyed = envelope.idempotencyKey !== ""; // it always goes through the broker
      const subscription = keyed ? undefined : this.#router.responder(envelope.topic);
      const out: Out = { envelope, request, scopes, deadline, pending };
      if (subscription !== undefined) this.#here(subscription, out, data);
      else this.#elsewhere(out, keyed ? undefined : this.#crowded(envelope));
    });
  }

  /** A local responder that has no room is avoided, and its refusal is the result if nobody else is there. */
  #crowded(request: Envelope): TielineError | undefined {
    if (!this.#router.hasResponder(request.topic)) return undefined;
    this.#instance.tally.count("overloads");
    return this.#instance.overloaded(request);
  }

  #here(subscription: Subscription, out: Out, data: unknown): void {
    const { envelope, deadline, pending } = out;
    const instance = this.#instance;
    const event = new Event(envelope, instance.clock);
    if (subscription.byReference) event.setData(data);
    const call = new LocalCall(subscription, event, pending, out.request.idempotent, {
      refused: (error) => this.#elsewhere(out, error),
      ended: (ended) => {
        this.#local.delete(ended);
        this.#deadlines.finished();
        this.#countLocal(envelope, deadline, ended.failure);
        this.#rememberLocal(envelope, subscription.name, deadline, ended.failure);
      },
    });
    this.#local.add(call);
    pending.cancelWith(out.scopes, (reason) => call.interrupt(gaveUp(reason)));
    if (this.#deadlines.add(deadline, call)) this.wakeAt(deadline);
    if (instance.observer) instance.say("routed_local", envelope, { subscription: subscription.name });
    call.begin();
  }

  /** After a refusal it is somebody else's. */
  #countLocal({ topic, ttlMs }: Envelope, deadline: number, failure: TielineError | undefined): void {
    if (failure !== undefined && isRefusal(failure)) return;
    const { tally } = this.#instance;
    const series = tally.calls(topic);
    series.published += 1;
    if (failure === undefined) series.trip.record(this.#instance.now() - (deadline - ttlMs));
    else tally.callFailed(topic, failure.code);
  }

  #rememberLocal(envelope: Envelope, name: string, deadline: number, failure: TielineError | undefined): void {
    const { trail } = this.#instance;
    if (failure === undefined && trail.room === 0) return;
    trail.local(envelope, name, deadline - envelope.ttlMs, failure);
    if (failure !== undefined) this.#instance.store(envelope);
  }

  #elsewhere(out: Out, refusal: TielineError | undefined): void {
    const { envelope, request, deadline, pending } = out;
    const now = this.#instance.now();
    const call = new Call(envelope, deadline, pending, {
      ...optionsOf(request, now),
      avoid: refusal === undefined ? "" : (this.#instance.port?.instance ?? ""),
      refusal,
    } satisfies CallOptions);
    pending.cancelWith(out.scopes, (reason) => this.#abandon(call, reason));
    try {
      this.#start(call, request, now);
    } catch (error) {
      pending.reject(error as TielineError);
    }
  }

  #start(call: Call, request: Request, now: number): void {
    call.envelope.idempotent = request.idempotent;
    call.began = now;
    this.#instance.tally.calls(call.envelope.topic).published += 1;
    this.#calls.inProcess = this.#inProcess;
    this.#calls.start(call, now);
    if (this.#watch === undefined) this.#askIn(this.#instance.settings.probeInterval);
  }

  get #inProcess(): boolean {
    return this.#instance.port?.inProcess ?? false;
  }

  #abandon(call: Call, reason: unknown): void {
    const unsent = call.attempts === 0;
    this.#countGivenUp(call);
    this.#calls.abandon(call);
    const error = gaveUp(reason, unsent);
    error.correlationId = call.envelope.correlationId || call.envelope.id;
    call.waiter.reject(error);
    this.#instance.unusual("cancelled", call.envelope);
  }

  #countGivenUp(call: Call): void {
    if (!call.done) this.#instance.tally.callFailed(call.envelope.topic, "CANCELLED");
  }

  /** Waits before another try; rejects with CallCancelledError if the caller gives up. */
  async rest(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const scopes = scopesOf(signal);
    await new Promise<void>((resolve, reject) => {
      const timer = this.#instance.clock.callLater(ms, () => {
        release();
        resolve();
      });
      const release = whenOver(scopes, (reason) => {
        timer.cancel();
        reject(gaveUp(reason));
      });
    });
  }

  // --- a call for a stream -------------------------------------------------------------------------------------------

  /** Has somebody stream: a handler here that has room, else somebody elsewhere. */
  stream(envelope: Envelope, request: StreamRequest): StreamCall {
    const scopes = scopesOf(request.signal);
    const now = this.#instance.now();
    const reader = new Reader(() => release());
    const call = new StreamCall(envelope, now, reader, {
      ...optionsOf(request, now),
      near: this.#router.hasRoom(envelope.topic),
      limit: now + request.total,
      window: request.window,
    });
    const release = whenOver(scopes, (reason) => this.#abandonStream(call, reason));
    try {
      this.#start(call, request, now);
    } catch (error) {
      release();
      throw error;
    }
    return call;
  }

  /** Resolves when something has changed for the reader, who waits for the next item. */
  async change(call: StreamCall): Promise<void> {
    this.#calls.awaited(call, this.#instance.now());
    this.#alarm.hold();
    await call.reader.change();
    this.#alarm.release();
  }

  /** The reader took an item. */
  taken(call: StreamCall): void {
    this.#calls.taken(call);
  }

  /** Nobody reads any more. */
  leave(call: StreamCall): void {
    if (call.done) return;
    this.#countGivenUp(call);
    this.#calls.abandon(call);
    call.reader.resolve();
    this.#instance.unusual("cancelled", call.envelope);
  }

  #abandonStream(call: StreamCall, reason: unknown): void {
    if (call.done) return;
    call.flow.clear();
    this.#abandon(call, reason);
  }

  // --- calls to many -------------------------------------------------------------------------------------------------

  /** Has one responder of each unit answer. */
  async gather(envelope: Envelope, asked: Asked): Promise<Answer[]> {
    const scopes = scopesOf(asked.signal);
    const deadline = this.#instance.now() + envelope.ttlMs;
    this.#alarm.hold();
    let release: () => void = () => undefined;
    try {
      return await new Promise((resolve, reject) => {
        const begin: Begin = (request, to, waiter) => this.#at(request, to, deadline, waiter);
        const leave = (call: Call) => {
          this.#countGivenUp(call);
          this.#calls.abandon(call);
        };
        const gathering = new Gathering(envelope, begin, leave, this.#inProcess);
        release = whenOver(scopes, (reason) => {
          gathering.stop();
          reject(gaveUp(reason));
        });
        this.#units(envelope, asked)
          .then((units) => gathering.ask(units, asked.maxReplies))
          .then(resolve, reject);
      });
    } finally {
      release();
      this.#alarm.release();
    }
  }

  async #units({ topic, ttlMs }: Envelope, { everyInstance }: Asked): Promise<Unit[]> {
    const { port, clock } = this.#instance;
    if (port === undefined) return [];
    return units(await inTime(ttlMs, port.responders(topic), clock), port.instance, everyInstance);
  }

  /** Has this instance answer, or nobody. */
  #at(envelope: Envelope, to: string, deadline: number, waiter: Waiter): Call {
    const call = new Call(envelope, deadline, waiter, { to });
    this.#start(call, NOTHING_ASKED, this.#instance.now());
    return call;
  }

  // --- what the port reports -----------------------------------------------------------------------------------------

  /** See `Receiver.onDispatched`. */
  dispatched(callId: Uint8Array, instance: string, error: TielineError | undefined): void {
    this.#calls.dispatched(callId, instance, error, this.#instance.now());
  }

  /** See `Receiver.onJoined`. */
  joined(callId: Uint8Array, until: number, instance: string): void {
    const call = this.#calls.joined(callId, this.#instance.clock.local(until), instance);
    if (call !== undefined) this.#instance.unusual("joined", call.envelope, { until, instance });
  }

  /** A REPLY, ACCEPTED or a part of a stream arrived. */
  answered(envelope: Envelope): void {
    const call = this.#calls.answered(envelope, this.#instance.now());
    if (envelope.idempotencyKey !== "" && call !== undefined) this.#instance.unusual("deduplicated", call.envelope);
    if (this.#instance.observer === undefined) return;
    if (call === undefined) this.#instance.say("dropped", envelope, { why: "it answers no call that is out" });
    else if (envelope.kind === ACCEPTED) this.#instance.say("accepted", call.envelope, { instance: call.instance });
  }

  /** The broker is away. */
  linkDown(): void {
    this.#calls.linkDown(this.#instance.now());
  }

  /** The broker is back. */
  linkUp(): void {
    this.#calls.linkUp(this.#instance.now());
  }

  /** These attempts (`callKey`) get no answer any more. */
  linkLeft(attempts: ReadonlySet<string>): void {
    this.#calls.linkLeft(attempts, this.#instance.now());
  }

  /** Ids of the attempts that are out, see `callKey`. */
  underWay(): Set<string> {
    return this.#calls.underWay();
  }

  // --- what the calls ask for (Effects) ------------------------------------------------------------------------------

  /** Sends an attempt. */
  dispatch(call: Call): void {
    const { envelope, avoid, to } = call;
    if (call.near || (to !== "" && to === this.#instance.port?.instance)) return this.#dispatchHere(call);
    if (this.#instance.observer) this.#instance.say("routed_remote", envelope, { avoid });
    this.#instance.port?.dispatch(envelope, avoid, to);
  }

  #dispatchHere(call: Call): void {
    call.near = false;
    const { envelope } = call;
    const { callId } = envelope;
    if (this.#instance.observer) this.#instance.say("routed_local", envelope);
    this.#instance.receiver?.onRequest(envelope);
    this.dispatched(callId, this.#instance.port?.instance ?? "", undefined);
  }

  /** Gives up the claim of an idempotency key. */
  release(call: Call, error: TielineError): void {
    this.#instance.port?.release(call.envelope, error);
  }

  /** Sends CANCEL. */
  cancel(instance: string, callId: Buffer): void {
    const envelope = newEnvelope(CANCEL);
    envelope.callId = callId;
    this.#instance.answer(instance, envelope);
  }

  /** Sends CREDIT. */
  credit(call: StreamCall): void {
    const envelope = newEnvelope(CREDIT);
    envelope.callId = call.envelope.callId;
    envelope.stream = call.flow.grant();
    this.#instance.answer(call.instance, envelope);
  }

  /** There is something to read. */
  arrived(call: StreamCall): void {
    call.reader.wake();
  }

  /** A reply came. */
  resolve(call: Call, reply: Envelope): void {
    if (!(call instanceof StreamCall)) {
      this.#instance.tally.calls(call.envelope.topic).trip.record(this.#instance.now() - call.began);
    }
    call.waiter.resolve(reply);
    if (this.#instance.observer) {
      this.#instance.say("completed", call.envelope, { instance: reply.source, attempts: call.attempts });
    }
    if (call.envelope.topic === ASK_TOPIC) return; // whoever asks often would remember little else
    if (this.#instance.trail.room > 0) this.#instance.trail.called(call);
  }

  /** The call failed. */
  reject(call: Call, error: TielineError): void {
    this.#instance.tally.callFailed(call.envelope.topic, error.code);
    call.waiter.reject(error);
    if (this.#instance.observer) {
      this.#instance.say("failed", call.envelope, { code: error.code, outcome: error.outcome });
    }
    if (call.envelope.topic === ASK_TOPIC) return;
    this.#instance.trail.called(call, error);
    this.#instance.store(call.envelope);
  }

  /** Looks at the deadlines at this moment. */
  wakeAt(moment: number): void {
    this.#alarm.wakeAt(moment);
  }

  // --- liveness ------------------------------------------------------------------------------------------------------

  /** Asks after the responders of old calls, for as long as there are calls. What could not be asked proves nothing. */
  async #ask(): Promise<void> {
    const suspects = this.#calls.suspects(this.#instance.now());
    if (suspects.size > 0 && this.#instance.port !== undefined) {
      const probed = await this.#instance.port.probe([...suspects]).catch(() => undefined);
      if (probed !== undefined) this.#calls.probed(probed, suspects, this.#instance.now());
    }
    this.#watch = undefined;
    if (this.#calls.active === 0) return;
    const { probeConfirm, probeInterval } = this.#instance.settings;
    this.#askIn(this.#calls.anySilent() ? probeConfirm : probeInterval);
  }

  #askIn(ms: number): void {
    this.#watch = this.#instance.clock.callLater(ms, () => void this.#ask());
    this.#watch.unref();
  }
}

function optionsOf(request: Request, now: number): CallOptions {
  return {
    idempotent: request.idempotent,
    patience: request.waitForResponders && now + request.waitForResponders,
    waitForLink: request.waitForConnection && now + request.waitForConnection,
  };
}
