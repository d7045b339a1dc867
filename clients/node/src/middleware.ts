import type { Event } from "./context.js";
import { InvalidArgumentError } from "./errors.js";
import { checkHeaders } from "./outgoing.js";

const METHODS = ["publish", "handle", "handleBatch"] as const;

/** What is about to be published; middleware may change `data` and `headers`, or hand on another message. */
export interface Message {
  readonly topic: string;
  data: unknown;
  headers: Record<string, string>;
  /** Whether the publisher waits for a reply. */
  readonly isRequest: boolean;
}

/** The rest of a publish; resolves to its receipt, or to the reply of a call. */
export type PublishNext = (message: Message) => Promise<unknown>;

/** The rest of a handling; resolves to the reply. */
export type HandleNext = () => Promise<unknown>;

/**
 * Code around every publish and every handling: logging, metrics, authentication. Each has some of the methods. What is
 * thrown reaches the publisher as it is, or is the handler's failure.
 */
export interface Middleware {
  /** Around a publish, whose receipt it returns, or a call, whose reply it returns. */
  publish?(message: Message, next: PublishNext): unknown;
  /** Around a handler, whose reply it returns. `event.data` is the payload, `event.setData` replaces it. */
  handle?(event: Event, next: HandleNext): unknown;
  /** Around a handler that takes lists, with all events that are in its list; it passes no `handle`. */
  handleBatch?(events: readonly Event[], next: HandleNext): unknown;
}

/** All `publish` methods around a publish. */
export type AroundPublish = (
  topic: string,
  data: unknown,
  headers: Readonly<Record<string, string>> | undefined,
  isRequest: boolean,
  last: PublishNext,
) => Promise<unknown>;

/** All `handle` methods around a handler. */
export type AroundHandler = (event: Event, last: HandleNext) => Promise<unknown>;

/** All `handleBatch` methods around a handler that takes lists. */
export type AroundBatch = (events: readonly Event[], last: HandleNext) => Promise<unknown>;

/** The chain, if each of it can be passed. Throws InvalidArgumentError. */
export function checkMiddleware(chain: readonly Middleware[]): readonly Middleware[] {
  for (const one of chain) {
    const methods = METHODS.map((name) => Object(one)[name]).filter((method) => method !== undefined);
    if (methods.length > 0 && methods.every((method) => typeof method === "function")) continue;
    throw new InvalidArgumentError(
      "middleware is a list of objects that have a method publish, or handle, or both, or handleBatch",
    );
  }
  return chain;
}

/** The chain around a publish, the first one outermost; undefined if there is nothing to pass. */
export function aroundPublish(chain: readonly Middleware[]): AroundPublish | undefined {
  const steps = chain.filter((one) => one.publish !== undefined).reverse();
  if (steps.length === 0) return undefined;
  return async (topic, data, headers = {}, isRequest, last) => {
    let next = last;
    for (const step of steps) {
      const inner = next;
      next = async (passed) => step.publish?.(passed, inner);
    }
    return next({ topic, data, headers: checkHeaders(headers), isRequest });
  };
}

/** The chain around a handler, the first one outermost; undefined if there is nothing to pass. */
export function aroundHandler(chain: readonly Middleware[]): AroundHandler | undefined {
  const steps = chain.filter((one) => one.handle !== undefined).reverse();
  if (steps.length === 0) return undefined;
  return (event, last) => {
    let next = last;
    for (const step of steps) {
      const inner = next;
      next = async () => step.handle?.(event, inner);
    }
    return next();
  };
}

/** The chain around a handler that takes lists, the first one outermost; undefined if there is nothing to pass. */
export function aroundBatch(chain: readonly Middleware[]): AroundBatch | undefined {
  const steps = chain.filter((one) => one.handleBatch !== undefined).reverse();
  if (steps.length === 0) return undefined;
  return (events, last) => {
    let next = last;
    for (const step of steps) {
      const inner = next;
      next = async () => step.handleBatch?.(events, inner);
    }
    return next();
  };
}
