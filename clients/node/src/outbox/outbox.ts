import { Bell } from "../bell.js";
import { Clock } from "../clock.js";
import { CURRENT } from "../context.js";
import { DEFAULT_DEDUPE_MS, DEFAULT_OUTBOX_BACKOFF_CAP_MS, DEFAULT_OUTBOX_BACKOFF_MS } from "../contract/contract.js";
import { type Appended, type AppendOptions, type Draft, type Mail, noStream } from "../durable/mail.js";
import { InvalidArgumentError, said, TielineError } from "../errors.js";
import { closed } from "../instance.js";
import type { Log } from "../log.js";
import { shown } from "../options.js";
import { isText } from "../wellFormed.js";
import type { OutboxFigures, Waiting } from "./entry.js";
import { OutboxFile } from "./file.js";

const REST_MS = 1000;
const WHOLE_TOPIC = "\0";

/**
 * Reliable publishing: a durable event is written to a local file, and stored at the broker from there. Those of a key are
 * stored in their order. What was stored before, and was not removed from the file because the process ended, is recognised
 * by the broker. Rules: SPEC.md, section 14.
 *
 * It belongs to one event system: `new EventSystem(url, { outbox: "outbox.log" })`.
 */
export class Outbox {
  readonly #file: OutboxFile;
  readonly #mail: () => Promise<Mail>;
  readonly #log: Log;
  readonly #clock = new Clock();
  readonly #news = new Bell();
  readonly #quiet = new Bell();
  #rest = new Bell();
  #over = false;
  #forwarding: Promise<void> | undefined;
  #seen = 0;
  /** Until when what must keep its order is not tried again; local monotonic ms. */
  readonly #held = new Map<string, number>();
  readonly #failures = new Map<string, number>();

  /** `mail` is where events are stored, as soon as that can be reached at all. */
  constructor(path: string, mail: () => Promise<Mail>, log: Log) {
    this.#file = new OutboxFile(checkPath(path), log);
    this.#mail = mail;
    this.#log = log;
  }

  /** How many events wait for the broker. Rejects with UnavailableError if the file cannot be used; the message says why. */
  async figures(): Promise<OutboxFigures> {
    if (this.#over) throw closed();
    return this.#file.figures();
  }

  /**
   * Resolves when the events are on disk. Rejects with OverloadedError: too many wait; UnavailableError: the file cannot be
   * used, and nothing is kept; InvalidArgumentError: it is closed.
   */
  async put(topic: string, drafts: readonly Draft[], options: AppendOptions): Promise<void> {
    if (this.#over) throw closed();
    const kept = this.#file.put(topic, drafts, options);
    this.begin();
    await kept;
    this.#quiet.mute();
    this.#news.ring();
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /** Forwards what waits, and what comes. Idempotent. */
  begin(): void {
    if (this.#over) return;
    this.#forwarding ??= CURRENT.exit(() => this.#forward());
  }

  /** The broker is back: nothing waits any longer. */
  linkUp(): void {
    for (const lane of this.#held.keys()) this.#held.set(lane, 0);
    this.#news.ring();
  }

  /** Resolves when all that can be stored now is stored. */
  async drain(): Promise<void> {
    if (this.#forwarding !== undefined) await this.#quiet.heard();
  }

  /** Stops; what waits is forwarded when the file is opened again. */
  async close(): Promise<void> {
    this.#over = true;
    for (const bell of [this.#quiet, this.#news, this.#rest]) bell.ring();
    await this.#file.close();
  }

  // --- forwarding ----------------------------------------------------------------------------------------------------

  async #forward(): Promise<void> {
    const mail = await this.#findMail();
    while (mail !== undefined && !this.#over) {
      try {
        await this.#forwardSome(mail);
        continue;
      } catch (error) {
        // A defect of ours must not keep events back for good.
        if (error instanceof TielineError) this.#log.error(`reading the outbox failed: ${said(error)}`);
        else this.#log.error("forwarding events failed", error);
      }
      this.#quiet.ring();
      await this.#sleep(REST_MS);
    }
  }

  async #findMail(): Promise<Mail | undefined> {
    for (let failures = 1; !this.#over; failures++) {
      try {
        return await this.#mail();
      } catch (error) {
        this.#log.info(`events wait in the outbox: ${error instanceof TielineError ? said(error) : error}`);
        await this.#sleep(pauseAfter(failures));
      }
    }
    return undefined;
  }

  async #forwardSome(mail: Mail): Promise<void> {
    this.#news.mute();
    const page = await this.#file.page(this.#seen);
    const last = page.at(-1);
    if (last === undefined) {
      if (!this.#news.sounds) this.#quiet.ring();
      return this.#pauseIsOver();
    }
    const topics = new Map<string, Waiting[]>();
    for (const waiting of page) {
      const others = topics.get(waiting.topic);
      if (others === undefined) topics.set(waiting.topic, [waiting]);
      else others.push(waiting);
    }
    await Promise.all([...topics].map(([topic, waiting]) => this.#storeTopic(mail, topic, waiting)));
    this.#seen = last.number;
  }

  /** Waits until something comes, or may be tried again; then all that waits is looked at from the beginning. */
  async #pauseIsOver(): Promise<void> {
    let next = Infinity;
    for (const until of this.#held.values()) next = Math.min(next, until);
    const timer = next === Infinity ? undefined : this.#clock.callAt(next, () => this.#news.ring());
    timer?.unref(); // what is in the file need not keep the process alive
    await this.#news.heard();
    timer?.cancel();
    const now = this.#clock.monotonic();
    const due = [...this.#held].filter(([, until]) => until <= now);
    for (const [lane] of due) this.#held.delete(lane);
    if (due.length > 0) this.#seen = 0;
  }

  /** Stores events of a topic, in their order, except for what is held. */
  async #storeTopic(mail: Mail, topic: string, waiting: readonly Waiting[]): Promise<void> {
    for (const run of runsOf(waiting)) {
      const events = this.#notHeld(run);
      if (events.length > 0) await this.#store(mail, topic, events);
    }
  }

  #notHeld(run: readonly Waiting[]): readonly Waiting[] {
    const { topic = "", together = 0 } = run[0] ?? {};
    if (this.#held.has(laneOf(topic, WHOLE_TOPIC))) return [];
    const held = run.map((waiting) => this.#held.get(lane(waiting))).filter((until) => until !== undefined);
    if (together === 0 || held.length === 0) return run.filter((waiting) => !this.#held.has(lane(waiting)));
    const until = held.reduce((latest, each) => Math.max(latest, each));
    for (const waiting of run) this.#held.set(lane(waiting), until);
    return [];
  }

  async #store(mail: Mail, topic: string, events: readonly Waiting[]): Promise<void> {
    const { together = 0, most = 0 } = events[0] ?? {};
    let places: Appended[];
    try {
      places = await mail.append(topic, events.map(draftOf), { together: together > 0, most });
    } catch (error) {
      if (this.#over) return;
      const pause = this.#hold(laneOf(topic, WHOLE_TOPIC));
      const why = error instanceof TielineError ? said(error) : String(error);
      this.#log.warn(`${events.length} events of "${topic}" wait another ${pause}: ${why}`);
      return;
    }
    if (this.#over) return; // the next process with this file is told by the broker
    this.#failures.delete(laneOf(topic, WHOLE_TOPIC));
    const stored = events.filter((_, at) => whyNot(places[at]) === undefined);
    for (const waiting of stored) this.#failures.delete(lane(waiting));
    const left = new Map<string, string>();
    for (const [at, waiting] of events.entries()) {
      const why = whyNot(places[at]);
      if (why !== undefined) left.set(lane(waiting), why); // also where a later one of it was known already
    }
    for (const [held, why] of left) this.#log.warn(`events of "${topic}" wait another ${this.#hold(held)}: ${why}`);
    if (stored.length > 0) this.#file.remove(stored);
  }

  /** It is not tried again for a while; returns how long, in words. */
  #hold(lane: string): string {
    const failures = (this.#failures.get(lane) ?? 0) + 1;
    const pause = pauseAfter(failures);
    this.#failures.set(lane, failures);
    this.#held.set(lane, this.#clock.monotonic() + pause);
    return `${(pause / 1000).toFixed(1)} s`;
  }

  /** Sleeps for so long, or until it is closed. */
  async #sleep(ms: number): Promise<void> {
    const rest = new Bell();
    this.#rest = rest;
    const timer = this.#clock.callLater(ms, () => rest.ring());
    timer.unref();
    await rest.heard();
    timer.cancel();
  }
}

/** Why an event was not stored; nothing if it was. */
function whyNot(place: Appended): string | undefined {
  if (place === undefined) return "their key or lane is full";
  return "noStream" in place ? said(noStream(place.noStream)) : undefined;
}

/** The path of an outbox, if it can be one. Throws InvalidArgumentError. */
function checkPath(path: string): string {
  if (isText(path) && path !== "" && !path.includes("\0")) return path;
  throw new InvalidArgumentError(`outbox is the path of a file, as in outbox: "outbox.log", not ${shown(path)}`);
}

/** What goes to the broker in one piece: what is stored together, or what has no such bond. */
function runsOf(waiting: readonly Waiting[]): Waiting[][] {
  const runs: Waiting[][] = [];
  for (const each of waiting) {
    const last = runs.at(-1)?.[0];
    if (last?.together === each.together && last.most === each.most) runs.at(-1)?.push(each);
    else runs.push([each]);
  }
  return runs;
}

function draftOf({ key, priority, knownAs, envelope }: Waiting): Draft {
  return { key, priority, knownAs, window: DEFAULT_DEDUPE_MS, envelope };
}

/** What must be stored in its order; no key begins with a control character. */
function lane({ topic, key, priority }: Waiting): string {
  return laneOf(topic, key || `\0${priority}`);
}

function laneOf(topic: string, rest: string): string {
  return `${topic} ${rest}`;
}

/** Full jitter: somewhere between nothing and twice as much each time, up to a bound. */
function pauseAfter(failures: number): number {
  const longest = DEFAULT_OUTBOX_BACKOFF_MS * 2 ** Math.min(failures - 1, 32);
  return Math.random() * Math.min(DEFAULT_OUTBOX_BACKOFF_CAP_MS, longest);
}
