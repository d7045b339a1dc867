import { InvalidArgumentError, UnsupportedError } from "../errors.js";
import type { Settings } from "../settings.js";
import type { Transport } from "../transport.js";
import { parseTargets } from "./grpcUrl.js";
import { MemoryTransport } from "./memory.js";
import { parseRedisUrl, prefixOf } from "./redisUrl.js";

const SCHEMES = "memory://, redis://, rediss://, unix://, grpc:// or grpcs://";

/**
 * What a URL leads to; it is read now, the transport is loaded when it is first needed. Throws InvalidArgumentError, or
 * UnsupportedError for a file.
 */
export function chooseTransport(url: string, namespace: string, settings: Settings): () => Promise<Transport> {
  const scheme = url.slice(0, Math.max(0, url.indexOf(":")));
  switch (scheme) {
    case "memory":
      refuseStore(url);
      return () => Promise.resolve(new MemoryTransport());
    case "redis":
    case "rediss":
    case "unix":
      prefixOf(namespace, parseRedisUrl(url).database);
      return async () => new (await import("./redis.js")).RedisTransport(url, { namespace, settings });
    case "grpc":
    case "grpcs":
      parseTargets(url);
      return async () => new (await import("./grpc.js")).GrpcTransport(url, { settings });
    default:
      throw new InvalidArgumentError(`the broker's URL begins with "${scheme}:"; use ${SCHEMES}`);
  }
}

/** Results of idempotency keys outlive the process in Redis, or in the file of a gateway. */
function refuseStore(url: string): void {
  const rest = url.slice("memory:".length);
  if (/^\/*$/.test(rest)) return;
  if (!rest.startsWith("///")) throw new InvalidArgumentError(`"${url}": nothing follows memory://`);
  throw new UnsupportedError(`"${url}": this client keeps nothing in a file; use Redis, or a gateway with --store`);
}
