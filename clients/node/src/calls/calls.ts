import { DEFAULT_CREDIT_MS } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { ACCEPTED, errorFromWire, REPLY, STREAM_END } from "../envelope.js";
import { OverloadedError, TielineError } from "../errors.js";
import { callKey, instanceOf, newCallId } from "../identity.js";
import { ENVELOPE_BYTES } from "../linkWait.js";
import type { Settings } from "../settings.js";
import type { Probed } from "../transport.js";
import { type Call, type CallTable, type Effects, State } from "./call.js";
import {
  away,
  broken,
  inDoubt,
  isRefusal,
  leavesRun,
  lost,
  nobodyAnswers,
  tooLate,
  tooMuchWaits,
} from "./callErrors.js";
import type { Deadlines } from "./deadlines.js";
import { suspects, whyLost } from "./liveness.js";
import { StreamCall } from "./streamCall.js";

/**
 * The life of a call, without input or output: told the time and what happened, it says what to do.
 *
 * Normative: SPEC.md, section 6. One object per call, one table per event system.
 *
 *     WAITING ──dispatch──► SENT ──taken by R──► HELD ──reply──► DONE
 *        ▲                   │ nobody: again soon, or NO_RESPONDERS
 *        └───────────────────┴─ refused, lost, link broken: next attempt, or the error
 *
 * A call is in `#pending` under the id of its current attempt exactly while it is SENT or HELD. Each attempt has an id of
 * its own, so whatever answers an earlier attempt finds nothing and changes nothing.
 */

/** All calls of one event system that are not done. */
export class Calls implements CallTable {
  readonly #effects: Effects;
  readonly #deadlines: Deadlines;
  readonly #settings: Settings;
  readonly #pending = new Map<string, Call>();
  readonly #orphans = new Set<string>();
  readonly #resting = new Set<Call>();
  #parked = new Map<Call, number>();
  #waitingBytes = 0;
  #graceUntil = 0;
  #linked = true;
  /** How many calls are not done. */
  active = 0;
  /** Nobody outside of this process can be reached. */
  inProcess = false;

  constructor(effects: Effects, deadlines: Deadlines, settings: Settings) {
    this.#effects = effects;
    this.#deadlines = deadlines;
    this.#settings = settings;
  }

  // --- what the caller does ------------------------------------------------------------------------------------------

  /** Begins a call. Throws OverloadedError if too many are pending. */
  start(call: Call, now: number): void {
    if (this.active >= this.#settings.pendingCalls) {
      throw new OverloadedError(`${this.active} calls are pending already; slow down, or raise settings.pendingCalls`, {
        retryAfter: this.#settings.retryAfter,
      });
    }
    this.active += 1;
    call.table = this;
    if (call instanceof StreamCall) this.#tend(call, now);
    else this.#wake(call, call.deadline);
    if (this.#linked || call.near) this.#attempt(call, now);
    else this.#withoutLink(call, now, away());
  }

  /** The caller gave up: nothing is told to it any more, and the responder is cancelled when it is known. */
  abandon(call: Call): void {
    if (call.done) return;
    this.#callOff(call);
    this.#finish(call);
  }

  /** Ends a call with an error. */
  close(call: Call, error: TielineError): void {
    if (call.done) return;
    this.#callOff(call);
    this.#reject(call, error);
  }

  /** The reader of a stream took an item. */
  taken(call: StreamCall): void {
    call.awaited = false;
    if (!call.done && call.flow.creditDue && call.state === State.HELD) this.#effects.credit(call);
  }

  /** The reader of a stream waits for the next item. */
  awaited(call: StreamCall, now: number): void {
    if (call.awaited) return;
    call.awaited = true;
    call.rest(now);
  }

  /** Every call that is not done. */
  all(): Call[] {
    return [...this.#pending.values(), ...this.#parked.keys(), ...this.#resting];
  }

  // --- what the port reports -----------------------------------------------------------------------------------------

  /** An attempt was taken by an instance, by nobody (empty), or it failed. */
  dispatched(id: Uint8Array, instance: string, error: TielineError | undefined, now: number): void {
    const callId = callKey(id);
    const call = this.#pending.get(callId);
    if (call === undefined) {
      if (this.#orphans.delete(callId) && instance !== "") this.#effects.cancel(instance, Buffer.from(id));
    } else if (call.state === State.SENT) {
      if (instance !== "") {
        call.state = State.HELD;
        call.instance = instance;
        call.claimed = call.keyed;
        return;
      }
      this.#setAside(call);
      if (error === undefined) return this.#nobody(call, now);
      if (error.outcome === "NOT_DELIVERED") call.attempts -= 1;
      else call.mayHaveRun = true;
      this.#withoutLink(call, now, error);
    }
  }

  /** An attempt waits for the run of another call with the same idempotency key, there and until then. */
  joined(id: Uint8Array, until: number, instance: string): Call | undefined {
    const call = this.#pending.get(callKey(id));
    if (call?.state !== State.SENT) return undefined;
    call.state = State.HELD;
    call.instance = instance;
    call.attempts -= 1; // nothing was sent
    call.joined = true;
    call.redispatchAt = until;
    this.#wake(call, until);
    return call;
  }

  /** A REPLY, ACCEPTED or a part of a stream arrived; returns the call it belongs to, undefined if it changes nothing. */
  answered(envelope: Envelope, now: number): Call | undefined {
    const call = this.#pending.get(callKey(envelope.callId));
    if (call === undefined) return undefined;
    if (call.instance === "") call.instance = instanceOf(envelope.source); // before the broker said who has it
    if (call instanceof StreamCall) {
      this.#flowed(call, envelope, now);
    } else if (envelope.kind === REPLY) {
      if (envelope.error !== undefined) {
        call.claimed = call.keyed; // the answer may come before it is known who took it
        this.#failed(call, errorFromWire(envelope.error), envelope, now);
      } else {
        this.#finish(call);
        this.#effects.resolve(call, envelope);
      }
    } else if (envelope.kind === ACCEPTED) {
      call.accepted = true;
    }
    return call;
  }

  /** The broker is away: every attempt under way is unknown. */
  linkDown(now: number): void {
    this.#linked = false;
    this.#orphans.clear();
    for (const call of [...this.#pending.values()].filter((each) => !each.local)) {
      this.#breakOff(call);
      this.#withoutLink(call, now, broken(call));
    }
  }

  /** A link that was used before the present one has ended, and these attempts (`callKey`), which were made over it. */
  linkLeft(attempts: ReadonlySet<string>, now: number): void {
    for (const [id, call] of [...this.#pending]) {
      if (call.local || !attempts.has(id)) continue;
      this.#breakOff(call);
      if (call.repeatable && call.attempts < this.#settings.attempts) this.#attempt(call, now);
      else this.#reject(call, broken(call));
    }
  }

  /** Ids of the attempts that are out, see `callKey`. */
  underWay(): Set<string> {
    return new Set(this.#pending.keys());
  }

  /** What became of the attempt is not known, and will not be. */
  #breakOff(call: Call): void {
    // CANCEL is kept until the link is back.
    if (call.inflow !== undefined && call.state === State.HELD) this.#callOff(call);
    this.#setAside(call);
    call.avoid = "";
    call.mayHaveRun = true;
  }

  /** The broker is back; responders may need a moment to come back too. */
  linkUp(now: number): void {
    this.#linked = true;
    this.#graceUntil = now + this.#settings.respondersGrace;
    const parked = this.#parked;
    this.#parked = new Map();
    this.#waitingBytes = 0;
    for (const call of parked.keys()) this.#attempt(call, now);
  }

  // --- liveness of responders ----------------------------------------------------------------------------------------

  /** Responders that have held a call for so long that one should ask after them. */
  suspects(now: number): Set<string> {
    return suspects(this.#pending.values(), now - this.#settings.probeAfter);
  }

  /** Learns which of the instances asked about do not listen, and whose lease ended. */
  probed(probed: Probed, asked: ReadonlySet<string>, now: number): void {
    for (const call of [...this.#pending.values()]) {
      if (call.state !== State.HELD || !asked.has(call.instance)) continue;
      const why = whyLost(call, probed, now, this.#settings.probeConfirm);
      if (why !== "") this.#lost(call, now, why);
    }
  }

  /** Whether a second question is due soon. */
  anySilent(): boolean {
    for (const call of this.#pending.values()) if (call.silentSince !== 0) return true;
    return false;
  }

  // --- steps ---------------------------------------------------------------------------------------------------------

  /** A moment of this call has come. */
  due(call: Call, now: number): void {
    if (call instanceof StreamCall && !call.awaited) call.rest(now); // nobody waits for the responder
    if (now >= call.deadline) {
      this.#timedOut(call);
    } else if (this.#parked.has(call) && !isOut(call) && now >= call.waitForLink) {
      this.#reject(call, away());
    } else if (call.redispatchAt !== 0 && now >= call.redispatchAt) {
      this.#setAside(call); // if it joined a run, that is over
      this.#resting.delete(call);
      if (this.#linked) this.#attempt(call, now);
      else this.#withoutLink(call, now, away());
    }
    if (call instanceof StreamCall && !call.done && now >= call.tendAt) this.#tend(call, now);
  }

  /** Repeats the credit, and looks at the deadline, which moves with every item. */
  #tend(call: StreamCall, now: number): void {
    if (call.state === State.HELD) this.#effects.credit(call);
    call.tendAt = Math.min(call.deadline, now + DEFAULT_CREDIT_MS);
    this.#wake(call, call.tendAt);
  }

  #flowed(call: StreamCall, envelope: Envelope, now: number): void {
    const progress = call.flowed(envelope);
    if (progress === "item") {
      this.#effects.arrived(call);
    } else if (progress instanceof TielineError) {
      if (call.flow.received > 0)
        call.mayHaveRun = true; // whatever it says
      else if (envelope.kind === REPLY) return this.#failed(call, progress, envelope, now);
      if (envelope.kind !== STREAM_END || envelope.error === undefined) this.#callOff(call);
      this.#reject(call, progress);
    } else if (progress !== "nothing") {
      this.#finish(call);
      this.#effects.resolve(call, envelope);
    }
  }

  #attempt(call: Call, now: number): void {
    if (now >= call.deadline) return this.#timedOut(call); // the timer is late
    if (call.attempts > 0) call.envelope = { ...call.envelope }; // the earlier one may still be read in this process
    const id = newCallId();
    call.envelope.callId = id;
    call.callId = callKey(id);
    call.state = State.SENT;
    call.started = now;
    call.attempts += 1;
    call.local = call.near;
    call.silentSince = 0;
    this.#pending.set(call.callId, call);
    this.#effects.dispatch(call);
  }

  /** Ends the attempt, not the call. */
  #setAside(call: Call): void {
    this.#pending.delete(call.callId);
    call.state = State.WAITING;
    call.instance = "";
    call.local = false;
    call.redispatchAt = 0;
    if (call.joined) call.mayHaveRun = true;
    call.joined = false;
  }

  #nobody(call: Call, now: number): void {
    call.attempts -= 1; // nothing was sent
    const refusal = call.lastError;
    if ((refusal === undefined || refusal.code === "NO_RESPONDERS") && this.#isPatient(call, now)) {
      this.#rest(call, now);
    } else {
      this.#reject(call, refusal ?? nobodyAnswers(call, this.inProcess));
    }
  }

  /** Whether it waits for somebody who answers. */
  #isPatient(call: Call, now: number): boolean {
    return call.to === "" && now < Math.max(call.patience, this.#graceUntil);
  }

  /** Asks again soon, anybody. */
  #rest(call: Call, now: number): void {
    call.avoid = "";
    call.refusals = 0;
    call.redispatchAt = now + this.#settings.redispatch;
    this.#resting.add(call);
    this.#wake(call, call.redispatchAt);
  }

  #failed(call: Call, error: TielineError, reply: Envelope, now: number): void {
    const spent = call.to !== "" || (call.idempotent && call.attempts >= this.#settings.attempts);
    const again = call.refusals < 1 && !spent;
    if (!isRefusal(error) || !(again || (error.code === "NO_RESPONDERS" && this.#isPatient(call, now)))) {
      return this.#reject(call, error);
    }
    call.lastError = error;
    const sent = !call.joined;
    call.joined = false; // the run it joined was refused: nothing has run
    const refuser = call.instance || instanceOf(reply.source);
    this.#setAside(call);
    if (again) {
      call.refusals += 1;
      call.avoid = refuser;
      this.#attempt(call, now);
    } else {
      if (sent) call.attempts -= 1; // it counts as nobody
      this.#rest(call, now);
    }
  }

  #lost(call: Call, now: number, why: string): void {
    const error = lost(call, why);
    this.#effects.cancel(call.instance, call.envelope.callId);
    call.mayHaveRun = true;
    if (call.repeatable && call.to === "" && call.attempts < this.#settings.attempts) {
      call.lastError = error;
      call.avoid = call.instance;
      this.#setAside(call);
      this.#attempt(call, now);
    } else {
      this.#reject(call, error);
    }
  }

  /** Waits for the link where the caller allowed it, else ends the call. */
  #withoutLink(call: Call, now: number, error: TielineError): void {
    const unsent = error.outcome === "NOT_DELIVERED";
    const again = call.repeatable && isOut(call) && call.attempts < this.#settings.attempts;
    if (error.code !== "UNAVAILABLE" || this.#linked || !(again || (unsent && now < call.waitForLink))) {
      this.#reject(call, error);
      return;
    }
    const size = call.envelope.data.length + ENVELOPE_BYTES;
    if (this.#waitingBytes + size > this.#settings.offlineBuffer) {
      this.#reject(call, tooMuchWaits(size));
      return;
    }
    this.#waitingBytes += size;
    this.#parked.set(call, size);
    if (!again) this.#wake(call, call.waitForLink);
  }

  #timedOut(call: Call): void {
    const sent = isOut(call);
    const inVain = !sent && call.state === State.WAITING && this.#linked;
    const total = call instanceof StreamCall && call.deadline >= call.limit ? call.total : Infinity;
    const error = inVain ? nobodyAnswers(call, this.inProcess) : tooLate(call, sent, total);
    this.#callOff(call);
    this.#reject(call, error);
  }

  #callOff(call: Call): void {
    if (call.keyed) return; // others may wait for the run
    if (call.state === State.HELD) this.#effects.cancel(call.instance, call.envelope.callId);
    else if (call.state === State.SENT) this.#orphans.add(call.callId);
  }

  #reject(call: Call, reason: TielineError): void {
    const error = call.mayHaveRun && reason.outcome === "NOT_DELIVERED" ? inDoubt(reason) : reason;
    error.idempotent = call.idempotent;
    this.#finish(call);
    if (call.claimed && !leavesRun(error)) this.#effects.release(call, error);
    this.#effects.reject(call, error);
  }

  #finish(call: Call): void {
    this.#pending.delete(call.callId);
    if (this.#parked.size > 0) {
      this.#waitingBytes -= this.#parked.get(call) ?? 0;
      this.#parked.delete(call);
    }
    if (this.#resting.size > 0) this.#resting.delete(call);
    call.state = State.DONE;
    call.done = true;
    this.active -= 1;
    this.#deadlines.finished();
  }

  #wake(call: Call, moment: number): void {
    if (this.#deadlines.add(moment, call)) this.#effects.wakeAt(moment);
  }
}

/** An attempt is or was out, of its own or of a run that it joined. */
function isOut(call: Call): boolean {
  return call.attempts > 0 || call.mayHaveRun || call.joined;
}
