import { InvalidArgumentError } from "../errors.js";

/** A part of a URL without its percent signs; the error names the part, never what is in it. */
export function unescaped(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new InvalidArgumentError(`the ${what} in the broker's URL has a "%" that begins no escape; write "%25"`);
  }
}
