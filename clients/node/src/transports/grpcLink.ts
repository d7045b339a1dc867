import { type Clock, monotonic } from "../clock.js";
import type { AgendaRequest, AgendaResponse } from "../contract/agenda.js";
import type { MailRequest, MailResponse } from "../contract/durable.js";
import {
  type ClientItem,
  type Done,
  type GatewayItem,
  type Hello,
  LinkRequest,
  type Pong,
  type Probed,
  type Responders,
  type TrailFound,
} from "../contract/gateway.js";
import type { TielineError } from "../errors.js";
import type { Settings } from "../settings.js";
import { GrpcOutbox } from "./grpcOutbox.js";
import { mergedAgenda, mergedMail, Parts } from "./grpcParts.js";

const LAST_WORDS_MS = 1000;

/** What a Link can carry down. */
export type Said = NonNullable<GatewayItem["item"]>;
/** What a Link can carry up. */
export type Item = NonNullable<ClientItem["item"]>;
/** What is answered: it carries a `ref`. */
export type Asking = Extract<Item, { value: { ref: number } }>;
/** What answers an item with a `ref`. */
export type Answer = Done | Probed | Pong | Responders | TrailFound | MailResponse | AgendaResponse;

const ANSWERS: ReadonlySet<Said["$case"]> = new Set(["done", "probed", "pong", "responders", "trailFound"]);

function isAnswer(said: Said): said is Extract<Said, { value: Answer }> {
  return ANSWERS.has(said.$case);
}

/** A stream of frames to a gateway. */
export interface LinkStream {
  write(frame: Buffer, written: () => void): void;
  /** Nothing more is written. */
  end(): void;
  /** Ends both ways, at once. */
  cancel(): void;
  /** Whether it keeps the process alive; it does until it is told. */
  keepAlive(kept: boolean): void;
}

/** Who hears what a stream brings. */
export interface StreamEvents {
  onItems(items: readonly GatewayItem[]): void;
  /** The stream is over: why, and what that means to whoever is just connecting. Called once. */
  onEnd(reason: string, refusal: TielineError): void;
}

/** Where a Link leads. */
export interface Gateway {
  readonly address: string;
  /** Begins a stream. */
  open(events: StreamEvents): LinkStream;
  /** What it means if no answer comes in time. */
  late(): TielineError;
}

/** Who uses a Link. */
export interface LinkUser {
  onSaid(link: GrpcLink, said: Said): void;
  /** The Link ended by itself; called once, never before there was a welcome, nor after anybody else knows. */
  onBroken(link: GrpcLink, reason: string): void;
}

/** The Link ended before an answer came. */
export class LinkBrokenError extends Error {}

/** A frame with one item. */
export function frameOf(item: Item): Buffer {
  return Buffer.from(LinkRequest.encode({ items: [{ item }] }).finish());
}

/** One Link stream to a gateway, from hello to its end (SPEC.md, section 8). */
export class GrpcLink implements StreamEvents {
  readonly outbox: GrpcOutbox;
  /** The name the gateway gave it. */
  instance = "";
  readonly address: string;
  /** When something was last heard, local monotonic ms. */
  heardAt = 0;
  broken = false;
  /** Whether the gateway has its broker. */
  broker = true;
  /** Whether anybody elsewhere may be observing. */
  observing = false;
  /** The gateway is about to stop. */
  draining = false;
  /** Resolves when the Link is over after its welcome, with the reason. */
  readonly ended: Promise<string>;
  /** Resolves when the gateway says that it is about to stop. */
  readonly drained: Promise<void>;
  readonly #clock: Clock;
  readonly #settings: Settings;
  readonly #user: LinkUser;
  readonly #gateway: Gateway;
  readonly #stream: LinkStream;
  readonly #asked = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  readonly #mailParts = new Parts(mergedMail);
  readonly #agendaParts = new Parts(mergedAgenda);
  #lastRef = 0;
  #kept = true;
  #opening: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #helloAt = 0;
  #pings: NodeJS.Timeout | undefined;
  #closed = false;
  #streamEnded: (() => void) | undefined;
  #end: (reason: string) => void = () => undefined;
  #drain: () => void = () => undefined;

  constructor(gateway: Gateway, clock: Clock, settings: Settings, user: LinkUser) {
    this.address = gateway.address;
    this.#gateway = gateway;
    this.#clock = clock;
    this.#settings = settings;
    this.#user = user;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.drained = new Promise((resolve) => {
      this.#drain = resolve;
    });
    this.#stream = gateway.open(this);
    this.outbox = new GrpcOutbox(settings.offlineBuffer, (frame, written) => this.#stream.write(frame, written));
  }

  /** Says hello and becomes an instance. Rejects with why the gateway would not have it, or could not be reached. */
  async open(hello: Hello): Promise<void> {
    const timer = setTimeout(
      () => this.onEnd("no answer in time", this.#gateway.late()),
      this.#settings.connectTimeout,
    );
    try {
      await new Promise<void>((resolve, reject) => {
        this.#opening = { resolve, reject };
        this.#helloAt = monotonic();
        this.#stream.write(frameOf({ $case: "hello", value: hello }), () => undefined);
      });
    } catch (error) {
      this.#stream.cancel();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    this.#pings = setInterval(() => void this.#ping(), this.#settings.pingInterval).unref();
    this.#hold();
  }

  /** Whether the Link keeps the process alive even while no answer is waited for. */
  keepAlive(kept: boolean): void {
    this.#kept = kept;
    this.#hold();
  }

  /** Sends an item without waiting for anything. */
  send(item: Item): void {
    if (!this.broken) this.outbox.put(frameOf(item));
  }

  /** Numbers and sends an item that carries a `ref`; resolves with what answers it, or rejects with LinkBrokenError. */
  ask(item: Asking): Promise<Answer> {
    if (this.broken) return Promise.reject(new LinkBrokenError("the link is broken"));
    this.#lastRef += 1;
    const ref = this.#lastRef;
    item.value.ref = ref;
    this.outbox.put(frameOf(item));
    return new Promise((resolve, reject) => {
      this.#asked.set(ref, { resolve, reject });
      if (this.#asked.size === 1) this.#hold();
    });
  }

  /** Asks something of durable events; resolves with all of the answer, or rejects with LinkBrokenError. */
  mail(request: Omit<MailRequest, "ref">): Promise<MailResponse> {
    return this.ask({ $case: "mail", value: { ref: 0, ...request } }) as Promise<MailResponse>;
  }

  /** Asks something of planned events; resolves with all of the answer, or rejects with LinkBrokenError. */
  agenda(request: Omit<AgendaRequest, "ref">): Promise<AgendaResponse> {
    return this.ask({ $case: "agenda", value: { ref: 0, ...request } }) as Promise<AgendaResponse>;
  }

  /** Writes what is left, ends the stream, and lets it go. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#pings);
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_WORDS_MS);
    });
    await Promise.race([this.#sayLast(), enough]);
    clearTimeout(timer);
    this.#stream.cancel();
    this.#break("it was closed");
  }

  /** See `StreamEvents`. */
  onItems(items: readonly GatewayItem[]): void {
    this.heardAt = monotonic();
    for (const { item } of items) {
      if (item === undefined) continue; // a newer gateway may say things we do not know
      if (item.$case === "welcome") this.#welcomed(item.value.instance, item.value.time);
      else if (item.$case === "mail") this.#answeredInPart(this.#mailParts.take(item.value));
      else if (item.$case === "agenda") this.#answeredInPart(this.#agendaParts.take(item.value));
      else if (isAnswer(item)) this.#answered(item.value);
      else if (item.$case === "observing") this.observing = item.value.any;
      else if (item.$case === "drain") this.#drains();
      else this.#user.onSaid(this, item);
    }
  }

  /** See `StreamEvents`. */
  onEnd(reason: string, refusal: TielineError): void {
    this.#streamEnded?.();
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening !== undefined) {
      this.broken = true;
      opening.reject(refusal);
    } else if (this.instance !== "") this.#break(reason);
  }

  #welcomed(instance: string, time: number): void {
    this.instance = instance;
    this.#clock.learn(time, this.#helloAt, monotonic());
    this.#opening?.resolve();
    this.#opening = undefined;
  }

  #drains(): void {
    this.draining = true;
    this.#drain();
  }

  #answered(answer: Answer): void {
    this.#asked.get(answer.ref)?.resolve(answer);
    this.#asked.delete(answer.ref);
    if (this.#asked.size === 0) this.#hold();
  }

  #hold(): void {
    this.#stream.keepAlive(this.#kept || this.#asked.size > 0);
  }

  #answeredInPart(answer: Answer | undefined): void {
    if (answer !== undefined) this.#answered(answer);
  }

  async #sayLast(): Promise<void> {
    if (this.broken) return;
    await this.outbox.empty();
    this.#stream.end();
    await new Promise<void>((resolve) => {
      this.#streamEnded = resolve;
    });
  }

  async #ping(): Promise<void> {
    const { pongTimeout } = this.#settings;
    let answered = false;
    // After the timeout one more turn, so that what lies there already is read: the answer, or what it waits behind.
    const later = (ms: number) => setTimeout(() => setImmediate(look), ms).unref();
    const look = () => {
      const silence = monotonic() - this.heardAt;
      if (answered) return;
      if (silence < pongTimeout) late = later(pongTimeout - silence);
      else this.#silent(Math.round(silence));
    };
    let late = later(pongTimeout);
    const asked = monotonic();
    try {
      const pong = await this.ask({ $case: "ping", value: { ref: 0 } });
      if ("time" in pong) this.#clock.learn(pong.time, asked, monotonic());
    } catch {
      // A broken link is told elsewhere.
    }
    answered = true;
    clearTimeout(late);
  }

  #silent(ms: number): void {
    this.#stream.cancel();
    this.#break(`no sign of life for ${ms} ms`);
  }

  #break(reason: string): void {
    if (this.broken) return;
    this.broken = true;
    clearInterval(this.#pings);
    if (!this.#closed) this.#user.onBroken(this, reason);
    this.#end(reason);
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { reject } of asked) reject(new LinkBrokenError(reason));
  }
}
