import { LIMIT_APPEND_EVENTS } from "../contract/contract.js";
import { InvalidArgumentError } from "../errors.js";
import type { AroundPublish, Message } from "../middleware.js";
import { ANY, checkOptions, type Kinds, shown } from "../options.js";
import { MESSAGE_KINDS } from "../outgoing.js";
import type { Receipt } from "../publisher.js";
import { checkNames, MAX_STORED, PRIORITY } from "../publishOptions.js";
import type { Common, Piece, Storer } from "./storer.js";

/** One event of `publishMany`. */
export interface Item {
  /** Payload. */
  readonly data?: unknown;
  /** Events of one topic and key are handled strictly in order; without one, side by side. */
  readonly key?: string;
  /** Of an event without key: 1, 5 (unless given), 8 or 10; the highest are handled first. */
  readonly priority?: number;
  /** An id of your own: an event of the topic with the same one is stored once within 24 hours. */
  readonly dedupe?: string;
  /** Text by name. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What all events of one `publishMany` share; times in milliseconds. They never expire unless a `ttl` is given. */
export interface ManyOptions extends Common {}

const { headers: _, ...SHARED } = MESSAGE_KINDS;
const KINDS: Kinds<ManyOptions> = { ...SHARED, maxStored: MAX_STORED };
const ITEM_KINDS: Kinds<Item> = { data: ANY, key: ANY, priority: PRIORITY, dedupe: ANY, headers: ANY };
const ITEMS = "items are a list of objects { data, key, … }";

/** The items, as a list. Throws InvalidArgumentError for too many, one that is none, or options that make no sense. */
export function checkMany(items: Iterable<Item>, options: ManyOptions): Item[] {
  checkOptions(options, KINDS, "publishMany");
  if (typeof items === "string" || typeof Object(items)[Symbol.iterator] !== "function") {
    throw new InvalidArgumentError(`${ITEMS}, not ${shown(items)}`);
  }
  const listed = [...items];
  if (listed.length > LIMIT_APPEND_EVENTS) {
    throw new InvalidArgumentError(
      `${listed.length} events are more than the ${LIMIT_APPEND_EVENTS} that can be stored at once; ` +
        "publish them in parts",
    );
  }
  for (const item of listed) checkItem(item);
  return listed;
}

function checkItem(item: Item): void {
  const isObject = typeof item === "object" && item !== null && !Array.isArray(item);
  if (!isObject) throw new InvalidArgumentError(`${ITEMS}, and ${shown(item)} is none`);
  checkOptions(item, ITEM_KINDS, "an item");
  checkNames(item);
}

/** See `EventSystem.publishMany`. */
export function storeMany(
  storer: Storer,
  around: AroundPublish | undefined,
  topic: string,
  items: readonly Item[],
  options: ManyOptions,
): Promise<Receipt[]> {
  if (around !== undefined) return new Joint(storer, around, topic, items, options).store();
  return storer.storeTogether(
    topic,
    items.map((item) => pieceOf(item, item.data, item.headers)),
    options,
  );
}

function pieceOf(item: Item, data: unknown, headers: Readonly<Record<string, string>> = {}): Piece {
  return { ...item, data, headers };
}

/** Has each event pass the middleware by itself; when all have come through, they are stored together. */
class Joint {
  readonly #through = new Map<number, Piece>();
  readonly #waiting: Set<number>;
  readonly #receipts: Promise<Map<number, Receipt>>;
  #resolve: (receipts: Map<number, Receipt>) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #isOver = false;

  constructor(
    readonly storer: Storer,
    readonly around: AroundPublish,
    readonly topic: string,
    readonly items: readonly Item[],
    readonly options: ManyOptions,
  ) {
    this.#waiting = new Set(items.keys());
    this.#receipts = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#receipts.catch(() => undefined); // perhaps nobody came through
  }

  /** Stores what comes through. Whatever is thrown for one is thrown for all, and nothing is stored. */
  store(): Promise<Receipt[]> {
    return Promise.all(this.items.map((item, at) => this.#pass(at, item)));
  }

  async #pass(at: number, item: Item): Promise<Receipt> {
    try {
      const arrive = (message: Message) => this.#arrive(at, item, message);
      const receipt = await this.around(this.topic, item.data, item.headers, false, arrive);
      this.#isHere(at); // or middleware kept it to itself
      return receipt as Receipt;
    } catch (error) {
      this.#isOver = true;
      this.#reject(error);
      throw error;
    }
  }

  async #arrive(at: number, item: Item, { topic, data, headers }: Message): Promise<Receipt> {
    if (topic !== this.topic) {
      throw new InvalidArgumentError(
        `middleware sends an event of "${this.topic}" to "${topic}"; publishMany stores one topic`,
      );
    }
    if (!this.#isOver) this.#through.set(at, pieceOf(item, data, headers));
    this.#isHere(at);
    return (await this.#receipts).get(at) as Receipt;
  }

  #isHere(at: number): void {
    this.#waiting.delete(at);
    if (this.#waiting.size > 0 || this.#isOver) return;
    this.#isOver = true;
    this.#store().then(this.#resolve, this.#reject);
  }

  async #store(): Promise<Map<number, Receipt>> {
    const through = [...this.#through].sort(([one], [other]) => one - other);
    const pieces = through.map(([, piece]) => piece);
    const receipts = await this.storer.storeTogether(this.topic, pieces, this.options);
    return new Map(through.map(([at], place) => [at, receipts[place] as Receipt]));
  }
}
