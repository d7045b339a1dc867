import type { Clock } from "./clock.js";
import type { Envelope } from "./contract/envelope.js";
import type { Mail } from "./durable/mail.js";
import type { TielineError } from "./errors.js";
import type { Agenda } from "./schedules/agenda.js";
import type { Settings } from "./settings.js";

/**
 * The seam between an event system and what carries its envelopes.
 *
 * A `Transport` is a way to a broker. An instance opens a `Port` on it, and the port tells the instance's `Receiver`
 * what arrives. The guarantees below hold for every transport, and one suite of tests proves them for all.
 */

/** How an envelope reaches an instance (numbers as in gateway.proto). */
export const Route = { REQUEST: 1, EVENT: 2, GROUP: 3, OBSERVER: 4, INBOX: 5, MAIL: 6 } as const;
export type Route = (typeof Route)[keyof typeof Route];

/** One thing an instance wants to receive: a route, a topic or pattern, and for GROUP and MAIL the group's name. */
export interface Interest {
  readonly route: Route;
  readonly pattern: string;
  readonly group: string;
}

/** Text that two interests share exactly if they are the same. */
export function interestKey(interest: Interest): string {
  return `${interest.route} ${interest.pattern} ${interest.group}`;
}

/** Live events may have been lost between two moments (ms since 1970, broker clock). */
export interface Gap {
  readonly since: number;
  readonly until: number;
  readonly reason: string;
}

/** Answer to a probe: instances that do not listen now, and instances whose lease ended. */
export interface Probed {
  readonly silent: ReadonlySet<string>;
  readonly expired: ReadonlySet<string>;
}

/** An instance that answers requests on a topic, its service, and the groups it has there. */
export interface Place {
  readonly service: string;
  readonly instance: string;
  readonly groups: readonly string[];
}

/** What an instance offers its port. The methods return soon and never throw. */
export interface Receiver {
  /** A request was dispatched to this instance. */
  onRequest(envelope: Envelope): void;
  /** A copy of an event (EVENT, GROUP) or an observed envelope (OBSERVER) arrived by this interest. */
  onEvent(interest: Interest, envelope: Envelope): void;
  /** Something arrived in the inbox: REPLY, ACCEPTED, CANCEL or a stream frame. */
  onAnswer(envelope: Envelope): void;
  /** Who took a request: an instance; empty when nobody did; or why that is not known. */
  onDispatched(callId: Uint8Array, instance: string, error: TielineError | undefined): void;
  /**
   * Instead of `onDispatched`: the request waits for the run of another one with the same idempotency key, which is at
   * `instance` and ends at `until` (ms since 1970, broker clock) at the latest; its result comes by `onAnswer`.
   */
  onJoined(callId: Uint8Array, until: number, instance: string): void;
  /**
   * Ids (`callKey`) of the calls this instance made or was given that have not ended: asked by a port that goes on at
   * another place while these come to their end at the old one.
   */
  underWay(): ReadonlySet<string>;
  /** An old place is gone: these calls (`callKey`), which were to end there, get no answer now. */
  onLeft(calls: ReadonlySet<string>): void;
  /** A subscription group of this instance has something to claim. */
  onMail(topic: string, group: string): void;
  /** The broker lost something, or people should look at it for another reason. */
  onWarning(message: string): void;
  /** The broker is there; everything is registered. `gap` is undefined where none was, as the first time. */
  onConnected(gap: Gap | undefined): void;
  /** The broker is gone; what was under way is unknown. */
  onDisconnected(reason: string): void;
}

/** One instance's place at a broker. */
export interface Port {
  /** This instance's name. */
  readonly instance: string;
  /** The broker's clock. */
  readonly clock: Clock;
  /** Whether the broker can be reached now. */
  readonly connected: boolean;
  /** What is planned; where nothing can be, everything it offers is an UnsupportedError. */
  readonly agenda: Agenda;
  /** Durable events; where there are none, everything it offers is an UnsupportedError. */
  readonly mail: Mail;

  /** Whether nobody outside of this process can be reached; not known unless it says so. */
  readonly inProcess?: boolean;

  /** Whether anybody elsewhere may be observing; while nobody is, `observe` need not be called. */
  readonly observing: boolean;

  /**
   * Resolves when the broker has confirmed the interests; the port registers them again after each reconnect.
   * While the broker is away it waits for the reconnect.
   */
  register(interests: readonly Interest[]): Promise<void>;

  /** Resolves when nothing more can arrive by the interests. All that was dispatched before has been delivered. */
  unregister(interests: readonly Interest[]): Promise<void>;

  /**
   * Hands an event to the broker: a copy for everyone else, one for each group that is not in `served`.
   * Rejects with UnavailableError: the broker is away (NOT_DELIVERED) or went away (MAY_HAVE_RUN).
   */
  publish(envelope: Envelope, served: readonly string[]): Promise<void>;

  /**
   * Hands a request to one responder, answered by `Receiver.onDispatched`, once. Not to the instance `avoid`; if `to` is
   * given, to that instance or to nobody. With an idempotency key it may be answered by `Receiver.onJoined` instead, or at
   * once by `Receiver.onAnswer` with what was stored.
   */
  dispatch(envelope: Envelope, avoid: string, to?: string): void;

  /** Who answers requests on a topic now, this instance included. Rejects with UnavailableError, NOT_DELIVERED. */
  responders(topic: string): Promise<Place[]>;

  /**
   * Sends REPLY, ACCEPTED, CANCEL or a stream frame to an instance; kept for a while if the broker is away. A REPLY with an
   * idempotency key is stored first, and goes to everyone who waits for it.
   */
  answer(to: string, envelope: Envelope): void;

  /** Gives up the claim of a request with an idempotency key; who joined it gets the error. */
  release(request: Envelope, error: TielineError): void;

  /** Joins steps (a serialized Trail) to what is kept of a chain that failed; lost if the broker is away. */
  keepTrail(correlationId: string, trail: Buffer): void;

  /** What is kept of a chain, as a serialized Trail. Rejects with UnavailableError if the broker could not be asked. */
  findTrail(correlationId: string): Promise<Buffer>;

  /** Gives a copy of a request to the observers elsewhere. Called once a request, wherever it is answered. */
  observe(envelope: Envelope): void;

  /** Asks after the life of instances. Rejects with UnavailableError if the broker could not be asked. */
  probe(instances: readonly string[]): Promise<Probed>;

  /** Gives up the inbox, the lease and all interests. Idempotent. */
  close(): Promise<void>;
}

/** A way to one broker. */
export interface Transport {
  /**
   * Connects if need be, and gives a new instance its place. `settings` are those of its event system, for a transport that
   * was made without.
   * Rejects with UnavailableError (nobody there, within 5 s), UnauthenticatedError (the broker refused the credentials)
   * or UnsupportedError (a server of a kind or version this transport cannot use).
   */
  open(service: string, receiver: Receiver, settings?: Settings): Promise<Port>;

  /** Closes all ports and the connection. Idempotent. */
  close(): Promise<void>;
}
