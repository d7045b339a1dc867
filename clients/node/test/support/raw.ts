import { encode } from "../../src/codec.js";
import { type Envelope, newEnvelope, REPLY, REQUEST } from "../../src/envelope.js";
import { newCallId, newId } from "../../src/identity.js";
import { type Port, Route, type TielineError, type Transport } from "../../src/index.js";
import type { Interest, Receiver } from "../../src/transport.js";
import { sleep, until } from "./waiting.js";

const QUIET_MS = 80;

/** An instance without an event system, for doing what no client of ours would do. It answers nothing by itself. */
export class Raw implements Receiver {
  readonly requests: Envelope[] = [];
  readonly events: Envelope[] = [];
  readonly answers: Envelope[] = [];
  readonly dispatched: { callId: Uint8Array; instance: string; error: TielineError | undefined }[] = [];
  port!: Port;

  static async open(transport: Transport): Promise<Raw> {
    const raw = new Raw();
    raw.port = await transport.open("raw", raw);
    return raw;
  }

  /** Registers as a responder. */
  answersTo(topic: string): Promise<void> {
    return this.port.register([{ route: Route.REQUEST, pattern: topic, group: "" }]);
  }

  /** The first request that comes. */
  async request(): Promise<Envelope> {
    await until(() => this.requests.length > 0, "a request came");
    return this.requests[0] as Envelope;
  }

  /** Answers a request; `fields` change the envelope. */
  reply(request: Envelope, value: unknown, fields: Partial<Envelope> = {}): void {
    const reply = { ...newEnvelope(REPLY), callId: request.callId, data: encode(value) };
    this.port.answer(request.replyTo, { ...reply, source: `raw/${this.port.instance}`, ...fields });
  }

  /** An event or request, alive for ten seconds. */
  envelope(kind: number, topic: string, value: unknown, fields: Partial<Envelope> = {}): Envelope {
    const time = this.port.clock.now();
    const asking = kind === REQUEST ? { callId: newCallId(), replyTo: this.port.instance } : {};
    const life = { time, ttlMs: 10_000, expiresAt: time + 10_000 };
    const source = `raw/${this.port.instance}`;
    return { ...newEnvelope(kind), id: newId(), topic, source, data: encode(value), ...life, ...asking, ...fields };
  }

  /** CANCEL or CREDIT. */
  control(kind: number, callId: Buffer, stream?: Envelope["stream"]): Envelope {
    return { ...newEnvelope(kind), callId, stream };
  }

  /** So many answers arrive, and then no more. */
  async stay(count: number): Promise<void> {
    await until(() => this.answers.length >= count, `${count} answers`);
    await sleep(QUIET_MS);
    if (this.answers.length !== count) throw new Error(`${this.answers.length} answers instead of ${count}`);
  }

  onRequest(envelope: Envelope): void {
    this.requests.push(envelope);
  }

  onEvent(_interest: Interest, envelope: Envelope): void {
    this.events.push(envelope);
  }

  onAnswer(envelope: Envelope): void {
    this.answers.push(envelope);
  }

  onDispatched(callId: Uint8Array, instance: string, error: TielineError | undefined): void {
    this.dispatched.push({ callId, instance, error });
  }

  onJoined(): void {}

  underWay(): Set<string> {
    return new Set();
  }

  onLeft(_calls: ReadonlySet<string>): void {}

  onMail(): void {}

  onWarning(): void {}

  onConnected(): void {}

  onDisconnected(): void {}
}
