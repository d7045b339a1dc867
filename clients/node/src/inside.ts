import type { Caller } from "./calls/caller.js";
import { InvalidArgumentError } from "./errors.js";
import { calls, figures } from "./figures/standing.js";
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

  /** Tells the trail of a chain, what is subscribed here, or how it stands. Throws InvalidArgumentError for other questions. */
  answer(question: unknown): Record<string, unknown> {
    const asked = (typeof question === "object" && question !== null ? question : {}) as Record<string, unknown>;
    if (Object.hasOwn(asked, "trail")) return { trail: this.#trail(String(asked.trail)) };
    if (Object.hasOwn(asked, "subscriptions")) return this.#subscriptions();
    if (Object.hasOwn(asked, "figures")) return this.#figures();
    if (Object.hasOwn(asked, "calls")) return { ...this.#who(), ...calls(this.#caller.out(), asked.calls) };
    throw new InvalidArgumentError("what can be asked for is 'trail', 'subscriptions', 'figures' and 'calls'");
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
    const told = this.#router.all().filter((subscription) => !subscription.internal && !subscription.leaving);
    return { ...this.#who(), subscriptions: told.map(described) };
  }

  #figures(): Record<string, unknown> {
    const { tally, clock } = this.#asked;
    const told = figures(tally, this.#router.all(), this.#caller.out().length);
    return { ...this.#who(), time: clock.now(), ...told };
  }

  #who(): Record<string, unknown> {
    const { service, port } = this.#asked;
    return { service, instance: port?.instance ?? "", client: CLIENT };
  }
}

function described(subscription: Subscription): Record<string, unknown> {
  const { topic, name, group, observe, batches, streams, schemaVersion, inputSchema, outputSchema } = subscription;
  const schemas = Object.entries({ input: inputSchema, output: outputSchema }).filter(([, schema]) => schema);
  const told = { topic, name, group, observe, batch: batches, streams, schema_version: schemaVersion };
  return { ...told, ...Object.fromEntries(schemas) };
}
