import { TielineError } from "./errors.js";

/** What can be said of something that was thrown. */
export interface Thrown {
  readonly message: string;
  readonly type: string;
  readonly details: Record<string, unknown>;
  /** The error itself if it is one of ours. */
  readonly ours: TielineError | undefined;
}

/** Describes whatever was thrown. Never throws itself: what cannot be read is left out. */
export function describe(error: unknown): Thrown {
  const isError = attempt(() => error instanceof Error, false);
  if (!isError) return { message: textOf(error), type: typeof error, details: {}, ours: undefined };
  const thrown = error as Error & { details?: unknown };
  return {
    message: attempt(() => String(thrown.message), "its message cannot be read"),
    type: attempt(() => String(thrown.name), "") || "Error",
    details: attempt(() => copyOf(thrown.details), {}),
    ours: thrown instanceof TielineError ? thrown : undefined,
  };
}

function textOf(value: unknown): string {
  return attempt(
    () => String(value),
    attempt(() => Object.prototype.toString.call(value), "it has no text"),
  );
}

/** A copy of details that are a plain object; nothing of any others. */
function copyOf(details: unknown): Record<string, unknown> {
  if (typeof details !== "object" || details === null) return {};
  const prototype = Object.getPrototypeOf(details);
  return prototype === Object.prototype || prototype === null ? { ...details } : {};
}

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
