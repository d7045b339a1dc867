import type { Caller } from "./calls/caller.js";
import type { Envelope } from "./contract/envelope.js";
import { CANCEL, CREDIT } from "./envelope.js";
import type { TielineError } from "./errors.js";
import type { Instance } from "./instance.js";
import type { Outbox } from "./outbox/outbox.js";
import type { Publisher } from "./publisher.js";
import type { Responder } from "./responder.js";
import type { Router } from "./router.js";
import { type Gap, type Interest, type Receiver, Route } from "./transport.js";

/** Whom a port reports to. */
export interface Addressees {
  readonly instance: Instance;
  readonly router: Router;
  readonly responder: Responder;
  readonly caller: Caller;
  readonly publisher: Publisher;
  readonly outbox: Outbox | undefined;
  /** Gets a failure that nobody awaits, and what failed. */
  report(error: unknown, what: string): void;
}

/** What the port of an instance reports: what has come, and that the broker is away, or back. */
export class Reception implements Receiver {
  readonly #to: Addressees;
  #awaySince: number | undefined;

  constructor(to: Addressees) {
    this.#to = to;
  }

  /** See `Receiver.onRequest`. */
  onRequest(envelope: Envelope): void {
    this.#to.responder.request(envelope);
  }

  /** See `Receiver.onEvent`. */
  onEvent(interest: Interest, envelope: Envelope): void {
    this.#to.responder.event(interest, envelope);
  }

  /** See `Receiver.onAnswer`. */
  onAnswer(envelope: Envelope): void {
    const { responder, caller } = this.#to;
    if (envelope.kind === CANCEL) responder.cancel(envelope.callId);
    else if (envelope.kind === CREDIT) responder.credited(envelope);
    else caller.answered(envelope);
  }

  /** See `Receiver.onJoined`. */
  onJoined(callId: Buffer, until: number, instance: string): void {
    this.#to.caller.joined(callId, until, instance);
  }

  /** See `Receiver.onDispatched`. */
  onDispatched(callId: Buffer, instance: string, error: TielineError | undefined): void {
    this.#to.caller.dispatched(callId, instance, error);
  }

  /** See `Receiver.underWay`. */
  underWay(): Set<string> {
    return new Set([...this.#to.caller.underWay(), ...this.#to.responder.underWay()]);
  }

  /** See `Receiver.onLeft`. */
  onLeft(calls: ReadonlySet<string>): void {
    this.#to.caller.linkLeft(calls);
  }

  /** See `Receiver.onMail`. */
  onMail(topic: string, group: string): void {
    const { members = [] } = this.#to.router.at({ route: Route.MAIL, pattern: topic, group }) ?? {};
    for (const { consumer } of members) consumer?.wake();
  }

  /** See `Receiver.onWarning`. */
  onWarning(message: string): void {
    this.#to.instance.log.warn(message);
  }

  /** See `Receiver.onConnected`. */
  onConnected(gap: Gap | undefined): void {
    const { publisher, router, outbox, instance, caller } = this.#to;
    publisher.linkUp();
    for (const { consumer } of router.all()) consumer?.wake();
    instance.scheduler?.look();
    if (instance.port !== undefined) instance.attach(instance.port); // a new Link is a new instance
    if (gap === undefined) return;
    instance.tally.count("gaps");
    this.#sayBack();
    outbox?.linkUp();
    caller.linkUp();
    this.#sayGap(gap);
  }

  #sayBack(): void {
    if (this.#awaySince === undefined) return; // a gateway that had to drop events was there all the time
    const { instance } = this.#to;
    const seconds = (instance.now() - this.#awaySince) / 1000;
    this.#awaySince = undefined;
    instance.log.info(`the broker is back after ${seconds.toFixed(1)} s`);
  }

  /** Live events may be lost. */
  #sayGap(gap: Gap): void {
    const { instance, router, report } = this.#to;
    const [since, until] = [new Date(gap.since), new Date(gap.until)];
    const concerned = router.all().some(({ internal }) => !internal);
    const lost = `live events between ${since.toISOString()} and ${until.toISOString()} may be lost: ${gap.reason}`;
    if (concerned) instance.log.warn(lost);
    else instance.log.info(lost);
    instance.system.gap(gap);
    instance.sayGap(gap);
    for (const { onGap } of router.all()) {
      if (onGap)
        Promise.resolve(gap.reason)
          .then((reason) => onGap(since, until, reason))
          .catch((error) => report(error, "onGap"));
    }
  }

  /** See `Receiver.onDisconnected`. */
  onDisconnected(reason: string): void {
    const { instance, publisher, caller } = this.#to;
    instance.log.warn(`the broker is away: ${reason}`);
    instance.tally.count("disconnects");
    this.#awaySince ??= instance.now(); // a gateway may lose its broker first and be lost then
    publisher.linkDown();
    caller.linkDown();
  }
}
