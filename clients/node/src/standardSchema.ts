/**
 * What Zod, Valibot, ArkType and others have in common: https://standardschema.dev, version 1, as far as it is used here.
 * Written out, as its authors ask for, so that our types need no other package. `Input` is what is given to a schema,
 * `Output` what it makes of that.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    /** Which library made it. */
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** The extension "Standard JSON Schema", where the library has it. May throw: not everything can be said so. */
    readonly jsonSchema?: SchemaConverter | undefined;
    /** Exists for the compiler only. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** Says in JSON Schema what a schema takes and what it gives. */
export interface SchemaConverter {
  readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
  readonly output: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
}

/** A value that fits, or what is wrong with it. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong, and where. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
