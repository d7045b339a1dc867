import { type ErrorOptions, InvalidArgumentError } from "./errors.js";

/** Whether a value can be awaited. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** What is said of a function that returned a promise where the answer is needed now; how that ends interests nobody. */
export function notAtOnce(promise: PromiseLike<unknown>, what: string, options?: ErrorOptions): InvalidArgumentError {
  Promise.resolve(promise).catch(() => undefined);
  return new InvalidArgumentError(`${what} returned a promise; it must answer at once`, options);
}
