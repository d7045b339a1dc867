import { UnsupportedError } from "../errors.js";
import type { ScheduleStatus, Way } from "../schedules/agenda.js";

/** A cron task as the broker keeps it (SPEC.md, section 16). */
export interface Kept {
  readonly name: string;
  /** Changes with each change of the task. */
  readonly version: number;
  /** A serialized CronTask. */
  readonly task: Buffer;
  /** Its next tick, ms since 1970; undefined: there is none. */
  readonly expected: number | undefined;
  /** How many runs there were. */
  readonly runs: number;
  /** A serialized CronRun, the last one; empty if there was none. */
  readonly run: Buffer;
}

/** What a tick does: an event that is due, or a call that is to be made. */
export interface Tick {
  /** Of the event. */
  readonly id: string;
  /** Concrete topic. */
  readonly topic: string;
  /** How the event goes out, or "call". */
  readonly way: Way;
  /** Its ordering key; empty for none. */
  readonly key: string;
  /** The moment it stands for, ms since 1970. */
  readonly due: number;
  /** As of a planned event. */
  readonly priority: number;
  /** When it is too late for it, ms since 1970; 0: never. */
  readonly expires: number;
  /** How often to store it, or to make the call … */
  readonly attempts: number;
  /** … with this pause between (ms). */
  readonly backoff: number;
  /** How long a call may take (ms); 0 for an event. */
  readonly lease: number;
  /** A serialized Envelope. */
  readonly envelope: Buffer;
}

/** A step from one tick of a task to another. */
export interface Turn {
  /** Of the task. */
  readonly version: number;
  /** The tick that must be next; undefined: a run besides the ticks, and what is next stays. */
  readonly expected: number | undefined;
  /** The tick that is next then; undefined: there is none. */
  readonly following: number | undefined;
  /** When that is fired. */
  readonly fireAt: number;
  /** The last of the ticks that run now; undefined: none does. */
  readonly ran: number | undefined;
  /** A serialized CronRun of it. */
  readonly run: Buffer;
  /** What they do. */
  readonly ticks: readonly Tick[];
}

/** Some tasks, and how many there are in all. */
export interface KeptPage {
  readonly total: number;
  readonly found: readonly Kept[];
}

/**
 * What a broker keeps of cron tasks. All methods reject with UnavailableError while the broker is away, and with
 * UnsupportedError where there are none.
 */
export interface Roster {
  /**
   * Keeps a task: a new one (version 0), or one of which the version is known. Resolves to its version now; 0 if it has
   * another one, or is there, or is not; -1 if there are too many.
   */
  put(name: string, version: number, task: Buffer, expected: number | undefined, fireAt: number): Promise<number>;

  /** Forgets a task; resolves to what there was. */
  drop(name: string): Promise<Kept | undefined>;

  /** The task of that name. */
  find(name: string): Promise<Kept | undefined>;

  /** How many there are, and some of them in the order of their names. */
  page(offset: number, limit: number): Promise<KeptPage>;

  /** Goes on to the next tick, once whoever asks; false: somebody else did, or the task was changed. */
  turn(name: string, turn: Turn): Promise<boolean>;

  /**
   * Says what became of a call that had been tried so often before; `why` it failed is empty if it did not. Resolves to
   * delivered, failed, or pending if it is to be tried again; undefined: somebody else said so before.
   */
  endCall(
    id: string,
    name: string,
    tries: number,
    why: string,
    tick: number,
    run: Buffer,
  ): Promise<ScheduleStatus | undefined>;
}

/** `Roster` where there are no cron tasks: everything is an UnsupportedError. */
export class NoRoster implements Roster {
  readonly #hint: string;

  /** The hint says what to use instead. */
  constructor(hint: string) {
    this.#hint = hint;
  }

  /** See `Roster.put`. */
  put = this.#refuse;
  /** See `Roster.drop`. */
  drop = this.#refuse;
  /** See `Roster.find`. */
  find = this.#refuse;
  /** See `Roster.page`. */
  page = this.#refuse;
  /** See `Roster.turn`. */
  turn = this.#refuse;
  /** See `Roster.endCall`. */
  endCall = this.#refuse;

  async #refuse(): Promise<never> {
    throw new UnsupportedError(`there are no cron tasks here; ${this.#hint}`);
  }
}
