import { basename, extname } from "node:path";
import * as contract from "./contract/contract.js";
import { ANY, checkOptions, type Kinds } from "./options.js";

/** Bounds and times of one event system (milliseconds, bytes, counts); the defaults are those of `proto/contract.toml`. */
export interface Settings {
  readonly callTtl: number;
  readonly eventTtl: number;
  readonly concurrency: number;
  readonly queue: number;
  readonly pendingCalls: number;
  readonly attempts: number;
  readonly lease: number;
  readonly leaseRefresh: number;
  readonly acceptAfter: number;
  readonly probeAfter: number;
  readonly probeInterval: number;
  readonly probeConfirm: number;
  readonly respondersGrace: number;
  readonly redispatch: number;
  readonly retryAfter: number;
  readonly connectTimeout: number;
  readonly pingInterval: number;
  readonly pongTimeout: number;
  readonly reconnectMin: number;
  readonly reconnectMax: number;
  readonly patternsRefresh: number;
  readonly drain: number;
  readonly offlineBuffer: number;
  readonly idempotencyWindow: number;
  readonly explainCalls: number;
}

/** The settings of a system that was given none. */
export const DEFAULT_SETTINGS: Settings = {
  callTtl: contract.DEFAULT_CALL_TTL_MS,
  eventTtl: contract.DEFAULT_EVENT_TTL_MS,
  concurrency: contract.DEFAULT_CONCURRENCY,
  queue: contract.DEFAULT_QUEUE,
  pendingCalls: contract.LIMIT_PENDING_CALLS,
  attempts: contract.DEFAULT_ATTEMPTS,
  lease: contract.DEFAULT_LEASE_MS,
  leaseRefresh: contract.DEFAULT_LEASE_REFRESH_MS,
  acceptAfter: contract.DEFAULT_ACCEPT_AFTER_MS,
  probeAfter: contract.DEFAULT_PROBE_AFTER_MS,
  probeInterval: contract.DEFAULT_PROBE_INTERVAL_MS,
  probeConfirm: contract.DEFAULT_PROBE_CONFIRM_MS,
  respondersGrace: contract.DEFAULT_RESPONDERS_GRACE_MS,
  redispatch: contract.DEFAULT_REDISPATCH_MS,
  retryAfter: contract.DEFAULT_RETRY_AFTER_MS,
  connectTimeout: contract.DEFAULT_CONNECT_TIMEOUT_MS,
  pingInterval: contract.DEFAULT_PING_INTERVAL_MS,
  pongTimeout: contract.DEFAULT_PONG_TIMEOUT_MS,
  reconnectMin: contract.DEFAULT_RECONNECT_MIN_MS,
  reconnectMax: contract.DEFAULT_RECONNECT_MAX_MS,
  patternsRefresh: contract.DEFAULT_PATTERNS_REFRESH_MS,
  drain: contract.DEFAULT_DRAIN_MS,
  offlineBuffer: contract.LIMIT_OFFLINE_BUFFER_BYTES,
  idempotencyWindow: contract.DEFAULT_IDEMPOTENCY_WINDOW_MS,
  explainCalls: contract.DEFAULT_EXPLAIN_CALLS,
};

const KINDS = Object.fromEntries(Object.keys(DEFAULT_SETTINGS).map((name) => [name, ANY])) as Kinds<Settings>;

/** The settings: what is given, and else the defaults. Throws InvalidArgumentError for names that are not known. */
export function chooseSettings(given: Partial<Settings> = {}): Settings {
  checkOptions(given, KINDS, "settings");
  const said = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...DEFAULT_SETTINGS, ...Object.fromEntries(said) };
}

/** The broker's URL: the argument, else `TIELINE_URL`, else `REDIS_URL`, else `memory://`. */
export function chooseUrl(url?: string): string {
  return url || process.env.TIELINE_URL || process.env.REDIS_URL || "memory://";
}

/** Name of the service: the argument, else `TIELINE_SERVICE`, else the program's name. */
export function chooseService(service?: string): string {
  const program = process.argv[1] ?? "node";
  const name = service || process.env.TIELINE_SERVICE || basename(program, extname(program));
  return name.replace(/[^A-Za-z0-9_.-]/g, "-").slice(0, 64) || "node";
}
