import { said, TielineError } from "./errors.js";
import { harmless } from "./harmless.js";

/** Where an event system says what nobody waits to hear. */
export interface Logger {
  /** Something was ignored, as it should be. */
  debug(message: string): void;
  /** Something is as it should be again, or is about to end as it should; said nowhere if there is no such method. */
  info?(message: string): void;
  /** Something may be lost or slow. */
  warn(message: string): void;
  /** Something failed. */
  error(message: string, cause?: unknown): void;
}

/** A logger with all that a logger can have. */
export type Log = Required<Logger>;

/** Writes to the console, all but debug lines to standard error: what a program prints is its own; debug lines only where `TIELINE_DEBUG` is set. */
export const consoleLogger: Logger = {
  debug(message) {
    // biome-ignore lint/suspicious/noConsole: this is where logs go unless a logger is given
    if (process.env.TIELINE_DEBUG) console.debug(`tieline: ${message}`);
  },
  info(message) {
    // biome-ignore lint/suspicious/noConsole: this is where logs go unless a logger is given
    console.error(`tieline: ${message}`);
  },
  warn(message) {
    // biome-ignore lint/suspicious/noConsole: this is where logs go unless a logger is given
    console.warn(`tieline: ${message}`);
  },
  error(message, cause) {
    // biome-ignore lint/suspicious/noConsole: this is where logs go unless a logger is given
    console.error(`tieline: ${message}`, ...(cause === undefined ? [] : [cause]));
  },
};

/** A logger that disturbs nobody when it throws. */
export function guardedLogger(logger: Logger): Log {
  const ignore = () => undefined;
  return {
    debug: (message) => harmless(() => logger.debug(message), ignore),
    info: (message) => harmless(() => logger.info?.(message), ignore),
    warn: (message) => harmless(() => logger.warn(message), ignore),
    error: (message, cause) => harmless(() => logger.error(message, cause), ignore),
  };
}

/** An error as a log has it when nobody needs to know where it was thrown. */
export function inOneLine(error: unknown): string {
  return error instanceof TielineError ? said(error) : String(error);
}
