import { basename, extname } from "node:path";
import { LONGEST_PAUSE_MS } from "./clock.js";
import * as contract from "./contract/contract.js";
import { checkOptions, FLAG, type Kinds, milliseconds, TTL, whole } from "./options.js";

/** Bounds and times of one event system (milliseconds, bytes, counts), and its switches; the defaults are those of `proto/contract.toml`. */
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
  /** Whether it publishes what it says of itself on `system.…`. */
  readonly systemEvents: boolean;
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
  systemEvents: true,
};

const PAUSE = milliseconds(1, LONGEST_PAUSE_MS);
const MAYBE_NONE = milliseconds(0, LONGEST_PAUSE_MS);

const KINDS: Kinds<Settings> = {
  callTtl: TTL,
  eventTtl: TTL,
  concurrency: whole(1),
  queue: whole(0),
  pendingCalls: whole(1),
  attempts: whole(1),
  lease: whole(1),
  leaseRefresh: PAUSE,
  acceptAfter: MAYBE_NONE,
  probeAfter: MAYBE_NONE,
  probeInterval: PAUSE,
  probeConfirm: MAYBE_NONE,
  respondersGrace: MAYBE_NONE,
  redispatch: PAUSE,
  retryAfter: MAYBE_NONE,
  connectTimeout: PAUSE,
  pingInterval: PAUSE,
  pongTimeout: PAUSE,
  reconnectMin: MAYBE_NONE,
  reconnectMax: PAUSE,
  patternsRefresh: PAUSE,
  drain: MAYBE_NONE,
  offlineBuffer: whole(0),
  idempotencyWindow: whole(1),
  explainCalls: whole(0),
  systemEvents: FLAG,
};

/** The settings: what is given, and else the defaults. Throws InvalidArgumentError for what makes no sense. */
export function chooseSettings(given: Partial<Settings> = {}): Settings {
  checkOptions(given, KINDS, "settings");
  const said = Object.entries(given).filter(([, value]) => value !== undefined);
  const { callTtl, eventTtl, ...rest } = { ...DEFAULT_SETTINGS, ...Object.fromEntries(said) };
  return { ...rest, callTtl: Math.floor(callTtl), eventTtl: Math.floor(eventTtl) };
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
