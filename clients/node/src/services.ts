import { isDeepStrictEqual } from "node:util";
import type { Responder } from "./calls/gather.js";
import type { JsonSchema } from "./jsonSchema.js";

/** One subscription of a service. */
export interface Subscribed {
  /** Topic or pattern. */
  readonly topic: string;
  /** As the service calls it. */
  readonly name: string;
  /** Empty for none. */
  readonly group: string;
  readonly kind: "handler" | "observer" | "batch";
  /** Its reply is a stream. */
  readonly streams: boolean;
  /** Of the payload; empty if it was not said. */
  readonly schemaVersion: string;
  /** JSON Schema of the payload; undefined if it was not said. */
  readonly input: JsonSchema | undefined;
  /** JSON Schema of the reply or of each item; undefined if it was not said. */
  readonly output: JsonSchema | undefined;
}

/**
 * A service. Instances of one service that differ, as in the middle of a deployment, show as several subscriptions of one
 * name.
 */
export interface Service {
  readonly name: string;
  /** The client that each instance uses, by the name of the instance; empty for one that is there but did not answer. */
  readonly instances: Readonly<Record<string, string>>;
  readonly subscriptions: readonly Subscribed[];
}

/**
 * Joins what instances told, by the name of their service; what cannot be read is left out. Who is silent is told as an
 * instance without a client.
 */
export function servicesOf(told: readonly unknown[], silent: readonly Responder[] = []): Service[] {
  const found = new Map<string, Found>();
  const serviceOf = (name: string) => {
    const service = found.get(name) ?? new Found(name);
    found.set(name, service);
    return service;
  };
  for (const { service, instance } of silent) serviceOf(service).take({ instance });
  for (const one of told.filter(isObject)) if (typeof one.service === "string") serviceOf(one.service).take(one);
  const services = [...found.values()].map((service) => service.told());
  return services.sort((a, b) => inOrder(a.name, b.name));
}

class Found {
  readonly #instances = new Map<string, string>();
  readonly #subscriptions: Subscribed[] = [];

  constructor(readonly name: string) {}

  take(told: Record<string, unknown>): void {
    this.#instances.set(textOf(told.instance), textOf(told.client));
    const { subscriptions } = told;
    for (const one of Array.isArray(subscriptions) ? subscriptions.filter(isObject) : []) this.#add(read(one));
  }

  told(): Service {
    const instances = Object.fromEntries(this.#instances);
    const subscriptions = this.#subscriptions.sort(
      (a, b) => inOrder(a.topic, b.topic) || inOrder(a.name, b.name) || inOrder(a.group, b.group),
    );
    return { name: this.name, instances, subscriptions };
  }

  #add(subscription: Subscribed): void {
    const known = this.#subscriptions.some((one) => isDeepStrictEqual(one, subscription));
    if (!known) this.#subscriptions.push(subscription);
  }
}

function read(told: Record<string, unknown>): Subscribed {
  return {
    topic: textOf(told.topic),
    name: textOf(told.name),
    group: textOf(told.group),
    kind: told.observe === true ? "observer" : told.batch === true ? "batch" : "handler",
    streams: told.streams === true,
    schemaVersion: textOf(told.schema_version),
    input: isObject(told.input) ? told.input : undefined,
    output: isObject(told.output) ? told.output : undefined,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function inOrder(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
