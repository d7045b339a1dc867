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
  readonly input: unknown;
  /** JSON Schema of the reply or of each item; undefined if it was not said. */
  readonly output: unknown;
}

/**
 * A service: its instances, with the client each of them uses, and what they are subscribed to. Instances of one service that
 * differ, as in the middle of a deployment, show as several subscriptions of one name.
 */
export interface Service {
  readonly name: string;
  readonly instances: Readonly<Record<string, string>>;
  readonly subscriptions: readonly Subscribed[];
}

type Told = Readonly<Record<string, unknown>>;

interface Found {
  readonly instances: Record<string, string>;
  readonly subscriptions: Map<string, Subscribed>;
}

function newFound(): Found {
  return { instances: {}, subscriptions: new Map() };
}

/** Joins what instances told, by the name of their service; what cannot be read is left out. */
export function servicesOf(told: readonly unknown[]): Service[] {
  const found = new Map<string, Found>();
  for (const one of told.filter(isTold)) {
    if (typeof one.service !== "string") continue;
    const service = found.get(one.service) ?? newFound();
    found.set(one.service, service);
    service.instances[String(one.instance)] = String(one.client ?? "");
    const all = Array.isArray(one.subscriptions) ? one.subscriptions.filter(isTold).map(read) : [];
    for (const subscription of all) service.subscriptions.set(JSON.stringify(subscription), subscription);
  }
  const services = [...found].map(([name, { instances, subscriptions }]) => {
    return { name, instances, subscriptions: [...subscriptions.values()].sort(byName) };
  });
  return services.sort((a, b) => compare(a.name, b.name));
}

function isTold(value: unknown): value is Told {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function read(told: Told): Subscribed {
  return {
    topic: String(told.topic ?? ""),
    name: String(told.name ?? ""),
    group: String(told.group ?? ""),
    kind: told.observe ? "observer" : told.batch ? "batch" : "handler",
    streams: Boolean(told.streams),
    schemaVersion: String(told.schema_version ?? ""),
    input: told.input ?? undefined,
    output: told.output ?? undefined,
  };
}

function byName(a: Subscribed, b: Subscribed): number {
  return compare(a.topic, b.topic) || compare(a.name, b.name) || compare(a.group, b.group);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
