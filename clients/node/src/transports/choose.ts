import { InvalidArgumentError } from "../errors.js";
import type { Settings } from "../settings.js";
import type { Transport } from "../transport.js";
import { MemoryTransport } from "./memory.js";

const SCHEMES = "memory://, redis://, rediss://, unix://, grpc:// or grpcs://";

/** What a URL leads to; the transport itself is loaded when it is first needed. Throws InvalidArgumentError. */
export function chooseTransport(url: string, namespace: string, settings: Settings): () => Promise<Transport> {
  const scheme = url.slice(0, Math.max(0, url.indexOf(":")));
  switch (scheme) {
    case "memory":
      return () => Promise.resolve(new MemoryTransport());
    case "redis":
    case "rediss":
    case "unix":
      return async () => new (await import("./redis.js")).RedisTransport(url, { namespace, settings });
    case "grpc":
    case "grpcs":
      return async () => new (await import("./grpc.js")).GrpcTransport(url, { settings });
    default:
      throw new InvalidArgumentError(`the broker's URL begins with "${scheme}:"; use ${SCHEMES}`);
  }
}
