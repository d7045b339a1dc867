import { connect, isIP, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import {
  OverloadedError,
  PermissionDeniedError,
  TielineError,
  UnauthenticatedError,
  UnavailableError,
  UnsupportedError,
} from "../errors.js";
import { readPem, usePem } from "./pem.js";
import { type Intake, type LinkOwner, RedisLink } from "./redisLink.js";
import type { RedisTarget } from "./redisUrl.js";
import { type Reply, RespError } from "./resp.js";

const OLDEST = 7;
const READ_BYTES = 65_536;
const CHECK = "is it running, and is TIELINE_URL or REDIS_URL right?";

/** A connection as the server sees it. Ids begin again with a server; with the address they do not lie. */
export interface ClientId {
  readonly id: string;
  readonly address: string;
}

/** A greeted link, and what the server calls it. */
export interface Greeted {
  readonly link: RedisLink;
  readonly clientId: ClientId | undefined;
}

/** Connects and greets. Rejects with UnavailableError, UnauthenticatedError, UnsupportedError or InvalidArgumentError: what, where. */
export async function connectRedis(target: RedisTarget, owner: LinkOwner, name: string, ms: number): Promise<Greeted> {
  const intake: Intake = { take: () => undefined };
  const socket = openSocket(target, intake);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unavailable(target, `no answer within ${ms} ms; ${CHECK}`)), ms);
  });
  try {
    return await Promise.race([greet(target, socket, intake, owner, name), late]);
  } catch (error) {
    socket.destroy();
    throw explain(target, error);
  } finally {
    clearTimeout(timer);
  }
}

async function greet(
  target: RedisTarget,
  socket: Socket,
  intake: Intake,
  owner: LinkOwner,
  name: string,
): Promise<Greeted> {
  await connected(socket, target.tls ? "secureConnect" : "connect");
  const link = new RedisLink(socket, intake, owner);
  const { username, password } = target;
  const login = password === "" ? [] : ["AUTH", username || "default", password];
  const hello = await link.call("HELLO", "3", ...login, "SETNAME", name);
  if (!(hello instanceof Map)) throw unavailable(target, `it does not answer HELLO as a Redis does; ${CHECK}`);
  check(target, hello);
  if (target.database !== 0) await link.call("SELECT", String(target.database));
  // A unix socket cannot be half open, and all of its clients share one address.
  if (target.path !== "") return { link, clientId: undefined };
  const told = String(await link.call("CLIENT", "INFO"));
  const [id, address] = [/\bid=(\S+)/.exec(told)?.[1], /\baddr=(\S+)/.exec(told)?.[1]];
  if (id === undefined || address === undefined) {
    throw unavailable(target, `it does not answer CLIENT INFO as a Redis does; ${CHECK}`);
  }
  return { link, clientId: { id, address } };
}

/** A plain socket reads into one buffer of its own: copying what came is cheaper than a new 64 KiB buffer each time. */
function openSocket(target: RedisTarget, intake: Intake): Socket {
  if (target.tls) {
    const socket = usePem(() => connectTls(tlsOptions(target)));
    socket.on("data", (piece: Buffer) => intake.take(piece));
    return socket.setNoDelay(true);
  }
  const callback = (size: number, bytes: Uint8Array) => {
    intake.take(Buffer.from(bytes.subarray(0, size)));
    return true;
  };
  return connect({ ...address(target), onread: { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback } }).setNoDelay(
    true,
  );
}

function connected(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once(event, () => {
      socket.off("error", reject);
      resolve();
    });
  });
}

function check(target: RedisTarget, hello: Map<string, Reply>): void {
  const text = (name: string) => String(hello.get(name) ?? "");
  const version = text("version");
  if (text("mode") === "cluster") {
    throw new UnsupportedError(`${target.name} is a Redis Cluster; use a single server or its primary for now`);
  }
  if (text("mode") === "sentinel") {
    throw new UnsupportedError(`${target.name} is a Sentinel; give the address of the primary it watches`);
  }
  if (Number.parseInt(version, 10) < OLDEST) {
    throw new UnsupportedError(
      `${target.name} is ${text("server")} ${version}; Redis 7.0 or Valkey 8 is the oldest we use`,
    );
  }
}

function address(target: RedisTarget): { path: string } | { host: string; port: number } {
  return target.path === "" ? { host: target.host, port: target.port } : { path: target.path };
}

function tlsOptions(target: RedisTarget): ConnectionOptions {
  const { ca, cert, key, insecure } = target.tlsFiles;
  return {
    ...address(target),
    ...(isIP(target.host) === 0 && { servername: target.host }),
    rejectUnauthorized: !insecure,
    ...(ca && { ca: readPem(ca) }),
    ...(cert && { cert: readPem(cert) }),
    ...(key && { key: readPem(key) }),
  };
}

function explain(target: RedisTarget, error: unknown): TielineError {
  if (error instanceof TielineError) return error;
  if (error instanceof RespError) return refused(target, error);
  return unavailable(target, `${error instanceof Error ? error.message : error}; ${CHECK}`);
}

function refused(target: RedisTarget, { kind, message }: RespError): TielineError {
  if (kind === "WRONGPASS" || kind === "NOAUTH" || message.includes("without any password")) {
    const hint = "check user and password in the URL";
    return new UnauthenticatedError(`Redis at ${target.name} refused the login: ${message}; ${hint}`);
  }
  if (kind === "NOPERM") return new PermissionDeniedError(`Redis at ${target.name}: ${message}`);
  if (kind === "NOPROTO" || (kind === "ERR" && message.toUpperCase().includes("HELLO"))) {
    return new UnsupportedError(`${target.name} does not know RESP3 (${message}); Redis 7.0 or Valkey 8 is needed`);
  }
  return unavailable(target, message);
}

function unavailable(target: RedisTarget, what: string): UnavailableError {
  return new UnavailableError(`cannot use Redis at ${target.name}: ${what}`, { outcome: "NOT_DELIVERED" });
}

/** How Redis says that a script did what its user may not. */
const FORBIDDEN_IN_SCRIPT = /^(The user executing the script can't|ACL failure in script)/;

/** What a failed command means to a caller; `at` is the server's address, for whoever is just connecting to it. */
export function commandError(failure: unknown, at = ""): TielineError {
  if (failure instanceof TielineError) return failure;
  const redis = at === "" ? "Redis" : `Redis at ${at}`;
  if (!(failure instanceof RespError)) {
    const why = failure instanceof Error ? failure.message : String(failure);
    return new UnavailableError(`the connection to ${redis} broke while a command was out: ${why}`);
  }
  const { kind, message } = failure;
  if (kind === "NOPERM" || FORBIDDEN_IN_SCRIPT.test(message.replace(/^ERR /, ""))) {
    return new PermissionDeniedError(at === "" ? message : `${redis}: ${message}`, { fromWire: true });
  }
  if (kind === "OOM") {
    return new OverloadedError(`${redis} is out of memory: ${message}`, { retryAfter: 1000, fromWire: true });
  }
  return new UnavailableError(`${redis} refused a command: ${message}`, { outcome: "NOT_DELIVERED", fromWire: true });
}
