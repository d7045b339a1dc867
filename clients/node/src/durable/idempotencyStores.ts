import { InvalidArgumentError } from "../errors.js";
import { ANY, checkOptions, type Kinds, shown, TEXT } from "../options.js";
import { SqliteClient } from "../sqliteClient.js";
import { RedisIdempotencyStore } from "../transports/redisIdempotency.js";
import { unescaped } from "../transports/unescaped.js";
import { checkWindow, DEFAULT_WINDOW, MemoryIdempotencyStore } from "./idempotency.js";
import { POSTGRES, SQLITE, type SqlClient, SqlIdempotencyStore } from "./sqlIdempotency.js";

const ADDRESSES = "memory://, sqlite:///path/of/file.db, redis://, rediss:// or unix://";

/** How a store remembers. */
export interface IdempotencyStoreOptions {
  /** Milliseconds for which an event that was handled is remembered; a day unless given. */
  window?: number;
  /** Separates installations that share one Redis. */
  namespace?: string;
}

const KINDS: Kinds<IdempotencyStoreOptions> = { window: ANY, namespace: TEXT };

/**
 * A store that remembers which durable events were handled: `subscribe(…, { durable: true, idempotency: store })`.
 *
 * It is at `memory://` (this process), `sqlite:///path/of/file.db` (this machine; needs Node 22.13), `redis://`, `rediss://`
 * or `unix://` (everybody); or in PostgreSQL, by a client that has `query(text, values)`, such as a pool of `pg`.
 * Throws InvalidArgumentError: the address cannot be read, or the options make no sense; UnsupportedError: this Node has no
 * SQLite.
 */
export function idempotencyStore(
  place: string | SqlClient,
  options: IdempotencyStoreOptions = {},
): MemoryIdempotencyStore | RedisIdempotencyStore | SqlIdempotencyStore {
  checkOptions(options, KINDS, "an idempotency store");
  const { namespace = "" } = options;
  const window = checkWindow(options.window ?? DEFAULT_WINDOW);
  if (isClient(place)) return new SqlIdempotencyStore(place, window, POSTGRES);
  switch (schemeOf(place)) {
    case "memory":
      return new MemoryIdempotencyStore(window);
    case "sqlite": {
      const file = new SqliteClient(pathOf(place));
      return new SqlIdempotencyStore(file, window, SQLITE, () => file.close());
    }
    case "redis":
    case "rediss":
    case "unix":
      return new RedisIdempotencyStore(place, window, namespace);
    default:
      throw none(place);
  }
}

function isClient(place: unknown): place is SqlClient {
  return typeof place === "object" && place !== null && "query" in place && typeof place.query === "function";
}

function schemeOf(url: unknown): string {
  return typeof url === "string" && url.includes("://") ? url.slice(0, url.indexOf(":")) : "";
}

function pathOf(url: string): string {
  const path = url.startsWith("sqlite:///") ? unescaped(url.slice("sqlite://".length), "path") : "";
  if (path.replaceAll("/", "") === "") throw none(url);
  return path;
}

function none(place: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `${shown(place)} is no idempotency store; use ${ADDRESSES}, or a client of PostgreSQL that has query(text, values)`,
  );
}
