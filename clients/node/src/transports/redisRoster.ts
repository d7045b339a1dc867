import { DEFAULT_ENDED_PLAN_MS, LIMIT_CRON_TASKS, LIMIT_ENDED_PLANS } from "../contract/contract.js";
import {
  DROP_TASK,
  dropTaskNames,
  END_CALL,
  endCallNames,
  PUT_TASK,
  putTaskNames,
  type Script,
  TASKS,
  TICK,
  tasksNames,
  tickNames,
} from "../contract/scripts.js";
import type { Kept, KeptPage, Roster, Tick, Turn } from "../cron/roster.js";
import type { ScheduleStatus } from "../schedules/agenda.js";
import type { RedisTransport } from "./redis.js";
import { listOf } from "./redisMailDesk.js";
import { runScript } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import type { Reply } from "./resp.js";

const FIELDS = 6;
const KEEP = [String(DEFAULT_ENDED_PLAN_MS), String(LIMIT_ENDED_PLANS)];

type Arguments = readonly (string | Buffer)[];

/** Cron tasks on Redis: scripts keep them and turn their ticks into planned events (SPEC.md, section 16). */
export class RedisRoster implements Roster {
  readonly #transport: RedisTransport;

  constructor(transport: RedisTransport) {
    this.#transport = transport;
  }

  /** See `Roster.put`. */
  async put(name: string, version: number, task: Buffer, expected: number | undefined, fireAt: number) {
    const rest = [name, String(version), task, text(expected), String(fireAt), String(LIMIT_CRON_TASKS)];
    return Number(await this.#run(PUT_TASK, putTaskNames, rest));
  }

  /** See `Roster.drop`. */
  async drop(name: string): Promise<Kept | undefined> {
    const found = listOf(await this.#run(DROP_TASK, dropTaskNames, [name]));
    return found.length === 0 ? undefined : keptOf(found);
  }

  /** See `Roster.find`. */
  async find(name: string): Promise<Kept | undefined> {
    const [, ...found] = listOf(await this.#run(TASKS, tasksNames, [name, "0", "0"]));
    return found.length === 0 ? undefined : keptOf(found);
  }

  /** See `Roster.page`. */
  async page(offset: number, limit: number): Promise<KeptPage> {
    const [total, ...told] = listOf(await this.#run(TASKS, tasksNames, ["", String(offset), String(limit)]));
    const found: Kept[] = [];
    for (let at = 0; at < told.length; at += FIELDS) found.push(keptOf(told.slice(at, at + FIELDS)));
    return { total: Number(String(total)), found };
  }

  /** See `Roster.turn`. */
  async turn(name: string, turn: Turn): Promise<boolean> {
    const { version, expected, following, fireAt, ran, run, ticks } = turn;
    const times = [String(version), text(expected), text(following), String(fireAt), text(ran)];
    return (await this.#run(TICK, tickNames, [name, ...times, run, ...ticks.flatMap(partsOf)])) === 1;
  }

  /** See `Roster.endCall`. */
  async endCall(id: string, name: string, tries: number, why: string, tick: number, run: Buffer) {
    const rest = [id, name, String(tries), why, String(tick), run, ...KEEP];
    const status = String((await this.#run(END_CALL, endCallNames, rest)) ?? "");
    return status === "" ? undefined : (status as ScheduleStatus);
  }

  async #run(script: Script, names: (prefix: string) => string[], rest: Arguments): Promise<Reply> {
    const link = this.#transport.require();
    try {
      return await runScript(link, script, names(this.#transport.prefix), rest);
    } catch (error) {
      throw commandError(error);
    }
  }
}

function text(moment: number | undefined): string {
  return moment === undefined ? "" : String(moment);
}

function partsOf({ id, topic, way, key, due, priority, expires, attempts, backoff, lease, envelope }: Tick): Arguments {
  return [id, topic, way, key, ...[due, priority, expires, attempts, backoff, lease].map(String), envelope];
}

function keptOf(fields: readonly Reply[]): Kept {
  const [name, version, task, expected, runs, run] = fields;
  return {
    name: String(name),
    version: Number(String(version)),
    task: task as Buffer,
    expected: String(expected) === "" ? undefined : Number(String(expected)),
    runs: Number(String(runs)),
    run: run as Buffer,
  };
}
