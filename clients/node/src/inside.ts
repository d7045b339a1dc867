import { InvalidArgumentError } from "./errors.js";
import type { Instance } from "./instance.js";
import type { Subscription } from "./subscription.js";

const CLIENT = "node/0.1.0";

/** What an instance tells of itself when it is asked on `system.ask` (SPEC.md, section 13). */
export class Inside {
  readonly #instance: Instance;
  readonly #subscriptions: () => readonly Subscription[];

  constructor(instance: Instance, subscriptions: () => readonly Subscription[]) {
    this.#instance = instance;
    this.#subscriptions = subscriptions;
  }

  /** Tells the trail of a chain, or what is subscribed here. Throws InvalidArgumentError for other questions. */
  answer(question: unknown): Record<string, unknown> {
    const asked = typeof question === "object" && question !== null ? question : {};
    const { trail, clock, source, service, port } = this.#instance;
    if ("trail" in asked) return { trail: trail.of(String(asked.trail), source, clock) };
    if (!("subscriptions" in asked)) {
      throw new InvalidArgumentError('what can be asked for is "trail" and "subscriptions"');
    }
    const subscriptions = this.#subscriptions().map(described);
    return { service, instance: port?.instance ?? "", client: CLIENT, subscriptions };
  }
}

function described({ topic, name, group, observe, batches: batch, streams }: Subscription): Record<string, unknown> {
  return { topic, name, group, observe, batch, streams, schema_version: "" };
}
