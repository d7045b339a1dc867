import { Clock } from "./clock.js";
import type { Envelope } from "./contract/envelope.js";
import { OverloadedError } from "./errors.js";
import type { Logger } from "./log.js";
import { guarded, type Observer, type StepName, stepOf } from "./observe.js";
import type { Settings } from "./settings.js";
import { Trail } from "./trail.js";
import type { Gap, Port, Receiver } from "./transport.js";

const NO_CALL = new Uint8Array(0);

/** What the parts of one running event system share: its name, its clock, its bounds, and where it says things. */
export class Instance {
  readonly service: string;
  readonly settings: Settings;
  readonly log: Logger;
  readonly observer: Observer | undefined;
  /** `service/instance`; the service alone before the start. */
  source: string;
  /** What it remembers of the chains it took part in. */
  readonly trail: Trail;
  /** The broker's clock; this machine's before the start. */
  clock = new Clock();
  /** Its place at the broker, while it has one. */
  port: Port | undefined;
  /** What arrives here, also from itself. */
  receiver: Receiver | undefined;

  constructor(service: string, settings: Settings, log: Logger, observer: Observer | undefined) {
    this.service = service;
    this.settings = settings;
    this.log = log;
    this.observer = observer && guarded(observer, log);
    this.source = service;
    this.trail = new Trail(settings.explainCalls, () => this.now());
  }

  /** Takes its name and clock from its place at the broker. */
  attach(port: Port): void {
    this.port = port;
    this.source = `${this.service}/${port.instance}`;
    this.clock = port.clock;
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
    this.trail.step(name, envelope, detail);
    if (this.observer) this.say(name, envelope, detail);
  }

  /** Stores the trail of something that failed. */
  store(envelope: Envelope): void {
    this.trail.store(envelope, this.source, this.port);
  }

  /** Tells of a gap, if anybody listens. */
  sayGap(gap: Gap): void {
    const { since, until: time, reason } = gap;
    this.observer?.({ name: "gap", time, topic: "", correlationId: "", callId: NO_CALL, detail: { since, reason } });
  }

  /** What a caller is told when every handler of a topic here is busy. */
  overloaded(topic: string): OverloadedError {
    return new OverloadedError(`all handlers of "${topic}" here are busy and their queue is full`, {
      retryAfter: this.settings.retryAfter,
    });
  }
}
