import { readFileSync } from "node:fs";
import { InvalidArgumentError } from "../errors.js";
import { unescaped } from "./unescaped.js";

const DEFAULT_PORT = 50051;
const LAST_PORT = 65_535;
const TOKEN_FILE = "token_file";
const PEM: ReadonlySet<string> = new Set(["ca", "cert", "key"]);
const PARTS = /^\s*([a-z]+):\/\/([^/?#]*)[^?#]*(\?[^#]*)?/i;
const HOST = /^([\p{L}\p{N}_.-]+|\[[0-9a-f:.%]+\])(?::([0-9]*))?$/iu;

/** Where gateways are that stand in front of one Redis, or the one there is, and how to be let in. */
export interface GatewayTargets {
  /** host:port of each. */
  readonly addresses: readonly string[];
  readonly token: string;
  /** A file with a token instead, which is read for each Link anew; empty if there is none. */
  readonly tokenFile: string;
  readonly tls: boolean;
  /** Names of PEM files by `ca`, `cert` and `key`. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * Reads `grpc://host:port`, `grpc://host:port,host:port`, or `grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE`,
 * with `token_file=FILE` instead of a token. Throws InvalidArgumentError.
 */
export function parseTargets(url: string): GatewayTargets {
  const [, scheme = "", place = "", query = ""] = PARTS.exec(url) ?? [];
  const { [TOKEN_FILE]: tokenFile = "", ...files } = Object.fromEntries(new URLSearchParams(query));
  const names = Object.keys(files);
  const tls = scheme.toLowerCase() === "grpcs";
  const [user, hosts] = divided(place);
  const addresses = hosts.split(",").map(addressOf);
  if (addresses.includes("") || (!tls && names.some((name) => PEM.has(name)))) throw noAddress(scheme, hosts);
  const strange = names.find((name) => !PEM.has(name));
  if (strange !== undefined) {
    throw new InvalidArgumentError(
      `"${strange}" is no option of a gateway's address; ca, cert, key and token_file are, each with a file`,
    );
  }
  const token = unescaped(passwordOf(user), "token");
  if (token !== "" && tokenFile !== "") {
    throw new InvalidArgumentError("there is a token in the gateway's address, and a token_file: give one of them");
  }
  if (tokenFile !== "") readToken(tokenFile);
  return { addresses, token, tokenFile, tls, files };
}

/** The first line of a file. Throws InvalidArgumentError. */
export function readToken(file: string): string {
  try {
    return (readFileSync(file, "utf8").split("\n")[0] ?? "").trim();
  } catch (error) {
    throw new InvalidArgumentError(
      `cannot read the token in ${file}: ${error instanceof Error ? error.message : error}`,
    );
  }
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
      "grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE, with token_file=FILE instead of a token",
  );
}
