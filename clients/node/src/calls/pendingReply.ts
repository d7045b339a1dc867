import { decode } from "../codec.js";
import type { Envelope } from "../contract/envelope.js";
import { InvalidPayloadError, type TielineError } from "../errors.js";
import type { Waiter } from "./call.js";
import { type Scopes, whenOver } from "./scopes.js";

/** The promise of one call, and what may cancel it. */
export class PendingReply implements Waiter {
  /** The promise is settled. */
  done = false;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  readonly #ended: () => void;
  #release: (() => void) | undefined;

  constructor(resolve: (value: unknown) => void, reject: (error: unknown) => void, ended: () => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#ended = ended;
  }

  /** Calls `cancel` when one of the scopes ends; an earlier `cancel` is forgotten. */
  cancelWith(scopes: Scopes, cancel: (reason: unknown) => void): void {
    this.#release?.();
    this.#release = whenOver(scopes, cancel);
  }

  /** The reply came: its payload is the result. */
  resolve(reply: Envelope): void {
    let value: unknown;
    try {
      value = replyValue(reply);
    } catch (error) {
      return this.reject(error as TielineError);
    }
    this.settle(value);
  }

  /** This is the result. */
  settle(value: unknown): void {
    if (this.done) return;
    this.#end();
    this.#resolve(value);
  }

  /** The call failed. */
  reject(error: TielineError): void {
    if (this.done) return;
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.done = true;
    this.#release?.();
    this.#ended();
  }
}

/** The payload of a REPLY. Throws InvalidPayloadError if it cannot be read: the call ran. */
export function replyValue(reply: Envelope): unknown {
  try {
    return decode(reply.data, reply.contentType);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new InvalidPayloadError(`the reply cannot be read: ${message}`, { outcome: "RAN", cause: error });
  }
}
