import { InvalidArgumentError } from "../errors.js";
import { unescaped } from "./unescaped.js";

const DEFAULT_PORT = 50051;
const FILES: ReadonlySet<string> = new Set(["ca", "cert", "key"]);

/** Where a gateway is, and how to be let in. */
export interface GatewayTarget {
  readonly address: string;
  readonly token: string;
  readonly tls: boolean;
  /** Names of PEM files by `ca`, `cert` and `key`. */
  readonly files: Readonly<Record<string, string>>;
}

/** Reads `grpc://host:port`, or `grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE`. Throws InvalidArgumentError. */
export function parseGatewayUrl(url: string): GatewayTarget {
  const { protocol, hostname, port, password, searchParams } = readUrl(url);
  const files = Object.fromEntries(searchParams);
  const strange = Object.keys(files).some((name) => !FILES.has(name));
  const tls = protocol === "grpcs:";
  if (hostname === "" || strange || (!tls && searchParams.size > 0)) throw noAddress();
  const address = `${hostname}:${port === "" ? DEFAULT_PORT : port}`;
  return { address, token: unescaped(password, "token"), tls, files };
}

function readUrl(url: string): URL {
  try {
    return new URL(url);
  } catch {
    throw noAddress();
  }
}

function noAddress(): InvalidArgumentError {
  return new InvalidArgumentError(
    "that is no gateway's address: grpc://host:port, or grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE",
  );
}
