import assert from "node:assert/strict";
import { SYSTEM_EVENTS } from "../../src/contract/systemEvents.js";
import { type Event, EventSystem } from "../../src/index.js";
import { until } from "./waiting.js";

type Payload = Record<string, unknown>;

const FITS: Record<string, (value: unknown) => boolean> = {
  text: (value) => typeof value === "string",
  integer: Number.isInteger,
  number: (value) => typeof value === "number",
  time: (value) => value instanceof Date,
};

/** Fails unless the payload is what contract.toml says of its system event. */
export function assertAsAgreed(topic: string, payload: Payload): void {
  const { kind, ...given } = payload;
  const fields = SYSTEM_EVENTS[`${topic} ${kind ?? ""}`.trim()] ?? assert.fail(`no such event: ${topic} ${kind}`);
  for (const [name, type] of Object.entries(fields)) {
    if (!(name in given) && type.endsWith("?")) continue;
    assert.ok(FITS[type.replace("?", "")]?.(given[name]), `${name} of ${topic}: ${JSON.stringify(payload)}`);
  }
  for (const name of Object.keys(given)) assert.ok(name in fields, `${name} is no field of ${topic}`);
}

/** System events of one service, as others get them. */
export class Told {
  readonly all: Payload[] = [];

  constructor(readonly service: string) {}

  /** Takes them; each must be as agreed. */
  readonly take = (data: unknown, event: Event): void => {
    const payload = data as Payload;
    if (payload.service !== this.service) return;
    assertAsAgreed(event.topic, payload);
    this.all.push({ of: event.topic.replace("system.", ""), ...payload });
  };

  /** Waits for the first one like this, and resolves to it. */
  async one(wanted: Payload): Promise<Payload> {
    const find = () => this.all.find((each) => Object.entries(wanted).every(([name, value]) => each[name] === value));
    await until(() => find() !== undefined, `${JSON.stringify(wanted)} in ${JSON.stringify(this.all)}`);
    return find() ?? {};
  }

  /** How many came. */
  count(of: string): number {
    return this.all.filter((each) => each.of === of).length;
  }

  /** Has a system hear of the service. */
  static async of(service: string, watcher: EventSystem): Promise<Told> {
    assert.ok(watcher instanceof EventSystem);
    const told = new Told(service);
    await watcher.subscribe("system.>", told.take).ready();
    return told;
  }
}
