import type { Clock } from "../clock.js";
import type { AgendaRequest, AgendaResponse, Planned as WirePlanned } from "../contract/agenda.js";
import { DEFAULT_APPEND_RESEND_MS } from "../contract/contract.js";
import { errorFromWire, parse } from "../envelope.js";
import { UnavailableError, UnsupportedError } from "../errors.js";
import {
  type Agenda,
  type Plan,
  type Planned,
  type PlannedPage,
  SCHEDULE_STATUSES,
  type ScheduleStatus,
  type Way,
} from "../schedules/agenda.js";
import { within } from "../within.js";
import { LinkBrokenError } from "./grpcLink.js";
import type { Links } from "./grpcLinks.js";
import { GrpcRoster } from "./grpcRoster.js";

type Ask = NonNullable<AgendaRequest["ask"]>;

/** Planned events through a gateway, asked for over the Link; the gateway fires (SPEC.md, sections 8 and 15). */
export class GrpcAgenda implements Agenda {
  readonly fires = false;
  readonly roster = new GrpcRoster((ask) => this.#ask(ask));
  readonly #clock: Clock;
  readonly #links: Links;

  constructor(clock: Clock, links: Links) {
    this.#clock = clock;
    this.#links = links;
  }

  /** See `Agenda.listen`; the gateway is told. */
  listen(): () => void {
    return () => {};
  }

  /** See `Agenda.fire`; the gateway does it. */
  async fire(): Promise<never> {
    throw new UnsupportedError("the gateway publishes what is due");
  }

  /** See `Agenda.stepDown`; nothing falls to an instance here. */
  async stepDown(): Promise<void> {}

  /** See `Agenda.plan`. */
  async plan(plan: Plan): Promise<void> {
    const { envelope, knownAs, window: windowMs, most, attempts, backoff: backoffMs, cap: capMs } = plan;
    const retry = { attempts, backoffMs, capMs };
    const value = { envelope, durable: plan.way !== "live", knownAs, windowMs, most, retry };
    const until = this.#clock.monotonic() + DEFAULT_APPEND_RESEND_MS;
    for (;;) {
      try {
        await this.#asked({ $case: "plan", value });
        return;
      } catch (error) {
        const isBack = error instanceof LinkBrokenError && (await this.#back(until));
        if (!isBack) broken(error);
      }
    }
  }

  /** Waits for a Link; false if it takes too long, or there will be none. */
  async #back(until: number): Promise<boolean> {
    const clock = this.#clock;
    return within(Math.max(0, until - clock.monotonic()), this.#links.untilUp(), clock).catch(() => false);
  }

  /** See `Agenda.find`. */
  async find(id: string): Promise<Planned | undefined> {
    return onlyOne(await this.#ask({ $case: "find", value: { id } }));
  }

  /** See `Agenda.page`. */
  async page(status: ScheduleStatus, offset: number, limit: number): Promise<PlannedPage> {
    const value = { status: numberOf(status), offset, limit };
    const { total, planned } = await this.#ask({ $case: "list", value });
    return { total, found: planned.map(plannedFrom) };
  }

  /** See `Agenda.sums`. */
  async sums(): Promise<Record<string, number>> {
    return (await this.#ask({ $case: "sums", value: {} })).sums;
  }

  /** See `Agenda.cancel`. */
  async cancel(id: string): Promise<Planned | undefined> {
    return onlyOne(await this.#ask({ $case: "cancel", value: { id } }));
  }

  /** See `Agenda.move`; the gateway puts the event off. */
  async move(id: string, due: number, _expires: number, _envelope: Buffer, was: ScheduleStatus): Promise<boolean> {
    return (await this.#ask({ $case: "move", value: { id, due, was: numberOf(was) } })).yes;
  }

  #ask(ask: Ask): Promise<AgendaResponse> {
    return this.#asked(ask).catch(broken);
  }

  /** Asks the gateway; rejects with the error it said, or with LinkBrokenError. */
  async #asked(ask: Ask): Promise<AgendaResponse> {
    const answer = await this.#links.require().agenda({ ask });
    if (answer.error !== undefined) throw errorFromWire(answer.error);
    return answer;
  }
}

function broken(error: unknown): never {
  if (!(error instanceof LinkBrokenError)) throw error;
  throw new UnavailableError("the link to the gateway broke before it answered; whether it was done is unknown");
}

function numberOf(status: ScheduleStatus): number {
  return SCHEDULE_STATUSES.indexOf(status) + 1;
}

function onlyOne({ planned }: AgendaResponse): Planned | undefined {
  const [one] = planned;
  return one && plannedFrom(one);
}

function plannedFrom({ durable, ...one }: WirePlanned): Planned {
  const status = SCHEDULE_STATUSES[one.status - 1] ?? "pending";
  const stored: Way = parse(one.envelope)?.key ? "key" : "lane";
  return { ...one, status, way: durable ? stored : "live" };
}
