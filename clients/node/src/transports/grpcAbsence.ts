import type { Clock } from "../clock.js";
import type { Gap, Receiver } from "../transport.js";

/**
 * The broker went and comes back, behind one gateway or another; the receiver is told each once, with the gap.
 *
 * A gap the gateway tells of before the broker is back belongs to its return.
 */
export class Absence {
  readonly #clock: Clock;
  readonly #receiver: Receiver;
  /** Since when (ms, broker clock), and why. */
  #away: Omit<Gap, "until"> | undefined;
  #gap: Gap | undefined;

  constructor(clock: Clock, receiver: Receiver) {
    this.#clock = clock;
    this.#receiver = receiver;
  }

  /** It is away, since now or since that moment (ms, broker clock); told once, however much is lost by and by. */
  begin(reason: string, since = this.#clock.now(), told = reason): void {
    if (this.#away !== undefined) return;
    this.#away = { since, reason };
    this.#receiver.onDisconnected(told);
  }

  /** If it is away, that is why. */
  explain(reason: string): void {
    if (this.#away !== undefined) this.#away = { ...this.#away, reason };
  }

  /** The gateway says what it lost; the receiver learns it at the next `end`. */
  note(gap: Gap): void {
    this.#gap = gap;
  }

  /** There is a broker; live events since it was lost, or since the gateway had to drop some, are lost. */
  end(): void {
    const [gap, away] = [this.#gap, this.#away];
    this.#gap = undefined;
    this.#away = undefined;
    if (away === undefined) return this.#receiver.onConnected(gap);
    const since = Math.min(away.since, gap?.since ?? away.since);
    this.#receiver.onConnected({ since, until: this.#clock.now(), reason: gap?.reason ?? away.reason });
  }
}
