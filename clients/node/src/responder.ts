import { Outflow } from "./calls/streams.js";
import type { Timer } from "./clock.js";
import { encodeReply } from "./codec.js";
import { Event } from "./context.js";
import { ASK_TOPIC, DEFAULT_STREAM_LEASE_MS, ERRORS } from "./contract/contract.js";
import type { Envelope } from "./contract/envelope.js";
import { Delivery, type Outlet, unsendable } from "./delivery.js";
import { ACCEPTED, errorToWire, newEnvelope, REPLY, STREAM_END, STREAM_ITEM } from "./envelope.js";
import {
  CallCancelledError,
  ExpiredError,
  NoRespondersError,
  OverloadedError,
  ResponderLostError,
  type TielineError,
} from "./errors.js";
import { EventOutlet } from "./eventOutlet.js";
import { callKey } from "./identity.js";
import type { Instance } from "./instance.js";
import type { Work } from "./mailbox.js";
import type { Router } from "./router.js";
import type { Subscription } from "./subscription.js";
import { type Interest, Route } from "./transport.js";

const SWEEP_MS = 100;
const WARN_MS = 1000;

/** What arrives for this instance: requests to answer, events to handle, cancels to obey. */
export class Responder implements Outlet {
  readonly #instance: Instance;
  readonly #router: Router;
  readonly #serving = new Map<string, Delivery>();
  readonly #eventOutlet: EventOutlet;
  #sweeper: Timer | undefined;

  constructor(instance: Instance, router: Router) {
    this.#instance = instance;
    this.#router = router;
    this.#eventOutlet = new EventOutlet(instance);
  }

  /** Ids of the calls that are being answered, see `callKey`. */
  underWay(): Set<string> {
    return new Set(this.#serving.keys());
  }

  /** A request was dispatched to this instance. */
  request(envelope: Envelope): void {
    const instance = this.#instance;
    if (instance.observer) instance.say("received", envelope);
    const key = callKey(envelope.callId);
    if (this.#serving.has(key)) return;
    const clock = instance.clock;
    const brokerNow = clock.now();
    if (envelope.expiresAt > 0 && envelope.expiresAt <= brokerNow) {
      const taker = this.#router.taker(envelope.topic, envelope.group);
      if (taker !== undefined) taker.calls.expired += 1;
      return this.#refuse(envelope, new ExpiredError(`the request on "${envelope.topic}" had expired on arrival`));
    }
    const subscription = this.#router.taker(envelope.topic, envelope.group);
    if (subscription === undefined) return this.#refuse(envelope, this.#noTaker(envelope));
    const delivery = new Delivery(subscription, new Event(envelope, clock), this);
    delivery.started = instance.now();
    delivery.series = subscription.calls;
    delivery.queued = brokerNow - envelope.time;
    if (envelope.stream !== undefined) delivery.flow = new Outflow(envelope.stream.window, delivery.started);
    this.#serving.set(key, delivery);
    this.#sweeper ??= clock.callLater(SWEEP_MS, () => this.#sweep());
    subscription.mailbox.offer(delivery);
    delivery.late = !delivery.begun;
  }

  /** The caller gave up; unknown and finished calls are ignored. */
  cancel(callId: Buffer): void {
    const delivery = this.#serving.get(callKey(callId));
    if (delivery !== undefined) this.#giveUp(delivery, new CallCancelledError("the caller gave up"));
  }

  /** The reader of a stream said how far it is; unknown and finished streams are ignored. */
  credited({ callId, stream }: Envelope): void {
    const flow = this.#serving.get(callKey(callId))?.flow;
    if (stream !== undefined) flow?.credited(stream, this.#instance.now());
  }

  /** A handler returned: send the reply. */
  succeeded(delivery: Delivery, result: unknown): void {
    const request = delivery.event.envelope;
    const reply = this.#newReply(REPLY, request);
    try {
      [reply.data, reply.contentType] = encodeReply(result, request.contentType);
    } catch (error) {
      return this.failed(delivery, delivery.unsendable(error));
    }
    this.#reply(delivery, reply);
  }

  /** A handler threw or could not be run: send the error. */
  failed(delivery: Delivery, error: TielineError): void {
    if (!delivery.flow?.sent) return this.#reply(delivery, this.#errorReply(delivery.event.envelope, error));
    const end = this.#end(delivery);
    end.error = errorToWire(error);
    this.#reply(delivery, end);
  }

  /** A handler yielded: send the item. */
  item(delivery: Delivery, value: unknown): void {
    const request = delivery.event.envelope;
    const item = newEnvelope(STREAM_ITEM);
    try {
      [item.data, item.contentType] = encodeReply(value, request.contentType);
    } catch (error) {
      throw unsendable(error, "what the handler yielded");
    }
    const sequence = delivery.flow?.next() ?? 0;
    if (sequence === 1) {
      item.source = this.#instance.source;
      delivery.accepted = true;
    }
    item.callId = request.callId;
    item.stream = { sequence, consumed: 0, window: 0 };
    this.#instance.answer(request.replyTo, item);
  }

  /** A handler yielded for the last time. */
  ended(delivery: Delivery): void {
    this.#reply(delivery, this.#end(delivery));
  }

  /** A handler is of no use any more: silence if the caller knows, else the caller must know. */
  interrupted(delivery: Delivery, reason: TielineError): void {
    if (reason instanceof ResponderLostError) this.failed(delivery, reason);
    else this.#serving.delete(callKey(delivery.event.envelope.callId));
  }

  /** An event or observed request arrived by an interest. */
  event(interest: Interest, envelope: Envelope): void {
    const turn = this.#router.at(interest);
    const now = this.#instance.clock.now();
    const queued = now - envelope.time;
    if (envelope.expiresAt > 0 && envelope.expiresAt <= now) {
      if (interest.route !== Route.OBSERVER) {
        this.#instance.tally.series(envelope.topic, interest.group, "live").expired += 1;
      }
      this.#instance.unusual("dropped", envelope, { why: "EXPIRED" });
    } else if (turn === undefined) {
      this.#instance.unusual("dropped", envelope, { why: "no subscription any more" });
    } else if (interest.route === Route.GROUP) {
      const member = turn.pickLate() ?? turn.members[0];
      if (member !== undefined) this.deliver(member, envelope, queued);
    } else {
      for (const subscription of [...turn.members]) this.deliver(subscription, envelope, queued);
    }
  }

  /** Gives an event, which has waited for so long (ms), to one subscription. `data` is what was published, if that was here. */
  deliver(subscription: Subscription, envelope: Envelope, queued: number, outlet?: EventOutlet, data?: unknown): void {
    if (envelope.replay !== "" && !subscription.replays) {
      this.#instance.unusual("dropped", envelope, { why: "a replay", subscription: subscription.name });
      return;
    }
    const event = new Event(envelope, this.#instance.clock);
    if (subscription.byReference && outlet !== undefined) event.setData(data);
    const delivery = new Delivery(subscription, event, outlet ?? this.#eventOutlet);
    const { group } = subscription;
    delivery.series = subscription.events ?? this.#instance.tally.series(envelope.topic, group, "live");
    delivery.queued = queued;
    subscription.take(delivery);
    delivery.late = !delivery.begun;
  }

  /** Shows an envelope of this process to the observers in it. */
  showObservers(envelope: Envelope): void {
    for (const subscription of this.#router.observers(envelope.topic)) this.deliver(subscription, envelope, 0);
  }

  /** Shows a request to observers here and elsewhere; called once, wherever it is answered. */
  showRequest(request: Envelope): void {
    this.showObservers(request);
    const { place } = this.#instance;
    if (place.observing) place.observe(request);
  }

  /** An event had to give way to one of a topic: that is counted and reported. */
  overloaded(subscription: Subscription, pushedOut: Work, topic: string): void {
    const given = pushedOut.event?.envelope;
    if (given) this.#instance.unusual("dropped", given, { why: "OVERLOADED", subscription: subscription.name });
    pushedOut.interrupt(new OverloadedError(`"${subscription.name}" is too slow`));
    const now = this.#instance.now();
    if (now - subscription.warnedAt < WARN_MS) return;
    subscription.warnedAt = now;
    const { name } = subscription;
    const { dropped } = subscription.mailbox;
    this.#instance.log.warn(`subscription "${name}" of "${subscription.topic}" is too slow: ${dropped} events dropped`);
    this.#instance.system.slowConsumer(name, dropped, topic, given);
  }

  /** No more sweeping. */
  stop(): void {
    this.#sweeper?.cancel();
    this.#sweeper = undefined;
  }

  #reply(delivery: Delivery, reply: Envelope): void {
    const request = delivery.event.envelope;
    const key = callKey(request.callId);
    if (!this.#serving.delete(key)) return;
    const ended = this.#instance.now();
    this.#send(request, reply);
    this.#remember(delivery, ended, reply.error?.code ?? 0);
    if (this.#instance.observer) {
      this.#instance.say("replied", request, { subscription: delivery.subscription.name, error: reply.error?.code });
    }
  }

  #send(request: Envelope, reply: Envelope): void {
    if (request.idempotencyKey === "" || !isResult(reply)) return this.#instance.answer(request.replyTo, reply);
    const { id: causationId, topic, idempotencyKey, fingerprint } = request;
    const kept = Object.assign(reply, { causationId, topic, idempotencyKey, fingerprint });
    this.#instance.port?.answer(request.replyTo, kept);
  }

  #remember(delivery: Delivery, ended: number, code: number): void {
    const { trail } = this.#instance;
    if (delivery.event.topic === ASK_TOPIC) return; // whoever is asked often would remember little else
    if (code === 0 && trail.room === 0) return;
    trail.served(delivery, ended, code);
    if (code !== 0) this.#instance.store(delivery.event.envelope);
  }

  #refuse(request: Envelope, error: TielineError): void {
    this.#instance.unusual("dropped", request, { why: error.code });
    this.#instance.answer(request.replyTo, this.#errorReply(request, error));
    this.#instance.store(request);
  }

  #errorReply(request: Envelope, error: TielineError): Envelope {
    const reply = this.#newReply(REPLY, request);
    reply.error = errorToWire(error);
    return reply;
  }

  #end(delivery: Delivery): Envelope {
    const end = this.#newReply(STREAM_END, delivery.event.envelope);
    end.stream = { sequence: delivery.flow?.sent ?? 0, consumed: 0, window: 0 };
    return end;
  }

  #newReply(kind: number, request: Envelope): Envelope {
    const reply = newEnvelope(kind);
    reply.callId = request.callId;
    reply.source = this.#instance.source;
    return reply;
  }

  #noTaker(request: Envelope): TielineError {
    const { topic, group } = request;
    if (!this.#router.hasResponder(topic, group)) {
      return new NoRespondersError(`the responder of "${topic}" has just unsubscribed`);
    }
    this.#instance.tally.count("overloads");
    return this.#instance.overloaded(request);
  }

  /** Says ACCEPTED for what takes long; ends what has expired. */
  #sweep(): void {
    this.#sweeper = undefined;
    const { settings, clock } = this.#instance;
    const slow = this.#instance.now() - settings.acceptAfter;
    const brokerNow = clock.now();
    for (const delivery of [...this.#serving.values()]) this.#tend(delivery, slow, brokerNow);
    if (this.#serving.size > 0) this.#sweeper = clock.callLater(SWEEP_MS, () => this.#sweep());
  }

  #tend(delivery: Delivery, slow: number, brokerNow: number): void {
    const { event, flow } = delivery;
    const request = event.envelope;
    if (flow !== undefined && this.#instance.now() - flow.heard > DEFAULT_STREAM_LEASE_MS) {
      this.#starved(delivery);
    } else if (flow === undefined && request.expiresAt > 0 && request.expiresAt <= brokerNow) {
      const expired = new ExpiredError(`the request on "${request.topic}" expired`, { outcome: "MAY_HAVE_RUN" });
      this.#giveUp(delivery, expired);
    } else if (!delivery.accepted && delivery.started <= slow) {
      delivery.accepted = true;
      this.#instance.answer(request.replyTo, this.#newReply(ACCEPTED, request));
    }
  }

  /** Nobody waits for the reply any more: it has expired, or the caller says so. */
  #giveUp(delivery: Delivery, reason: TielineError): void {
    const { trail, observer } = this.#instance;
    trail.givenUp(delivery);
    if (observer) this.#instance.say("cancelled", delivery.event.envelope);
    delivery.cancel(reason);
  }

  /** The reader of a stream gives no sign of life. It is told: perhaps it only slept. */
  #starved(delivery: Delivery): void {
    const error = new CallCancelledError("the handler was cancelled: its reader gave no sign of life");
    this.failed(delivery, error);
    delivery.cancel(error);
  }
}

/** Whether a REPLY is kept for those who call again with the same idempotency key. */
function isResult({ error }: Envelope): boolean {
  return error === undefined || error.code === ERRORS.HANDLER_ERROR.number;
}
