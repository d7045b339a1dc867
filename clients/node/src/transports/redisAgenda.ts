import {
  agendaKey,
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
import type {
  Agenda,
  Fired,
  Firing,
  Plan,
  Planned,
  PlannedPage,
  ScheduleStatus,
  Told,
  Way,
} from "../schedules/agenda.js";
import type { RedisTransport } from "./redis.js";
import type { Run } from "./redisGathering.js";
import { listOf, pairsOf } from "./redisMailDesk.js";
import { RedisRoster } from "./redisRoster.js";
import { runScript } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import type { Reply } from "./resp.js";
import { Together } from "./together.js";

const ANY_TOPIC = "\0";
const NOTICE = "s\0";
/** Milliseconds since 1970. */
const IS_MOMENT = /^[0-9]{1,15}$/;
const FIELDS = 10;
const KEEP = [String(DEFAULT_ENDED_PLAN_MS), String(LIMIT_ENDED_PLANS)];

/** Events that are planned by one run of `plan`. */
class PlanRun extends Together<Reply> implements Run {
  readonly script = PLAN;
  readonly #rest: (string | Buffer)[];

  constructor(
    readonly names: readonly string[],
    head: readonly string[],
  ) {
    super();
    this.#rest = [...head];
  }

  /** One more; resolves when it is planned. */
  add({ id, key, due, priority, expires, knownAs, envelope }: Plan): Promise<Reply[]> {
    this.#rest.push(id, key, String(due), String(priority), String(expires), knownAs, envelope);
    return this.wait(1);
  }

  rest(): (string | Buffer)[] {
    return this.#rest;
  }

  answered(reply: Reply): void {
    this.done(listOf(reply));
  }
}

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

  /** See `Agenda.plan`. What is planned on a topic in one turn of the loop goes to the server in one command. */
  async plan(plan: Plan): Promise<void> {
    const { gathering, prefix } = this.#transport;
    const link = this.#transport.require();
    const { topic, way, attempts, backoff, cap, window, most } = plan;
    const head = [topic, way, ...[attempts, backoff, cap, window, most].map(String)];
    const run = gathering.run(`plan ${head.join(" ")}`, () => new PlanRun(planNames(prefix), head));
    const planned = run.add(plan);
    gathering.added(link, 1, plan.envelope.length);
    await planned;
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
