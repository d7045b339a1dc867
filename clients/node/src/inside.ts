import type { Caller } from "./caller.js";
import { InvalidArgumentError } from "./errors.js";
import type { Instance } from "./instance.js";
import type { Router } from "./router.js";
import type { Subscription } from "./subscription.js";
import { CLIENT } from "./version.js";

/** The handler of `system.ask`: what an instance tells of itself (SPEC.md, section 13). */
export class Inside {
  readonly #asked: Instance;
  readonly #router: Router;
  readonly #caller: Caller;

  constructor(asked: Instance, router: Router, caller: Caller) {
    this.#asked = asked;
    this.#router = router;
    this.#caller = caller;
  }

  /** Tells the trail of a chain, or what is subscribed here. Throws InvalidArgumentError for other questions. */
  answer(question: unknown): Record<string, unknown> {
    const asked = typeof question === "object" && question !== null ? question : {};
    if (Object.hasOwn(asked, "subscriptions")) return this.#subscriptions();
    if (Object.hasOwn(asked, "trail")) return { trail: this.#trail(String((asked as { trail: unknown }).trail)) };
    throw new InvalidArgumentError("what can be asked for is 'trail' and 'subscriptions'");
  }

  /** The steps of a chain that are remembered here, and what of it is under way. */
  #trail(correlationId: string): Buffer {
    const { trail, source, clock } = this.#asked;
    const atWork = this.#router.all().flatMap((subscription) => subscription.atWork());
    const durable = this.#router.all().flatMap(({ consumer }) => consumer?.atWork() ?? []);
    const live = atWork.map(([delivery, queued]) => trail.atWork(delivery, queued));
    const now = [...this.#caller.waiting(), ...live, ...durable];
    return trail.of(correlationId, source, clock, now);
  }

  #subscriptions(): Record<string, unknown> {
    const { service, port } = this.#asked;
    const told = this.#router.all().filter((subscription) => !subscription.internal && !subscription.leaving);
    return { service, instance: port?.instance ?? "", client: CLIENT, subscriptions: told.map(described) };
  }
}

function described(subscription: Subscription): Record<string, unknown> {
  const { topic, name, group, observe, batches, streams, schemaVersion, inputSchema, outputSchema } = subscription;
  const schemas = Object.entries({ input: inputSchema, output: outputSchema }).filter(([, schema]) => schema);
  const told = { topic, name, group, observe, batch: batches, streams, schema_version: schemaVersion };
  return { ...told, ...Object.fromEntries(schemas) };
}
