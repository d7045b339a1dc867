import type { AgendaRequest, AgendaResponse, KeptTask } from "../contract/agenda.js";
import type { Kept, KeptPage, Roster, Turn } from "../cron/roster.js";
import { UnsupportedError } from "../errors.js";

/** Asks the gateway; rejects with the error it said, or with UnavailableError. */
type Ask = (ask: NonNullable<AgendaRequest["ask"]>) => Promise<AgendaResponse>;

/** Cron tasks through a gateway, asked for over the Link; the gateway fires (SPEC.md, sections 8 and 16). */
export class GrpcRoster implements Roster {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** See `Roster.put`; the gateway knows when the tick is fired. */
  async put(_name: string, version: number, task: Buffer, expected: number | undefined): Promise<number> {
    return (await this.#ask({ $case: "putTask", value: { version, task, expected: expected ?? 0 } })).version;
  }

  /** See `Roster.drop`. */
  async drop(name: string): Promise<Kept | undefined> {
    return onlyOne(await this.#ask({ $case: "dropTask", value: { name } }));
  }

  /** See `Roster.find`. */
  async find(name: string): Promise<Kept | undefined> {
    return onlyOne(await this.#ask({ $case: "findTask", value: { name } }));
  }

  /** See `Roster.page`. */
  async page(offset: number, limit: number): Promise<KeptPage> {
    const { total, tasks } = await this.#ask({ $case: "listTasks", value: { offset, limit } });
    return { total, found: tasks.map(keptFrom) };
  }

  /** See `Roster.turn`; a run besides the ticks is made by the gateway, as all ticks are. */
  async turn(name: string, { version, expected, ran }: Turn): Promise<boolean> {
    if (expected !== undefined || ran === undefined) throw notHere();
    return (await this.#ask({ $case: "runTask", value: { name, version, tick: ran } })).yes;
  }

  /** See `Roster.endCall`; the gateway makes the calls. */
  async endCall(): Promise<never> {
    throw notHere();
  }
}

function notHere(): UnsupportedError {
  return new UnsupportedError("the gateway fires the ticks of cron tasks");
}

function onlyOne({ tasks }: AgendaResponse): Kept | undefined {
  const [one] = tasks;
  return one && keptFrom(one);
}

function keptFrom({ expected, ...kept }: KeptTask): Kept {
  return { ...kept, expected: expected === 0 ? undefined : expected };
}
