import { InvalidArgumentError } from "../errors.js";
import { shown } from "../options.js";
import { unescaped } from "./unescaped.js";

const DEFAULT_PORT = 6379;
const PARAMETERS = ["db", "username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"];
/** Those of redis-py that mean nothing here: REDIS_URL may be shared with it. */
const LET_PASS: ReadonlySet<string> = new Set([
  "client_name",
  "decode_responses",
  "encoding",
  "health_check_interval",
  "max_connections",
  "protocol",
  "retry_on_error",
  "retry_on_timeout",
  "socket_connect_timeout",
  "socket_keepalive",
  "socket_read_size",
  "socket_timeout",
  "ssl_check_hostname",
  "timeout",
]);
const NAMESPACE = /^[A-Za-z0-9_.-]{0,64}$/;

/** Where a Redis is and how to get in. */
export interface RedisTarget {
  /** Host and port, or path, as a person would write it; never the password. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Path of a unix socket; empty for none. */
  readonly path: string;
  readonly tls: boolean;
  readonly username: string;
  readonly password: string;
  readonly database: number;
  /** Files in PEM from `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`; `ssl_cert_reqs=none` trusts any certificate. */
  readonly tlsFiles: TlsFiles;
}

/** What a `rediss://` URL says of certificates. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly insecure: boolean;
}

/** Reads `redis://`, `rediss://` (TLS) or `unix://` with user, password and database. Throws InvalidArgumentError. */
export function parseRedisUrl(url: string): RedisTarget {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new InvalidArgumentError("the Redis URL cannot be read; it looks like redis://user:password@host:6379/0");
  }
  const given = parsed.searchParams;
  checkParameters(given);
  const path = parsed.protocol === "unix:" ? unescaped(parsed.pathname, "path") : "";
  const host = parsed.hostname.replace(/^\[|\]$/g, "") || "127.0.0.1";
  const port = parsed.port === "" ? DEFAULT_PORT : Number(parsed.port);
  return {
    name: path || `${host}:${port}`,
    host,
    port,
    path,
    tls: parsed.protocol === "rediss:",
    username: unescaped(parsed.username, "user") || (given.get("username") ?? ""),
    password: unescaped(parsed.password, "password") || (given.get("password") ?? ""),
    database: databaseOf(parsed, path !== ""),
    tlsFiles: tlsFilesOf(given),
  };
}

/** What all names in Redis begin with: pub/sub ignores databases, so the database is part of it. */
export function prefixOf(namespace: string, database: number): string {
  if (!NAMESPACE.test(namespace)) {
    throw new InvalidArgumentError(`namespace ${JSON.stringify(namespace)}: up to 64 of A-Z a-z 0-9 _ . -`);
  }
  return namespace === "" && database === 0 ? "tl:" : `tl:${namespace}@${database}:`;
}

function checkParameters(given: URLSearchParams): void {
  const strange = [...given.keys()].find((name) => !PARAMETERS.includes(name) && !LET_PASS.has(name));
  if (strange === undefined) return;
  throw new InvalidArgumentError(
    `the Redis URL has an unknown parameter ${shown(strange)}; known are ${PARAMETERS.join(", ")}`,
  );
}

function tlsFilesOf(options: URLSearchParams): TlsFiles {
  const option = (name: string) => options.get(name) ?? "";
  return {
    ca: option("ssl_ca_certs"),
    cert: option("ssl_certfile"),
    key: option("ssl_keyfile"),
    insecure: /^(cert_)?none$/i.test(option("ssl_cert_reqs")),
  };
}

function databaseOf(url: URL, isUnix: boolean): number {
  const text = url.searchParams.get("db") ?? (isUnix ? "" : url.pathname.slice(1));
  if (text === "") return 0;
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError(`the database in the Redis URL is a number, not ${JSON.stringify(text)}`);
}
