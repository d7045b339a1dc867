import {
  agendaKey,
  DEFAULT_APPEND_RESEND_MS,
  DEFAULT_ENDED_PLAN_MS,
  DEFAULT_ROLE_MS,
  LIMIT_ENDED_PLANS,
  LIMIT_FIRE_EVENTS,
  LIMIT_STREAM_ALONE,
  sumsKey,
} from "../contract/contract.js";
import {
  CANCEL,
  cancelNames,
  FIRE,
  fireNames,
  PLAN,
  PLANNED,
  planNames,
  plannedNames,
  RESCHEDULE,
  rescheduleNames,
  type Script,
  STEP_DOWN,
  stepDownNames,
} from "../contract/scripts.js";
import { shown } from "../options.js";
import type { Agenda, Fired, Firing, Plan, Planned, PlannedPage, ScheduleStatus, Told, Way } from "../schedule.js";
import { within } from "../within.js";
import type { RedisTransport } from "./redis.js";
import { LinkDownError } from "./redisLink.js";
import { listOf, pairsOf } from "./redisMailDesk.js";
import { RedisRoster } from "./redisRoster.js";
import { runScript } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import type { Reply } from "./resp.js";

const ANY_TOPIC = "\0";
const NOTICE = "s\0";
/** Milliseconds since 1970. */
const IS_MOMENT = /^[0-9]{1,15}$/;
const FIELDS = 10;
const KEEP = [String(DEFAULT_ENDED_PLAN_MS), String(LIMIT_ENDED_PLANS)];

/** Planned events on Redis: scripts plan and fire them (SPEC.md, section 15). */
export class RedisAgenda implements Agenda {
  readonly fires = true;
  readonly roster: RedisRoster;
  readonly #transport: RedisTransport;
  readonly #listeners = new Set<Told>();

  constructor(transport: RedisTransport) {
    this.#transport = transport;
    this.roster = new RedisRoster(transport);
  }

  /** See `Agenda.listen`. */
  listen(told: Told): () => void {
    this.#listeners.add(told);
    return () => this.#listeners.delete(told);
  }

  /** Takes a notice; returns whether it is one of ours. */
  noticed(notice: string): boolean {
    if (!notice.startsWith(NOTICE)) return false;
    const [due = "", holder = ""] = notice.slice(NOTICE.length).split("\0");
    if (!IS_MOMENT.test(due)) {
      this.#transport.warn(`somebody tells that something is due at ${shown(due)}, which is no moment; it is ignored`);
      return true;
    }
    for (const told of this.#listeners) told(Number(due), holder);
    return true;
  }

  /** See `Agenda.plan`. */
  async plan(plan: Plan): Promise<void> {
    const { id, topic, way, key, due, priority, expires, attempts, backoff, cap, knownAs, window, most } = plan;
    const numbers = [due, priority, expires, attempts, backoff, cap].map(String);
    const rest = [id, topic, way, key, ...numbers, knownAs, String(window), String(most), plan.envelope];
    const { clock, prefix } = this.#transport;
    const until = clock.monotonic() + DEFAULT_APPEND_RESEND_MS;
    for (;;) {
      const link = this.#transport.require();
      try {
        await runScript(link, PLAN, planNames(prefix), rest);
        return;
      } catch (error) {
        const isBack = error instanceof LinkDownError && (await this.#back(until));
        if (!isBack) throw commandError(error);
      }
    }
  }

  /** Waits for the link; false if it takes too long. */
  async #back(until: number): Promise<boolean> {
    const { clock } = this.#transport;
    const left = Math.max(0, until - clock.monotonic());
    return within(left, this.#transport.up(), clock).catch(() => false);
  }

  /** See `Agenda.fire`. */
  async fire(instance: string): Promise<Fired> {
    const numbers = [DEFAULT_ROLE_MS, LIMIT_FIRE_EVENTS, LIMIT_STREAM_ALONE].map(String);
    const names = fireNames(this.#transport.prefix, ANY_TOPIC);
    const [again = "", ...told] = listOf(await this.#run(FIRE, names, [instance, ...numbers, ...KEEP])).map(String);
    const events: Firing[] = [];
    const ticks: { name: string; at: number }[] = [];
    const calls: string[] = [];
    for (let at = 0; at + 2 < told.length; at += 3) {
      const [id = "", what = "", due] = told.slice(at, at + 3);
      if (what === "tick") ticks.push({ name: id, at: Number(due) });
      else if (what === "call") calls.push(id);
      else events.push({ id, status: what as ScheduleStatus, due: Number(due) });
    }
    return { again: again === "" ? undefined : Number(again), events, ticks, calls };
  }

  /** See `Agenda.stepDown`. */
  async stepDown(instance: string): Promise<void> {
    await this.#run(STEP_DOWN, stepDownNames(this.#transport.prefix), [instance]);
  }

  /** See `Agenda.find`. */
  async find(id: string): Promise<Planned | undefined> {
    const [, ...found] = await this.#planned([id, "", "0", "0"]);
    return found.length === 0 ? undefined : plannedOf(found);
  }

  /** See `Agenda.page`. */
  async page(status: ScheduleStatus, offset: number, limit: number): Promise<PlannedPage> {
    const [total, ...told] = await this.#planned(["", status, String(offset), String(limit)]);
    const found: Planned[] = [];
    for (let at = 0; at < told.length; at += FIELDS) found.push(plannedOf(told.slice(at, at + FIELDS)));
    return { total: Number(String(total)), found };
  }

  async #planned(rest: readonly string[]): Promise<Reply[]> {
    return listOf(await this.#run(PLANNED, plannedNames(this.#transport.prefix), rest));
  }

  /** See `Agenda.sums`. */
  async sums(): Promise<Record<string, number>> {
    const { prefix } = this.#transport;
    const link = this.#transport.require();
    try {
      const [told, pending] = await Promise.all([
        link.call("HGETALL", sumsKey(prefix)),
        link.call("ZCARD", agendaKey(prefix)),
      ]);
      const sums = pairsOf(told).map(([name, count]): [string, number] => [name, Number(String(count))]);
      return { ...Object.fromEntries(sums), pending: Number(pending) };
    } catch (error) {
      throw commandError(error);
    }
  }

  /** See `Agenda.cancel`. */
  async cancel(id: string): Promise<Planned | undefined> {
    const found = listOf(await this.#run(CANCEL, cancelNames(this.#transport.prefix), [id, ...KEEP]));
    return found.length === 0 ? undefined : plannedOf(found);
  }

  /** See `Agenda.move`. */
  async move(id: string, due: number, expires: number, envelope: Buffer, was: ScheduleStatus): Promise<boolean> {
    const rest = [id, String(due), String(expires), envelope, was];
    return (await this.#run(RESCHEDULE, rescheduleNames(this.#transport.prefix), rest)) === 1;
  }

  async #run(script: Script, names: readonly string[], rest: readonly (string | Buffer)[]): Promise<Reply> {
    const link = this.#transport.require();
    try {
      return await runScript(link, script, names, rest);
    } catch (error) {
      throw commandError(error);
    }
  }
}

function plannedOf(fields: readonly Reply[]): Planned {
  const [id = "", status, ...rest] = fields.slice(0, FIELDS - 1).map(String);
  const [due = 0, priority = 0, tries = 0, created = 0, ended = 0] = rest.slice(0, 5).map(Number);
  const [why = "", way] = rest.slice(5);
  const moments = { due, priority, tries, created, ended };
  return {
    id,
    status: status as ScheduleStatus,
    ...moments,
    why,
    way: way as Way,
    envelope: fields[FIELDS - 1] as Buffer,
  };
}
