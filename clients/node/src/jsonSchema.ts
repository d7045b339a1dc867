import { encode } from "./codec.js";
import { InvalidArgumentError } from "./errors.js";
import type { StandardSchema } from "./standardSchema.js";

/** A JSON Schema: an object of what JSON can say. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A copy of a JSON Schema that somebody gave. Throws InvalidArgumentError if it is none. */
export function checkJsonSchema(schema: object | undefined, name: string): JsonSchema | undefined {
  if (schema === undefined) return undefined;
  const copy = copyOf(schema);
  if (copy !== undefined) return copy;
  throw new InvalidArgumentError(`${name} is no JSON Schema: give an object of what JSON can say`);
}

/**
 * What a schema takes ("input") or gives ("output") as JSON Schema; undefined if its library cannot say that, or not of
 * this schema.
 */
export function jsonSchemaOf(schema: StandardSchema | undefined, side: "input" | "output"): JsonSchema | undefined {
  try {
    return copyOf(schema?.["~standard"].jsonSchema?.[side]({ target: "draft-2020-12" }));
  } catch {
    return undefined;
  }
}

/** Undefined for what is no object or cannot travel in an answer. */
function copyOf(schema: unknown): JsonSchema | undefined {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return undefined;
  try {
    const copy: JsonSchema = JSON.parse(JSON.stringify(schema));
    encode({ subscriptions: [{ input: copy }] });
    return copy;
  } catch {
    return undefined;
  }
}
