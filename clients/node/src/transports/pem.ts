import { readFileSync } from "node:fs";
import { InvalidArgumentError } from "../errors.js";

/** What is in a PEM file that a broker's URL names. Throws InvalidArgumentError if it cannot be read. */
export function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new InvalidArgumentError(`cannot read ${file}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Does something with PEM files. Throws InvalidArgumentError if they do not hold what they should. */
export function usePem<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw error;
    const why = error instanceof Error ? error.message : error;
    throw new InvalidArgumentError(`the certificates or keys that the broker's URL names cannot be used: ${why}`);
  }
}
