import { InvalidArgumentError } from "./errors.js";

/** Refuses options of names that are not known, which would be ignored otherwise. Throws InvalidArgumentError. */
export function checkNames(given: object, known: object, where: string): void {
  const strange = Object.keys(given).filter((name) => !Object.hasOwn(known, name));
  if (strange.length > 0) throw new InvalidArgumentError(`${where} does not know ${strange.sort().join(", ")}`);
}
