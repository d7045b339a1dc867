import type { Reply } from "./resp.js";

/** Who waits for the reply to a command. Neither method may throw. */
export interface Expecting {
  /** The reply; a RespError if the command was refused. */
  replied(reply: Reply): void;
  /** The connection broke before the reply came. */
  lost(why: string): void;
  /** It is to be sent again, so it hears of the loss before anything that was made later. */
  readonly kept?: boolean;
}

/** A subscribe or unsubscribe command on its way. */
export class Subscribing implements Expecting {
  #left: number;
  readonly #expecting: Expecting;

  constructor(left: number, expecting: Expecting) {
    this.#left = left;
    this.#expecting = expecting;
  }

  /** One channel is confirmed; true when all are. */
  confirmed(): boolean {
    this.#left -= 1;
    if (this.#left === 0) this.#expecting.replied(null);
    return this.#left === 0;
  }

  replied(refusal: Reply): void {
    this.#expecting.replied(refusal);
  }

  lost(why: string): void {
    this.#expecting.lost(why);
  }
}

/** A command that was told not to be replied to: a later reply says that it is done, too. */
export class Unreplied implements Expecting {
  readonly kept = true;

  constructor(
    readonly size: number,
    readonly expecting: Expecting,
  ) {}

  replied(): void {
    this.expecting.replied(null);
  }

  lost(why: string): void {
    this.expecting.lost(why);
  }
}
