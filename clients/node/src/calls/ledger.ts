import {
  DEFAULT_IDEMPOTENCY_WINDOW_MS,
  DEFAULT_RETRY_AFTER_MS,
  LIMIT_JOINERS,
  LIMIT_RUNS,
  LIMIT_STORED_RESULTS,
  LIMIT_STORED_RESULTS_BYTES,
} from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { errorToWire, newEnvelope, parse, REPLY, serialize } from "../envelope.js";
import { ConflictError, OverloadedError, type TielineError } from "../errors.js";

const TIDY_AT = 1024;
const LOOK_AGAIN = 1000;

/** Who waits for a run: its instance, and the id of its call. */
export interface Waiting {
  readonly instance: string;
  readonly callId: Buffer;
}

/** A result: the fingerprint of its payload, and the REPLY without what is its caller's, serialized. */
interface Stored {
  readonly fingerprint: Buffer;
  readonly reply: Buffer;
  readonly expires: number;
}

/** Results in this process; the oldest give way. */
class Results {
  readonly #kept = new Map<string, Stored>();
  #bytes = 0;

  constructor(
    readonly most: number,
    readonly mostBytes: number,
  ) {}

  get(key: string, now: number): Stored | undefined {
    const found = this.#kept.get(key);
    if (found === undefined || found.expires > now) return found;
    this.#drop(key, found);
    return undefined;
  }

  put(key: string, result: Stored): void {
    const before = this.#kept.get(key);
    if (before !== undefined) this.#drop(key, before);
    this.#kept.set(key, result);
    this.#bytes += result.reply.length;
    for (const [oldest, stored] of this.#kept) {
      if (this.#kept.size <= this.most && this.#bytes <= this.mostBytes) return;
      this.#drop(oldest, stored);
    }
  }

  #drop(key: string, stored: Stored): void {
    this.#kept.delete(key);
    this.#bytes -= stored.reply.length;
  }
}

/** A run under way: when its claim ends (ms since 1970), and where it is. */
export interface Joined {
  readonly until: number;
  readonly at: string;
}

/** A claim that has no result yet. */
interface Run {
  instance: string;
  token: string;
  ends: number;
  /** How long its result is kept, in milliseconds. */
  window: number;
  readonly fingerprint: Buffer;
  readonly waiting: Map<string, Waiting>;
}

/**
 * Runs of idempotency keys where there is no Redis: who claimed a key, who joined, and results (SPEC.md, section 12). It does
 * what the scripts claim, settle and release do.
 */
export class Ledger {
  readonly #results: Results;
  #runs = new Map<string, Run>();
  readonly #mostRuns: number;
  #tidyAt = TIDY_AT;
  #tidied = 0;

  constructor(
    most: number = LIMIT_STORED_RESULTS,
    mostBytes: number = LIMIT_STORED_RESULTS_BYTES,
    mostRuns: number = LIMIT_RUNS,
  ) {
    this.#results = new Results(most, mostBytes);
    this.#mostRuns = mostRuns;
  }

  /**
   * What a request with a key finds: the REPLY that it gets without being run; the run that it has joined; or nothing: then
   * it may be dispatched and claimed. A run whose responder is to be avoided refused, or is lost, and can be taken over.
   */
  look(request: Envelope, avoid: string, now: number): Envelope | Joined | undefined {
    const stored = this.#results.get(keyOf(request), now);
    const run = this.#runs.get(keyOf(request));
    const alive = run !== undefined && run.ends > now ? run : undefined;
    const known = (stored ?? alive)?.fingerprint;
    if (known !== undefined && !known.equals(request.fingerprint)) return errorReply(request.callId, conflict(request));
    if (stored !== undefined) return replyFor(stored.reply, request.callId, request.idempotencyKey);
    if (alive === undefined || alive.instance === avoid) {
      return run !== undefined || this.#hasRoom(now)
        ? undefined
        : errorReply(request.callId, tooManyRuns(this.#mostRuns));
    }
    if (alive.waiting.size > LIMIT_JOINERS) return errorReply(request.callId, tooMany(request));
    join(alive, request);
    return { until: alive.ends, at: alive.instance };
  }

  /** The request is being handed to a responder; `window` is how long its caller wants the result to be kept. */
  claim(request: Envelope, instance: string, window: number = DEFAULT_IDEMPOTENCY_WINDOW_MS): void {
    if (this.#runs.size >= this.#tidyAt) this.#tidy(request.time);
    const key = keyOf(request);
    const { id: token, expiresAt: ends, fingerprint } = request;
    let run = this.#runs.get(key);
    if (!run?.fingerprint.equals(fingerprint)) run = { token, ends, instance, window, fingerprint, waiting: new Map() };
    this.#runs.set(key, Object.assign(run, { token, ends, instance, window }));
    join(run, request);
  }

  /** A run has a result: the reply that counts, and all who wait for it. `window` holds if its claim is gone. */
  settle(
    reply: Envelope,
    now: number,
    window: number = DEFAULT_IDEMPOTENCY_WINDOW_MS,
  ): { counts: Buffer; waiting: Waiting[] } {
    const key = keyOf(reply);
    const mine = withoutKey(reply);
    const { fingerprint } = reply;
    const stored = this.#results.get(key, now);
    const run = this.#runs.get(key);
    const known = (stored ?? run)?.fingerprint ?? fingerprint;
    if (!known.equals(fingerprint)) return { counts: mine, waiting: [] };
    const expires = now + (run?.window ?? window);
    if (stored === undefined) this.#results.put(key, { fingerprint, reply: mine, expires });
    return { counts: stored?.reply ?? mine, waiting: this.#end(key) };
  }

  /** A run ended without a result; returns all who wait for it. */
  release(request: Envelope): Waiting[] {
    const key = keyOf(request);
    return this.#runs.get(key)?.token === request.id ? this.#end(key) : [];
  }

  #end(key: string): Waiting[] {
    const waiting = [...(this.#runs.get(key)?.waiting.values() ?? [])];
    this.#runs.delete(key);
    return waiting;
  }

  /** Forgets the claims that have ended without a word. */
  #tidy(now: number): void {
    this.#runs = new Map([...this.#runs].filter(([, run]) => run.ends > now));
    this.#tidyAt = Math.max(TIDY_AT, 2 * this.#runs.size);
    this.#tidied = now;
  }

  /** Whether there may be one more run; where there are so many, one looks once a second which have ended. */
  #hasRoom(now: number): boolean {
    if (this.#runs.size >= this.#mostRuns && now - this.#tidied >= LOOK_AGAIN) this.#tidy(now);
    return this.#runs.size < this.#mostRuns;
  }
}

/** The key was used with another payload. */
export function conflict({ idempotencyKey, topic }: Envelope): ConflictError {
  return new ConflictError(`the idempotency key "${idempotencyKey}" was used on "${topic}" with another payload`);
}

/** So many wait for the run that no more can. */
export function tooMany({ idempotencyKey }: Envelope): OverloadedError {
  const message = `${LIMIT_JOINERS} calls wait for the run of the idempotency key "${idempotencyKey}" already`;
  return new OverloadedError(message, { retryAfter: DEFAULT_RETRY_AFTER_MS });
}

/** So many keys are claimed that no more can be. */
export function tooManyRuns(most: number): OverloadedError {
  const message = `${most} runs of idempotency keys are under way; call with a shorter ttl, or wait`;
  return new OverloadedError(message, { retryAfter: DEFAULT_RETRY_AFTER_MS });
}

/** A failed REPLY to this call. */
export function errorReply(callId: Buffer, error: TielineError): Envelope {
  return { ...newEnvelope(REPLY), callId, error: errorToWire(error) };
}

/** A REPLY as it is stored. */
export function withoutKey(reply: Envelope): Buffer {
  const { callId, topic, causationId, idempotencyKey, fingerprint } = newEnvelope(REPLY);
  return serialize({ ...reply, callId, topic, causationId, idempotencyKey, fingerprint });
}

/** A stored REPLY for one who waits; with the key, if it was not run for it. */
export function replyFor(stored: Buffer, callId: Buffer, idempotencyKey = ""): Envelope {
  return { ...(parse(stored) ?? newEnvelope(REPLY)), callId, idempotencyKey };
}

function join(run: Run, { replyTo: instance, callId }: Envelope): void {
  run.waiting.set(`${instance} ${callId.toString("latin1")}`, { instance, callId });
}

function keyOf({ topic, idempotencyKey }: Envelope): string {
  return `${topic}\0${idempotencyKey}`;
}
