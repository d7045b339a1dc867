import { NoRoster, type Roster } from "../cron/roster.js";
import { UnsupportedError } from "../errors.js";

/**
 * The seam for what is planned: events that a broker publishes or stores at a time. Rules: SPEC.md, section 15.
 *
 * An event's id is that of its schedule. What is due is published once, however many schedulers ask for it.
 */

/** What became of a planned event. */
export type ScheduleStatus = "pending" | "delivered" | "failed" | "expired" | "cancelled";

/** All of them. */
export const SCHEDULE_STATUSES: readonly ScheduleStatus[] = ["pending", "delivered", "failed", "expired", "cancelled"];

/**
 * How a planned event goes out: to who listens, or into the stream of its key, or into the lane of its priority. A call,
 * which a cron task makes, is handed to the scheduler.
 */
export type Way = "live" | "key" | "lane" | "call";

/** An event that is to be published at a time. Moments are ms since 1970, broker clock. */
export interface Plan {
  /** Of the event, and of the schedule. */
  readonly id: string;
  /** Concrete topic. */
  readonly topic: string;
  /** How it goes out. */
  readonly way: Way;
  /** Its ordering key; empty for none. */
  readonly key: string;
  /** When. */
  readonly due: number;
  /** Of those due in the same millisecond the highest goes first; also its lane. */
  readonly priority: number;
  /** When it is too late for it; 0: never. */
  readonly expires: number;
  /** How often to try to store it, if it finds no room … */
  readonly attempts: number;
  /** … with this pause before the second one (ms), then twice as long each time … */
  readonly backoff: number;
  /** … up to this (ms). */
  readonly cap: number;
  /** What it is recognised by when it is stored; empty for nothing … */
  readonly knownAs: string;
  /** … and for how long (ms). */
  readonly window: number;
  /** Bound of its stream; 0 for none. */
  readonly most: number;
  /** A serialized Envelope. */
  readonly envelope: Buffer;
}

/** A planned event as the broker tells of it; moments are ms since 1970, broker clock, and 0 for none. */
export interface Planned {
  /** Of the event, and of the schedule. */
  readonly id: string;
  /** What became of it. */
  readonly status: ScheduleStatus;
  /** When it is, or was, to be published. */
  readonly due: number;
  /** 1 to 10. */
  readonly priority: number;
  /** How often storing it failed. */
  readonly tries: number;
  /** When it was planned. */
  readonly created: number;
  /** When it was published, or given up. */
  readonly ended: number;
  /** Why it was not stored: "no room" or "no stream"; empty if it was, or was not tried. */
  readonly why: string;
  /** How it goes out. */
  readonly way: Way;
  /** A serialized Envelope. */
  readonly envelope: Buffer;
}

/** One that left the agenda: its id, what became of it, and when it was due (ms since 1970). */
export interface Firing {
  readonly id: string;
  readonly status: ScheduleStatus;
  readonly due: number;
}

/** What a look at the agenda brought. */
export interface Fired {
  /** When to look again, milliseconds from now; undefined: when told so. */
  readonly again: number | undefined;
  /** What left the agenda. */
  readonly events: readonly Firing[];
  /** Cron tasks, and when they were to be looked at (ms since 1970), of which ticks are to be fired … */
  readonly ticks?: readonly { readonly name: string; readonly at: number }[];
  /** … and ids of calls that are to be made, by whoever is told; if nobody does in time they are told again. */
  readonly calls?: readonly string[];
}

/** Told of what is due earlier than all else: when (ms since 1970), and who fires it (empty: nobody yet). */
export type Told = (due: number, holder: string) => void;

/** Some planned events with one status, and how many have it in all. */
export interface PlannedPage {
  readonly total: number;
  readonly found: readonly Planned[];
}

/**
 * What a port offers for planned events. All methods reject with UnavailableError while the broker is away, and with
 * UnsupportedError where nothing can be planned.
 */
export interface Agenda {
  /** Cron tasks. */
  readonly roster: Roster;

  /** Whether this process is to look for what is due; otherwise the broker does. */
  readonly fires: boolean;

  /** Whether what is planned ends with this process, which stays for it. */
  readonly inProcess?: boolean;

  /** Has somebody told when something is due earlier than all else, until the function that it returns is called. */
  listen(told: Told): () => void;

  /** Has an event published at a time; it is planned once, also if a broken link left that in doubt. */
  plan(plan: Plan): Promise<void>;

  /** Publishes what is due, if it falls to this instance. Each event goes out once. */
  fire(instance: string): Promise<Fired>;

  /** Leaves it to others at once. */
  stepDown(instance: string): Promise<void>;

  /** The planned event with this id. */
  find(id: string): Promise<Planned | undefined>;

  /** How many have a status, and some of them: pending ones by when they are due, others the last first. */
  page(status: ScheduleStatus, offset: number, limit: number): Promise<PlannedPage>;

  /** How many were planned ("planned"), ended with each status, and wait ("pending"). */
  sums(): Promise<Record<string, number>>;

  /** Has an event not published; resolves to what it was before: only a pending one is cancelled. */
  cancel(id: string): Promise<Planned | undefined>;

  /** Has a pending event, or one that failed, published at another time; resolves to whether it was one. */
  move(id: string, due: number, expires: number, envelope: Buffer, was: ScheduleStatus): Promise<boolean>;
}

/** `Agenda` where nothing can be planned: everything is an UnsupportedError. */
export class NoAgenda implements Agenda {
  readonly fires = false;
  readonly roster: Roster;
  readonly #hint: string;

  /** The hint says what to use instead. */
  constructor(hint: string) {
    this.#hint = hint;
    this.roster = new NoRoster(hint);
  }

  /** See `Agenda.listen`. */
  listen(): () => void {
    return () => {};
  }

  /** See `Agenda.stepDown`. */
  async stepDown(): Promise<void> {}

  /** See `Agenda.plan`. */
  plan = this.#refuse;
  /** See `Agenda.fire`. */
  fire = this.#refuse;
  /** See `Agenda.find`. */
  find = this.#refuse;
  /** See `Agenda.page`. */
  page = this.#refuse;
  /** See `Agenda.sums`. */
  sums = this.#refuse;
  /** See `Agenda.cancel`. */
  cancel = this.#refuse;
  /** See `Agenda.move`. */
  move = this.#refuse;

  async #refuse(): Promise<never> {
    throw new UnsupportedError(`nothing can be planned here; ${this.#hint}`);
  }
}
