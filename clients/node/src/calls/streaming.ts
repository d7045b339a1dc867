import type { Delivery } from "../delivery.js";
import { fitted } from "../schema.js";
import { isThenable } from "../thenable.js";

/** What a handler that streams returns. */
export type Items = AsyncIterable<unknown> | Iterable<unknown>;
type Step = IteratorResult<unknown>;
type Steps = Iterator<unknown> | AsyncIterator<unknown>;

const MISFIT_ITEM = "what the handler yielded does not fit the output schema";
const GENERATORS: ReadonlySet<string> = new Set(["GeneratorFunction", "AsyncGeneratorFunction"]);
/** Whoever never waits would let nobody else run, so after so many items the event loop turns. */
const UNBROKEN = 64;

/** Whether a function is a generator, of either kind. */
export function isGenerator(handler: { readonly constructor: { readonly name: string } }): boolean {
  return GENERATORS.has(handler.constructor.name);
}

/** Whether what a handler returned is a stream: an asynchronous one, or that of a generator. */
export function isStream(result: unknown, generator: boolean): result is Items {
  if (typeof result !== "object" || result === null) return false;
  return Symbol.asyncIterator in result || (generator && Symbol.iterator in result);
}

/** What a handler yields, on its way to the reader. */
export class Sending {
  readonly #delivery: Delivery;
  readonly #items: Items;
  readonly #steps: Steps;
  #asked = false;
  /** Its iterator has ended or thrown, or was told to end. */
  #closed = false;

  constructor(delivery: Delivery, items: Items) {
    this.#delivery = delivery;
    this.#items = items;
    this.#steps = stepsOf(items);
  }

  /**
   * Sends item by item as the reader has room, until the end or until nobody reads; an event's items are dropped.
   * Rejects with what the handler threw, or if an item cannot be sent.
   */
  async all(): Promise<void> {
    const { flow, outlet } = this.#delivery;
    const { output } = this.#delivery.subscription;
    let atEnd = false;
    try {
      this.#asked = !this.#over;
      for (let count = 1; !this.#over; count++) {
        atEnd = true; // unless there is an item: it ends, or throws
        const next = this.#steps.next() as Step | PromiseLike<Step>;
        const step = isThenable(next) ? ((await next) as Step) : next;
        atEnd = step.done === true;
        if (atEnd) return;
        const given = isThenable(step.value) ? await step.value : step.value;
        const value = output === undefined || flow === undefined ? given : await fitted(output, given, MISFIT_ITEM);
        while (flow?.open === false && !this.#over) await flow.room();
        if (flow !== undefined && !this.#over) outlet.item(this.#delivery, value);
        if (count % UNBROKEN === 0) await turn();
      }
    } catch (error) {
      if (this.#over) return;
      throw error;
    } finally {
      if (atEnd) this.#closed = true;
      await this.#close();
    }
  }

  /** Nobody reads any more. */
  stop(): void {
    this.#delivery.flow?.wake();
    void this.#close();
  }

  get #over(): boolean {
    return this.#delivery.event.cancelled;
  }

  /** Lets the handler end where it is; what it throws then interests nobody. */
  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#asked) return discard(this.#items, this.#steps);
    try {
      await this.#steps.return?.();
    } catch {}
  }
}

/** Ends a stream of which nobody has read anything; a Readable knows no other way than to be destroyed. */
export async function discard(items: Items, steps: Steps = stepsOf(items)): Promise<void> {
  try {
    if ("destroy" in items && typeof items.destroy === "function") items.destroy();
    else await steps.return?.();
  } catch {}
}

function stepsOf(items: Items): Steps {
  return Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
