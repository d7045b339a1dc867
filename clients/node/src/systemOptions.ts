import type { Logger } from "./log.js";
import type { Middleware } from "./middleware.js";
import type { Observer } from "./observe.js";
import { checkNames } from "./optionNames.js";
import type { Settings } from "./settings.js";
import type { Transport } from "./transport.js";

/** What can be said of an event system when it is made. */
export interface EventSystemOptions {
  /** `memory://`, `redis://`, `rediss://`, `unix://`, `grpc://` or `grpcs://`; else TIELINE_URL, REDIS_URL, `memory://`. */
  url?: string;
  /** Name of the service; else `TIELINE_SERVICE`, else the program's name. */
  service?: string;
  /** Separates installations that share one Redis. */
  namespace?: string;
  /** Bounds and times. */
  settings?: Partial<Settings>;
  /** Code around every publish and handling, the first one outermost. */
  middleware?: readonly Middleware[];
  /** Told each step of an envelope's life. */
  observe?: Observer;
  /** A ready transport instead of a URL. */
  transport?: Transport;
  /** Gets failures that nobody awaits, before they are logged. */
  onError?: (error: unknown) => void;
  /** Where logs go; the console unless given. */
  logger?: Logger;
}

const NAMES: Record<keyof EventSystemOptions, true> = {
  url: true,
  service: true,
  namespace: true,
  settings: true,
  middleware: true,
  observe: true,
  transport: true,
  onError: true,
  logger: true,
};

/** The options of a constructor's arguments. Throws InvalidArgumentError for names that are not known. */
export function readOptions(urlOrOptions: string | EventSystemOptions, more: EventSystemOptions): EventSystemOptions {
  const options = typeof urlOrOptions === "string" ? { ...more, url: urlOrOptions } : urlOrOptions;
  checkNames(options, NAMES, "an event system");
  return options;
}
