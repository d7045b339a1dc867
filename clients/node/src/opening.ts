import { closed, type Instance } from "./instance.js";
import type { Registry } from "./registry.js";
import type { Receiver, Transport } from "./transport.js";
import { within } from "./within.js";

/** Begins an instance, once for all who ask: connects it, and registers what was declared. */
export class Opening {
  readonly #instance: Instance;
  readonly #registry: Registry;
  readonly #makeTransport: () => Promise<Transport>;
  /** It has begun. */
  readonly #begun: () => void;
  #transport: Transport | undefined;
  #starting: Promise<void> | undefined;
  #isOver = false;

  constructor(instance: Instance, registry: Registry, makeTransport: () => Promise<Transport>, begun: () => void) {
    this.#instance = instance;
    this.#registry = registry;
    this.#makeTransport = makeTransport;
    this.#begun = begun;
  }

  /** Begins, or waits for who does. Rejects with UnavailableError, UnauthenticatedError or UnsupportedError. */
  start(receiver: Receiver): Promise<void> {
    this.#starting ??= this.#start(receiver).finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async #start(receiver: Receiver): Promise<void> {
    const instance = this.#instance;
    const transport = await this.#makeTransport();
    this.#transport = transport;
    try {
      const port = await transport.open(instance.service, receiver, instance.settings);
      instance.attach(port);
      await this.#registry.attach(port);
      if (this.#isOver) throw closed();
      instance.up = true;
      this.#begun();
    } catch (error) {
      await transport.close();
      throw error;
    }
  }

  /** Waits for a start that is under way, but not for one that waits for the broker. */
  async settled(ms: number): Promise<void> {
    const started = this.#starting?.catch(() => undefined);
    if (started === undefined || this.#instance.port?.connected === false) return;
    await within(ms, started, this.#instance.clock);
  }

  /** Nothing begins any more. */
  end(): void {
    this.#isOver = true;
  }

  /** Closes the transport. */
  async close(): Promise<void> {
    await this.#transport?.close();
  }
}
