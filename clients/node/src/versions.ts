import type { Event } from "./context.js";
import { InvalidArgumentError, InvalidPayloadError } from "./errors.js";
import { isThenable } from "./thenable.js";
import { describe } from "./thrown.js";

/** A step from one schema version to another: a function that makes the newer payload of the older one, at once. */
export type Upcaster = readonly [from: string, to: string, lift: { step(data: unknown): unknown }["step"]];

/** What a subscription may say of its versions. */
export interface VersionOptions {
  /** Version of the payload's schema that the handler understands. */
  schemaVersion?: string;
  /** Steps that lift payloads of other versions, before filter and validation: `[from, to, function]`. */
  upcasters?: readonly Upcaster[];
}

/** The schema version of a handler, and the steps that lead to it (SPEC.md, section 13, "Versions"). */
export class Versions {
  readonly #steps = new Map<string, Upcaster>();

  /** Throws InvalidArgumentError if the upcasters do not all lead to the version. */
  constructor(
    readonly version: string,
    upcasters: readonly Upcaster[],
  ) {
    for (const upcaster of upcasters) this.#add(upcaster);
    for (const from of this.#steps.keys()) this.#checkPath(from);
  }

  /**
   * The payload of an event, in the handler's version. Throws InvalidPayloadError if there is no way to that version, or
   * if an upcaster threw.
   */
  lift(event: Event): unknown {
    let at = event.schemaVersion || this.version;
    let { data } = event;
    while (at !== this.version) {
      const upcaster = this.#steps.get(at);
      if (upcaster === undefined) throw new InvalidPayloadError(this.#unknown(at));
      data = lifted(upcaster, data);
      at = upcaster[1];
    }
    return data;
  }

  #add(upcaster: Upcaster): void {
    const [from, to, lift] = checkUpcaster(upcaster);
    if (this.#steps.has(from)) throw new InvalidArgumentError(`two upcasters begin at schema version "${from}"`);
    this.#steps.set(from, [from, to, lift]);
  }

  #unknown(version: string): string {
    const known = [...this.#steps.keys()].map((from) => `"${from}"`).join(", ") || "no other";
    return `the handler understands schema version "${this.version}" and lifts ${known}, not "${version}"`;
  }

  #checkPath(from: string): void {
    const seen = new Set<string>();
    for (let at = from; at !== this.version; ) {
      const next = this.#steps.get(at)?.[1];
      if (next === undefined || seen.has(at)) {
        throw new InvalidArgumentError(
          `the upcasters from schema version "${from}" do not lead to "${this.version}", the handler's own`,
        );
      }
      seen.add(at);
      at = next;
    }
  }
}

/** What a subscription declared; undefined if it declared nothing. Throws InvalidArgumentError. */
export function versionsOf({ schemaVersion = "", upcasters = [] }: VersionOptions): Versions | undefined {
  if (typeof schemaVersion !== "string") throw new InvalidArgumentError("schemaVersion is text");
  if (!Array.isArray(upcasters)) throw new InvalidArgumentError("upcasters is a list of [from, to, function]");
  if (schemaVersion !== "") return new Versions(schemaVersion, upcasters);
  if (upcasters.length === 0) return undefined;
  throw new InvalidArgumentError("upcasters need schemaVersion: the version that the handler understands");
}

function checkUpcaster(upcaster: Upcaster): Upcaster {
  const [from, to, lift] = Array.isArray(upcaster) ? upcaster : [];
  const fits = typeof from === "string" && typeof to === "string" && typeof lift === "function";
  if (fits && from !== "") return upcaster;
  throw new InvalidArgumentError("an upcaster is [from, to, function], two versions and what lifts a payload");
}

function lifted([from, to, lift]: Upcaster, data: unknown): unknown {
  const who = `the upcaster from schema version "${from}" to "${to}"`;
  let made: unknown;
  try {
    made = lift(data);
  } catch (error) {
    const { type, message } = describe(error);
    throw new InvalidPayloadError(`${who} threw ${type}: ${message}`, { cause: error });
  }
  if (!isThenable(made)) return made;
  Promise.resolve(made).catch(() => undefined); // it is of no use, whatever becomes of it
  throw new InvalidPayloadError(`${who} returned a promise; it must lift the payload at once`);
}
