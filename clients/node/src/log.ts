import { harmless } from "./harmless.js";

/** Where an event system says what nobody waits to hear. */
export interface Logger {
  /** Something was ignored, as it should be. */
  debug(message: string): void;
  /** Something may be lost or slow. */
  warn(message: string): void;
  /** Something failed. */
  error(message: string, cause?: unknown): void;
}

/** Writes to the console; debug lines only where `TIELINE_DEBUG` is set. */
export const consoleLogger: Logger = {
  debug(message) {
    // biome-ignore lint/suspicious/noConsole: this is where logs go unless a logger is given
    if (process.env.TIELINE_DEBUG) console.debug(`tieline: ${message}`);
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
export function guardedLogger(logger: Logger): Logger {
  const ignore = () => undefined;
  return {
    debug: (message) => harmless(() => logger.debug(message), ignore),
    warn: (message) => harmless(() => logger.warn(message), ignore),
    error: (message, cause) => harmless(() => logger.error(message, cause), ignore),
  };
}
