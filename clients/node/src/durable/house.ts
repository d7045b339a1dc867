import type { Clock } from "../clock.js";
import type { Tally } from "../figures/tally.js";
import type { Log } from "../log.js";
import type { Mail } from "./mail.js";
import type { DurableSteps } from "./steps.js";

/** Where a consumer lives. */
export interface House {
  /** The broker's clock. */
  readonly clock: Clock;
  readonly log: Log;
  /** Name of the service. */
  readonly service: string;
  /** Where durable events are. Throws TielineError if there is no place for them any more. */
  readonly mail: Mail;
  /** How long a lease lasts without being extended, milliseconds. */
  readonly lease: number;
  /** Where each step of an event is noted. */
  readonly steps: DurableSteps;
  /** Where everything is counted. */
  readonly tally: Tally;
}
