import { type Clock, monotonic } from "../clock.js";
import { DEFAULT_IDEMPOTENCY_WINDOW_MS } from "../contract/contract.js";
import { said, TielineError } from "../errors.js";
import { newInstance } from "../identity.js";
import type { Log } from "../log.js";
import { check, milliseconds } from "../options.js";
import type { Trouble } from "../trouble.js";

/** Remembering which durable events were handled, so that none is handled twice. Rules: SPEC.md, section 14. */

/** Milliseconds for which a store remembers that an event was handled. */
export const DEFAULT_WINDOW = DEFAULT_IDEMPOTENCY_WINDOW_MS;

const LOOK_MS = 250;
const SWEEP_AT = 1000;
const WINDOW = milliseconds(1, 366 * 86_400_000);
const STANDINGS: readonly unknown[] = ["begun", "busy", "done"] satisfies Standing[];

/** An event in a subscription group. */
export interface Handling {
  readonly group: string;
  readonly topic: string;
  readonly id: string;
}

/**
 * How far the handling of an event is: "begun", it is the asker's to do; "busy", somebody else is at it; "done", it is
 * handled.
 */
export type Standing = "begun" | "busy" | "done";

/**
 * Remembers what is being handled and what was. One store may serve any number of subscriptions. It rejects with
 * UnavailableError when it cannot be asked; the event waits for it then.
 */
export interface IdempotencyStore {
  /**
   * Begins to handle an event, for so many milliseconds, if nobody else does and it is not done. The same owner may begin
   * again, and has so many milliseconds from then on.
   */
  begin(handling: Handling, owner: string, leaseMs: number): Promise<Standing>;

  /** It is handled; that is remembered for as long as the store was told to. */
  done(handling: Handling): Promise<void>;

  /** It failed: anybody may begin at once, if it is still this owner's. */
  giveUp(handling: Handling, owner: string): Promise<void>;
}

/** The window of a store, if it can be one. Throws InvalidArgumentError. */
export function checkWindow(ms: number): number {
  check(ms, "the window of an idempotency store", WINDOW);
  return Math.floor(ms);
}

/** Remembers within this process: for tests, and against events that come twice while it lives. */
export class MemoryIdempotencyStore implements IdempotencyStore {
  readonly #window: number;
  readonly #now: () => number;
  /** Who has it (nobody: it is done), and until when. */
  readonly #known = new Map<string, { readonly owner: string; readonly until: number }>();
  #sweepAt = SWEEP_AT;

  /** `window` is in milliseconds, `now` a clock that only ever moves forward. Throws InvalidArgumentError. */
  constructor(window = DEFAULT_WINDOW, now: () => number = monotonic) {
    this.#window = checkWindow(window);
    this.#now = now;
  }

  /** How many events it knows, those that are over among them until they are swept. */
  get size(): number {
    return this.#known.size;
  }

  /** See `IdempotencyStore.begin`. */
  async begin(handling: Handling, owner: string, leaseMs: number): Promise<Standing> {
    const [now, name] = [this.#now(), nameOf(handling)];
    const known = this.#known.get(name);
    if (known !== undefined && known.until > now && known.owner !== owner) return known.owner === "" ? "done" : "busy";
    this.#keep(name, owner, now + leaseMs);
    return "begun";
  }

  /** See `IdempotencyStore.done`. */
  async done(handling: Handling): Promise<void> {
    this.#keep(nameOf(handling), "", this.#now() + this.#window);
  }

  /** See `IdempotencyStore.giveUp`. */
  async giveUp(handling: Handling, owner: string): Promise<void> {
    const name = nameOf(handling);
    if (this.#known.get(name)?.owner === owner) this.#known.delete(name);
  }

  /** Nothing is to be closed; other stores have a connection. */
  async close(): Promise<void> {}

  #keep(name: string, owner: string, until: number): void {
    this.#known.set(name, { owner, until });
    if (this.#known.size < this.#sweepAt) return;
    const now = this.#now();
    for (const [each, { until: end }] of this.#known) if (end <= now) this.#known.delete(each);
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#known.size);
  }
}

function nameOf({ group, topic, id }: Handling): string {
  return JSON.stringify([group, topic, id]);
}

/** Whose event is handled. */
export interface Asker {
  readonly topic: string;
  readonly group: string;
  readonly clock: Clock;
  readonly log: Log;
  /** How long what was begun lasts without being begun anew, milliseconds. */
  readonly lease: number;
  /** Where it is told that the store does not answer. */
  readonly trouble: Trouble;
}

/** Sees to it that one event is handled only if the store says so. */
export class Once {
  readonly #store: IdempotencyStore;
  readonly #asker: Asker;
  readonly #handling: Handling;
  readonly #owner = newInstance();
  #asking: Promise<unknown> = Promise.resolve();
  #over = false;
  #interrupt: () => void = () => undefined;

  constructor(store: IdempotencyStore, asker: Asker, id: string) {
    this.#store = store;
    this.#asker = asker;
    this.#handling = { group: asker.group, topic: asker.topic, id };
  }

  /** Waits until nobody else is at it; resolves to false if it is handled, to undefined if it was dropped. */
  begin(): Promise<boolean | undefined> {
    const dropped = new Promise<undefined>((resolve) => {
      this.#interrupt = () => resolve(undefined);
    });
    return Promise.race([this.#begin(), dropped]);
  }

  async #begin(): Promise<boolean | undefined> {
    while (!this.#over) {
      const standing = await this.#ask();
      if (standing === "done") return false;
      if (standing === "begun") {
        this.#renewLater();
        return true;
      }
      await this.#asker.clock.sleep(LOOK_MS);
    }
    return undefined;
  }

  /** Says what came of it. If the store does not hear it, the worst is that the event is handled again. */
  async end(done: boolean): Promise<void> {
    this.#over = true;
    await this.#asking.catch(() => undefined); // what comes later must not begin it anew
    try {
      if (done) await this.#store.done(this.#handling);
      else await this.#store.giveUp(this.#handling, this.#owner);
    } catch (error) {
      if (!(error instanceof TielineError)) throw error;
      const { topic, log } = this.#asker;
      log.error(`the idempotency store was not told of an event of "${topic}": ${said(error)}`);
    }
  }

  /** It was interrupted. */
  drop(): void {
    if (this.#over) return;
    this.#interrupt();
    this.end(false).catch((error) => this.#asker.log.error("the idempotency store failed", error));
  }

  #ask(): Promise<Standing> {
    const standing = this.#askStore();
    this.#asking = standing;
    return standing;
  }

  async #askStore(): Promise<Standing> {
    const { trouble, lease } = this.#asker;
    try {
      const standing = await this.#store.begin(this.#handling, this.#owner, lease);
      trouble.over();
      if (!STANDINGS.includes(standing)) throw new TypeError(`an idempotency store said ${String(standing)}`);
      return standing;
    } catch (error) {
      if (!(error instanceof TielineError)) throw error;
      trouble.told(said(error));
      return "busy";
    }
  }

  #renewLater(): void {
    const { clock, lease, log } = this.#asker;
    const timer = clock.callLater(lease / 3, () => {
      if (this.#over) return;
      this.#ask().catch((error) => log.error("the idempotency store failed", error));
      this.#renewLater();
    });
    timer.unref(); // the handler keeps the process alive, if anything does
  }
}
