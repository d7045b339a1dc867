import { InvalidArgumentError } from "./errors.js";
import type { Logger } from "./log.js";
import type { Middleware } from "./middleware.js";
import type { Observer } from "./observe.js";
import { ANY, checkOptions, FUNCTION, type Kinds, LIST, OBJECT, TEXT } from "./options.js";
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
  /**
   * Path of a file of this process's own: what is published with `key` or `durable` is written to it, and then stored at the
   * broker, for as long as that may take, also by the next process with this file. The receipt says `queued`, and the broker
   * need not be there.
   */
  outbox?: string;
  /** Gets failures that nobody awaits, before they are logged. */
  onError?: (error: unknown) => void;
  /** Where logs go; the console unless given. */
  logger?: Logger;
}

const KINDS: Kinds<EventSystemOptions> = {
  url: TEXT,
  service: TEXT,
  namespace: TEXT,
  settings: OBJECT,
  middleware: LIST,
  observe: FUNCTION,
  transport: OBJECT,
  outbox: ANY,
  onError: FUNCTION,
  logger: OBJECT,
};

/**
 * The options of a constructor's arguments: a URL and options, or options alone.
 * Throws InvalidArgumentError for names that are not known, and for what makes no sense.
 */
export function readOptions(
  urlOrOptions: string | EventSystemOptions | undefined,
  more: EventSystemOptions | undefined,
): EventSystemOptions {
  if (urlOrOptions === undefined || typeof urlOrOptions === "string") {
    const options: EventSystemOptions = more === undefined ? {} : more;
    checkOptions(options, KINDS, "an event system");
    if (urlOrOptions === undefined) return options;
    if (options.url === undefined) return { ...options, url: urlOrOptions };
    throw new InvalidArgumentError("an event system takes one URL: give it first, or among the options");
  }
  checkOptions(urlOrOptions, KINDS, "an event system");
  if (more === undefined) return urlOrOptions;
  throw new InvalidArgumentError("an event system takes a URL and options, or options alone");
}
