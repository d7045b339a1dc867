import { InvalidArgumentError } from "../errors.js";
import { unescaped } from "./unescaped.js";

const DEFAULT_PORT = 50051;
const LAST_PORT = 65_535;
const FILES: ReadonlySet<string> = new Set(["ca", "cert", "key"]);
const PARTS = /^\s*([a-z]+):\/\/([^/?#]*)[^?#]*(\?[^#]*)?/i;
const HOST = /^([\p{L}\p{N}_.-]+|\[[0-9a-f:.%]+\])(?::([0-9]*))?$/iu;

/** Where gateways are that stand in front of one Redis, or the one there is, and how to be let in. */
export interface GatewayTargets {
  /** host:port of each. */
  readonly addresses: readonly string[];
  readonly token: string;
  readonly tls: boolean;
  /** Names of PEM files by `ca`, `cert` and `key`. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * Reads `grpc://host:port`, `grpc://host:port,host:port`, or `grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE`.
 * Throws InvalidArgumentError.
 */
export function parseTargets(url: string): GatewayTargets {
  const [, scheme = "", place = "", query = ""] = PARTS.exec(url) ?? [];
  const files = Object.fromEntries(new URLSearchParams(query));
  const names = Object.keys(files);
  const tls = scheme.toLowerCase() === "grpcs";
  const [user, hosts] = divided(place);
  const addresses = hosts.split(",").map(addressOf);
  const strange = names.some((name) => !FILES.has(name));
  if (addresses.includes("") || strange || (names.length > 0 && !tls)) throw noAddress(scheme, hosts);
  return { addresses, token: unescaped(passwordOf(user), "token"), tls, files };
}

/** What is before the last "@", and what is after it. */
function divided(place: string): [user: string, hosts: string] {
  const at = place.lastIndexOf("@");
  return [place.slice(0, Math.max(0, at)), place.slice(at + 1)];
}

function passwordOf(user: string): string {
  const colon = user.indexOf(":");
  return colon < 0 ? "" : user.slice(colon + 1);
}

/** host:port; empty if it is none. */
function addressOf(host: string): string {
  const [, name = "", port = ""] = HOST.exec(host) ?? [];
  if (name === "" || Number(port) > LAST_PORT) return "";
  return `${name.toLowerCase()}:${port === "" ? DEFAULT_PORT : Number(port)}`;
}

function noAddress(scheme: string, hosts: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `${scheme}://${hosts} is no gateway's address: grpc://host:port, grpc://host:port,host:port, or ` +
      "grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE",
  );
}
