import { LIMIT_CLAIM_SLOTS } from "../contract/contract.js";
import { inOneLine } from "../log.js";
import { Trouble } from "../trouble.js";
import type { Consumer } from "./consumer.js";
import type { House } from "./house.js";
import type { Lease } from "./lease.js";
import type { Settlement, Verdict } from "./mail.js";

const REST_MS = 500;
const PARTS: ReadonlySet<Verdict> = new Set(["keep", "dead"]);
const NOTHING = Buffer.alloc(0);

/** What a consumer tells the broker of its leases, in its order; what the broker did not hear is told again. */
export class Settling {
  readonly #consumer: Consumer;
  readonly #house: House;
  /** Something was answered; true: what waited because it could not be settled is settled now. */
  readonly #progressed: (again: boolean) => void;
  readonly #trouble: Trouble;
  #outgoing: Settlement[] = [];
  /** What could not be settled, in its order; while there is any, all others queue behind it. */
  #unsettled: Settlement[] = [];
  #sent = 0;
  #isOver = false;

  constructor(consumer: Consumer, house: House, progressed: (again: boolean) => void) {
    this.#consumer = consumer;
    this.#house = house;
    this.#progressed = progressed;
    this.#trouble = new Trouble(`settling events of "${consumer.topic}" failed, and is tried again`, house.log);
  }

  /** What was sent and is not answered, and what waits to be sent again. */
  get underWay(): number {
    return this.#sent + this.#unsettled.length;
  }

  /** Whether the broker has heard of everything. */
  get isDone(): boolean {
    return this.underWay + this.#outgoing.length === 0;
  }

  /** Whether a lease ends by what is to be sent. */
  get endsLeases(): boolean {
    return this.#outgoing.some(({ verdict }) => !PARTS.has(verdict));
  }

  /** To be sent with the others of this turn. */
  add(settlement: Settlement): void {
    this.#outgoing.push(settlement);
  }

  /** Sends what was added. */
  send(): void {
    const settlements = this.#outgoing;
    this.#outgoing = [];
    if (settlements.length > 0) void this.#settle(settlements);
  }

  /** See `Consumer.begins`. */
  async begins(lease: Lease): Promise<boolean> {
    const { member, token } = lease;
    try {
      const [ours = false] = await this.#ask([{ member, token, verdict: "begin", argument: NOTHING, entries: [] }]);
      lease.lost ||= !ours;
      return ours;
    } catch (error) {
      const { log, topic } = this.#consumer;
      log.info(`beginning with an event of "${topic}" failed: ${inOneLine(error)}`);
      return false;
    }
  }

  /** Nothing is tried again any more. */
  close(): void {
    this.#isOver = true;
  }

  async #settle(settlements: readonly Settlement[]): Promise<void> {
    if (this.#unsettled.length > 0) return void this.#unsettled.push(...settlements);
    this.#sent += settlements.length;
    const { log, topic } = this.#consumer;
    try {
      const kept = await this.#ask(settlements);
      const lost = kept.filter((ours) => !ours).length;
      const whose = "others have them, or their group was removed";
      if (lost > 0) log.warn(`leases of "${topic}" were lost before they were settled (${lost}): ${whose}`);
    } catch (error) {
      this.#keep(settlements, error);
    }
    this.#sent -= settlements.length;
    this.#progressed(false);
  }

  #ask(settlements: readonly Settlement[]): Promise<boolean[]> {
    const { topic, policy, stopped } = this.#consumer;
    const { mail, lease } = this.#house;
    return mail.settle(topic, policy.group, settlements, lease, !stopped);
  }

  /** It could not be settled, or whether it was is unknown: once more, soon. */
  #keep(settlements: readonly Settlement[], error: unknown): void {
    this.#trouble.told(inOneLine(error));
    const first = this.#unsettled.length === 0;
    this.#unsettled.push(...settlements);
    if (first) this.#consumer.clock.callLater(REST_MS, () => void this.#settleAgain());
  }

  async #settleAgain(): Promise<void> {
    while (this.#unsettled.length > 0 && !this.#isOver) {
      const settlements = this.#unsettled.slice(0, LIMIT_CLAIM_SLOTS);
      try {
        await this.#ask(settlements);
        this.#unsettled = this.#unsettled.slice(settlements.length);
        this.#trouble.over();
      } catch (error) {
        this.#trouble.told(inOneLine(error));
        await this.#consumer.clock.sleep(REST_MS);
      }
    }
    this.#progressed(true);
  }
}
