import { InvalidArgumentError, InvalidPayloadError } from "./errors.js";
import { pathOf } from "./packer.js";
import type { SchemaIssue, StandardSchema } from "./standardSchema.js";

/** What a caller whose payload does not fit is told. */
export const MISFIT = "the payload does not fit the handler";
/** What is said of a reply that does not fit. */
export const MISFIT_REPLY = "it does not fit the output schema";

const MOST_ISSUES = 16;
const MOST_LETTERS = 200;
const LONE_SURROGATES = /\p{Surrogate}/gu;

/** What is wrong with a value at one place (`$.items[3].when`). */
export interface Misfit {
  readonly path: string;
  readonly message: string;
}

/** The schema, if it is one. Throws InvalidArgumentError. */
export function checkSchema(schema: StandardSchema | undefined, name: string): StandardSchema | undefined {
  if (schema === undefined) return undefined;
  const standard = (schema as Partial<StandardSchema> | null)?.["~standard"];
  if (standard?.version === 1 && typeof standard.validate === "function") return schema;
  throw new InvalidArgumentError(`${name} is no Standard Schema of version 1: give one of Zod, Valibot or ArkType`);
}

/** What the schema makes of a value. Rejects with InvalidPayloadError, naming each place, or with what the schema threw. */
export async function fitted(schema: StandardSchema, value: unknown, what: string): Promise<unknown> {
  const result = await schema["~standard"].validate(value);
  if (result.issues === undefined) return result.value;
  throw misfitError(result.issues, what);
}

function misfitError(issues: readonly SchemaIssue[], what: string): InvalidPayloadError {
  const told = issues.slice(0, MOST_ISSUES).map(misfitOf);
  const more = issues.length > told.length ? `; and ${issues.length - told.length} more` : "";
  const text = told.map(({ path, message }) => `${path}: ${message}`).join("; ");
  return new InvalidPayloadError(`${what}: ${text || "it says no more"}${more}`, { details: { issues: told } });
}

function misfitOf({ path = [], message }: SchemaIssue): Misfit {
  const keys = path.map((step) => (typeof step === "object" ? step.key : step));
  const steps = keys.map((key) => (typeof key === "number" ? key : String(key)));
  return { path: cut(pathOf(steps)), message: cut(String(message)) };
}

function cut(text: string): string {
  return text.slice(0, MOST_LETTERS).replace(LONE_SURROGATES, "\ufffd");
}
