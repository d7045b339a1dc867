import { Clock, monotonic } from "./clock.js";
import type { Envelope } from "./contract/envelope.js";
import type { CronRunner } from "./cron/runner.js";
import type { Mail } from "./durable/mail.js";
import { DurableSteps } from "./durable/steps.js";
import { InvalidArgumentError, OverloadedError } from "./errors.js";
import { Trail } from "./explain/trail.js";
import { ENDED, Tally } from "./figures/tally.js";
import { harmless } from "./harmless.js";
import { guardedLogger, type Log, type Logger } from "./log.js";
import { guarded, type Observer, type StepName, stepOf } from "./observe.js";
import type { Agenda, Fired } from "./schedules/agenda.js";
import type { Scheduler } from "./schedules/scheduler.js";
import type { Settings } from "./settings.js";
import { SystemEvents } from "./systemEvents.js";
import type { Gap, Port, Receiver } from "./transport.js";
import { inTime } from "./within.js";

const NO_CALL = new Uint8Array(0);

/** What the parts of one running event system share: its name, its clock, its bounds, and where it says things. */
export class Instance {
  readonly service: string;
  readonly settings: Settings;
  readonly log: Log;
  readonly observer: Observer | undefined;
  /** `service/instance`; the service alone before the start. */
  source: string;
  /** What it remembers of the chains it took part in. */
  readonly trail: Trail;
  /** Where each step of a durable event is noted. */
  readonly steps = new DurableSteps(this);
  /** Where it says of itself what others may want to know. */
  readonly system = new SystemEvents(this);
  /** The broker's clock; this machine's before the start. */
  clock = new Clock();
  /** Where everything is counted. */
  readonly tally = new Tally(this.clock.now());
  /** Its place at the broker, while it has one. */
  port: Port | undefined;
  /** What arrives here, also from itself. */
  receiver: Receiver | undefined;
  /** It is connected, and registered what was declared. */
  up = false;
  /** Fires what is due, where that is for instances to do. */
  scheduler: Scheduler | undefined;
  /** Sees to cron tasks that the scheduler is handed. */
  cron: CronRunner | undefined;
  /** See `EventSystem.start`. */
  readonly start: () => Promise<unknown>;

  constructor(
    service: string,
    settings: Settings,
    log: Logger,
    observer: Observer | undefined,
    start: () => Promise<unknown> = () => Promise.resolve(),
  ) {
    this.service = service;
    this.settings = settings;
    this.log = guardedLogger(log);
    this.observer = observer && guarded(observer, this.log);
    this.source = service;
    this.start = start;
    this.trail = new Trail(settings.explainCalls, () => this.now());
    this.tally.gauges.set("connected", () => Number(this.port?.connected ?? false));
  }

  /** Takes its name and clock from its place at the broker. */
  attach(port: Port): void {
    this.port = port;
    this.source = `${this.service}/${port.instance}`;
    this.clock = port.clock;
  }

  /** Its place at the broker. Throws InvalidArgumentError if it has none any more. */
  get place(): Port {
    if (this.port !== undefined) return this.port;
    throw closed();
  }

  /** Where durable events are. Throws InvalidArgumentError if it has no place any more. */
  get mail(): Mail {
    return this.place.mail;
  }

  /** What is planned. Throws InvalidArgumentError if it has no place any more. */
  get agenda(): Agenda {
    return this.place.agenda;
  }

  /** See `Scheduler`: events went out, or were given up; ticks and calls are to be seen to. */
  fired(fired: Fired): void {
    for (const { status } of fired.events) {
      const counter = ENDED[status];
      if (counter !== undefined) this.tally.count(counter);
    }
    this.cron?.take(fired);
  }

  /** Has the scheduler look at the agenda now. */
  look(): void {
    this.scheduler?.look();
  }

  /** How long a lease on durable events lasts without being extended, milliseconds. */
  get lease(): number {
    return this.settings.lease;
  }

  /**
   * Starts if need be, for a call of so many milliseconds; resolves to what is left of them, and at least 1.
   * Rejects with CallTimeoutError if that takes longer; it goes on.
   */
  async ready(ms: number): Promise<number> {
    if (this.up) return ms;
    const begun = monotonic();
    await inTime(ms, this.start(), this.clock);
    return Math.max(1, ms - Math.floor(monotonic() - begun));
  }

  /** Sends REPLY, ACCEPTED, CANCEL or a stream frame; what is for this instance arrives at once. */
  answer(to: string, envelope: Envelope): void {
    if (to === this.port?.instance) this.receiver?.onAnswer(envelope);
    else this.port?.answer(to, envelope);
  }

  /** Milliseconds of the local monotonic clock. */
  now(): number {
    return this.clock.monotonic();
  }

  /** Tells a step of an envelope's life, if anybody listens. */
  say(name: StepName, envelope: Envelope, detail?: Record<string, unknown>): void {
    this.observer?.(stepOf(name, this.clock.now(), envelope, detail));
  }

  /** Remembers a step that most envelopes do not take, and tells it, if anybody listens. */
  unusual(name: StepName, envelope: Envelope, detail?: Record<string, unknown>): void {
    this.tally.step(name);
    this.trail.step(name, envelope, detail);
    if (this.observer) this.say(name, envelope, detail);
  }

  /** Stores the trail of something that failed; where that fails itself, nothing else does. */
  store(envelope: Envelope): void {
    harmless(
      () => this.trail.store(envelope, this.source, this.port),
      (error) => this.log.error(`the trail of "${envelope.topic}" could not be stored`, error),
    );
  }

  /** Tells of a gap, if anybody listens. */
  sayGap(gap: Gap): void {
    const { since, until: time, reason } = gap;
    this.observer?.({ name: "gap", time, topic: "", correlationId: "", callId: NO_CALL, detail: { since, reason } });
  }

  /** What a caller is told when every handler of its request's topic here is busy. */
  overloaded(request: Envelope): OverloadedError {
    this.system.overload(request);
    const { topic } = request;
    return new OverloadedError(`all handlers of "${topic}" here are busy and their queue is full`, {
      retryAfter: this.settings.retryAfter,
    });
  }
}

/** What whoever uses a closed system is told. */
export function closed(): InvalidArgumentError {
  return new InvalidArgumentError("this event system is closed; make a new one");
}
