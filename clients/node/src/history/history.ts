import type { Caller } from "../calls/caller.js";
import { isMissing } from "../calls/gather.js";
import { replyValue } from "../calls/pendingReply.js";
import { Stream } from "../calls/stream.js";
import { type Code, ERRORS, HISTORY_TOPIC, LIMIT_PAGE } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { REQUEST } from "../envelope.js";
import {
  ERROR_CLASSES,
  HandlerError,
  InvalidArgumentError,
  InvalidTopicError,
  NoRespondersError,
  NotFoundError,
} from "../errors.js";
import type { Instance } from "../instance.js";
import {
  ANY,
  checkOptions,
  FLAG,
  type Kind,
  type Kinds,
  NO_OPTIONS,
  oneOf,
  shown,
  TEXT,
  TTL,
  whole,
} from "../options.js";
import { checkTtl, compose } from "../outgoing.js";
import { checkGroup, checkPattern, checkTopic, isReserved } from "../topics.js";
import { isText } from "../wellFormed.js";
import {
  eventOf,
  figuresOf,
  type HistoryAskOptions,
  type HistoryDeleteOptions,
  type HistoryEvent,
  type HistoryFigures,
  type HistoryListOptions,
  type HistoryPage,
  type HistoryReplayOptions,
  type HistorySelection,
  STATUSES,
  type Told,
} from "./events.js";
import { Replay } from "./replay.js";

const ASK_MS = 30_000;
const FASTEST = 1_000_000;
const TYPES: Kind = {
  is: "a topic or a pattern, or a list of them",
  fits: (value) => isText(value) || Array.isArray(value),
};
/** The largest number a row of a database may have. */
const LAST = 2n ** 63n - 1n;
const MOMENT: Kind = { is: "a Date", fits: (value) => value instanceof Date && !Number.isNaN(value.getTime()) };
const SELECTION = { types: TYPES, start: MOMENT, end: MOMENT, status: oneOf(...STATUSES), source: TEXT };
const ASK_KINDS: Kinds<HistoryAskOptions> = { ttl: TTL };
const LIST_KINDS: Kinds<HistoryListOptions> = {
  ...SELECTION,
  ...ASK_KINDS,
  page: whole(1),
  cursor: TEXT,
  limit: whole(1, LIMIT_PAGE),
  oldestFirst: FLAG,
};
const DELETE_KINDS: Kinds<HistoryDeleteOptions> = { ...SELECTION, ...ASK_KINDS, ids: ANY };
const REPLAY_KINDS: Kinds<HistoryReplayOptions> = { ...SELECTION, toGroup: ANY, toTopic: ANY, speed: ANY };

/**
 * What happened, as recorders have written it down: `events.history`. Recorders run in gateways (`tieline up --history`) and
 * in Python programs; without one, everything rejects with NoRespondersError.
 */
export class History {
  readonly #instance: Instance;
  readonly #caller: Caller;

  constructor(instance: Instance, caller: Caller) {
    this.#instance = instance;
    this.#caller = caller;
  }

  /**
   * Events, the newest first. Rejects with InvalidArgumentError or InvalidTopicError for what makes no sense, and with
   * UnavailableError while the database is away.
   */
  async list(options: HistoryListOptions = NO_OPTIONS): Promise<HistoryPage> {
    checkOptions(options, LIST_KINDS, "history.list");
    const { page, cursor = "", limit = 50, oldestFirst = false, ttl = ASK_MS } = options;
    if (cursor !== "" && page !== undefined) throw new InvalidArgumentError("give a page or a cursor, not both");
    if (cursor !== "") checkCursor(cursor);
    const asked = { ...selected(options), oldest_first: oldestFirst };
    let told = await this.#ask("list", { ...asked, limit, cursor, ...(page === undefined ? {} : { page }) }, ttl);
    const found = told.events as Told[];
    const total = (told.total as number | null) ?? undefined;
    while (told.cursor !== "" && found.length < limit) {
      told = await this.#ask("list", { ...asked, limit: limit - found.length, cursor: told.cursor }, ttl);
      found.push(...(told.events as Told[]));
    }
    const events: HistoryEvent[] = [];
    for (const each of found) {
      try {
        events.push(await this.#event(each, ttl));
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error; // it was deleted meanwhile
      }
    }
    return { events, cursor: told.cursor as string, total };
  }

  /**
   * One event. Rejects with NotFoundError if history has none of this id: it was not recorded, or not yet, or it is gone
   * again.
   */
  async get(id: string, options: HistoryAskOptions = NO_OPTIONS): Promise<HistoryEvent> {
    checkOptions(options, ASK_KINDS, "history.get");
    const { ttl = ASK_MS } = options;
    const { event } = await this.#ask("get", { id: checkedIds(id)[0] }, ttl);
    return this.#event(event as Told, ttl);
  }

  /** Deletes events from history, and nothing else; resolves with how many. */
  async delete(options: HistoryDeleteOptions): Promise<number> {
    checkOptions(options, DELETE_KINDS, "history.delete");
    const { ids, ttl = ASK_MS } = options;
    const asked = selected(options);
    if ((ids === undefined) === (Object.keys(asked).length === 0)) {
      throw new InvalidArgumentError("say what is to be deleted: ids, or types, start, end, status or source");
    }
    const given = ids === undefined ? asked : { ids: checkedIds(ids) };
    return (await this.#ask("delete", given, ttl)).deleted as number;
  }

  /** How history is doing: what there is, what waits, and how each recorder fares. */
  async figures(options: HistoryAskOptions = NO_OPTIONS): Promise<HistoryFigures> {
    checkOptions(options, ASK_KINDS, "history.figures");
    const request = await this.#request("figures", {}, options.ttl ?? ASK_MS);
    const asked = { maxReplies: 0, everyInstance: true, signal: undefined };
    const answers = await this.#caller.gather(request, asked).catch((error) => Promise.reject(meaning(error)));
    const told: [string, Told][] = [];
    for (const { responder, reply, error } of answers) {
      if (error !== undefined && !isMissing(error)) throw meaning(error);
      if (reply !== undefined) told.push([responder.instance, replyValue(reply) as Told]);
    }
    if (told.length === 0) throw nobody();
    return figuresOf(told);
  }

  /**
   * Delivers events again, marked as a replay: `for await (const progress of events.history.replay({ … }))`.
   *
   * They are delivered in the order in which the broker had them, with their ids, times and keys, to one subscription group
   * (stored for it, if it is durable) or on another topic. Reading ends with the last one; leaving early ends the replay.
   * Subscriptions with `replays: false` get none of it. Throws for what makes no sense. Reading rejects with NotFoundError
   * at the end if nobody had the group, so that all was skipped.
   */
  replay(options: HistoryReplayOptions): Replay {
    checkOptions(options, REPLAY_KINDS, "history.replay");
    const question = { ...selected(options), ...destination(options) };
    const begin = async () => {
      const request = await this.#request("replay", question, ASK_MS);
      const plain = { idempotent: false, waitForResponders: 0, waitForConnection: 0, signal: undefined };
      return this.#caller.stream(request, { ...plain, total: Infinity, window: undefined });
    };
    return new Replay(new Stream(this.#caller, begin), meaning);
  }

  // --- asking --------------------------------------------------------------------------------------------------------

  async #ask(what: string, question: Told, ttl: number): Promise<Told> {
    const request = await this.#request(what, question, ttl);
    const asked = { idempotent: what !== "delete", waitForResponders: 0, waitForConnection: 0, signal: undefined };
    try {
      return (await this.#caller.call(request, question, asked)) as Told;
    } catch (error) {
      throw meaning(error);
    }
  }

  async #request(what: string, question: Told, ttl: number): Promise<Envelope> {
    const left = await this.#instance.ready(checkTtl(ttl));
    const { clock, source, place } = this.#instance;
    const request = compose(REQUEST, `${HISTORY_TOPIC}.${what}`, question, { ttl: left }, left, clock, source, true);
    request.replyTo = place.instance;
    return request;
  }

  /** An event as it was told; a large payload comes in parts. */
  async #event(told: Told, ttl: number): Promise<HistoryEvent> {
    let payload = Buffer.from(told.data as Uint8Array);
    while (payload.length < (told.bytes as number)) {
      const { data } = await this.#ask("data", { id: told.id, offset: payload.length }, ttl);
      payload = Buffer.concat([payload, data as Uint8Array]);
    }
    return eventOf(told, payload);
  }
}

/** A selection as it travels. Throws for what makes no sense. */
/** "<number>-<id>", as a page tells where the next one begins. */
function checkCursor(cursor: string): void {
  const [number = ""] = /^[0-9]+(?=-)/.exec(cursor) ?? [];
  if (number !== "" && BigInt(number) <= LAST) return;
  throw new InvalidArgumentError(`${shown(cursor)} is no cursor; take the one that came with the last page`);
}

function selected({ types, start, end, status, source }: HistorySelection): Told {
  const names = types === undefined || types === "" ? [] : typeof types === "string" ? [types] : types;
  for (const name of names) checkPattern(name);
  if (start !== undefined && end !== undefined && start > end) {
    throw new InvalidArgumentError(
      `start (${start.toISOString()}) is after end (${end.toISOString()}): there is nothing between them; swap them`,
    );
  }
  return {
    ...(names.length === 0 ? {} : { types: [...names] }),
    ...(start === undefined ? {} : { start: Math.max(0, start.getTime()) }),
    ...(end === undefined ? {} : { end: Math.max(0, end.getTime()) }),
    ...(status === undefined ? {} : { status }),
    ...(source === undefined || source === "" ? {} : { source }),
  };
}

/** To whom events are replayed, and how fast. Throws for what makes no sense. */
function destination({ toGroup, toTopic, speed = 1 }: HistoryReplayOptions): Told {
  if ((toGroup === undefined) === (toTopic === undefined)) {
    throw new InvalidArgumentError("say to whom: toGroup: one subscription group, or toTopic: another topic");
  }
  if (toGroup !== undefined) checkGroup(toGroup);
  if (toTopic !== undefined) {
    checkTopic(toTopic);
    if (isReserved(toTopic)) {
      throw new InvalidTopicError(`"${toTopic}" is published by the system only; choose another first token`);
    }
  }
  if (speed !== null && !(typeof speed === "number" && speed > 0 && speed <= FASTEST)) {
    throw new InvalidArgumentError(`speed is a factor above 0, or null for as fast as it goes, not ${shown(speed)}`);
  }
  return {
    ...(toGroup === undefined ? {} : { to_group: toGroup }),
    ...(toTopic === undefined ? {} : { to_topic: toTopic }),
    ...(speed === null ? {} : { speed }),
  };
}

function checkedIds(given: string | readonly string[]): string[] {
  const ids = typeof given === "string" ? [given] : given;
  if (!Array.isArray(ids) || !ids.every((id) => isText(id) && id !== "")) {
    throw new InvalidArgumentError(`an event's id is a text that is not empty, not ${shown(given)}`);
  }
  if (ids.length > LIMIT_PAGE) throw new InvalidArgumentError(`at most ${LIMIT_PAGE} ids at once, not ${ids.length}`);
  return [...ids];
}

/** What a recorder said is thrown as if it had been said here. */
function meaning(error: unknown): unknown {
  if (error instanceof NoRespondersError) return nobody();
  if (!(error instanceof HandlerError)) return error;
  const { code, ...details } = error.details;
  if (typeof code !== "string" || !Object.hasOwn(ERRORS, code)) return error;
  return new ERROR_CLASSES[code as Code](error.message.replace(/^[^:]*Error: /, ""), { details });
}

function nobody(): NoRespondersError {
  return new NoRespondersError(
    "nobody records history here; start a recorder: tieline up --history, or in a Python program " +
      "await events.record('sqlite:///path/of/history.db')",
    { outcome: "NOT_DELIVERED" },
  );
}
