import type { Logger } from "../../src/index.js";

/** A logger, and what it was told. */
export function logging(): { told: [level: string, message: string, cause: unknown][]; logger: Logger } {
  const told: [string, string, unknown][] = [];
  const at = (level: string) => (message: string, cause?: unknown) => void told.push([level, message, cause]);
  return { told, logger: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") } };
}
