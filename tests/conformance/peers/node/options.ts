// The options of commands, as a program gives them.
import {
  DEFAULT_SETTINGS,
  type Item,
  type PublishOptions,
  type Retry,
  type RetryPolicy,
  type SubscribeOptions,
  type When,
} from "tieline";
import type {
  Options,
  Publish,
  Subscribe,
  Handling as WantedHandling,
  Item as WantedItem,
  Retry as WantedRetry,
  RetryPolicy as WantedRetryPolicy,
} from "./contract/peer.js";
import { filterOf, upcasterOf } from "./handling.js";
import { toNative } from "./values.js";

/** One of many, or as many as it stands for. */
export function itemsOf({ data, key, priority, dedupe, headers, numbers }: WantedItem): Item[] {
  const item = { ...given({ key, priority, dedupe }), ...(Object.keys(headers).length > 0 && { headers }) };
  if (numbers === 0) return [data === undefined ? item : { ...item, data: toNative(data) }];
  return Array.from({ length: numbers }, (_, at) => ({ ...item, data: at + 1 }));
}

/** How a publish asks for the event to be stored. */
export function storing(wanted: Publish): PublishOptions {
  const { key, durable, priority, dedupe, maxStored, waitReplicas } = wanted;
  const retry = wanted.retry && retryPolicyOf(wanted.retry);
  return {
    ...given({ key, priority, dedupe, maxStored, waitReplicas, retry }),
    ...(durable && { durable }),
    ...whenOf(wanted),
  };
}

/** When an event is to be published. */
export function whenOf({ delayMs, atMs }: { delayMs?: number | undefined; atMs?: number | undefined }): When {
  return given({ delay: delayMs, at: atMs });
}

/** How a subscription asks for stored events to be handled. */
function handlingOf({ start, onPoison, timeoutMs, retry }: Partial<WantedHandling>): SubscribeOptions {
  const options = given({ start, onPoison, timeout: timeoutMs }) as SubscribeOptions;
  return retry === undefined ? options : { ...options, retry: retryPolicyOf(retry) };
}

function retryPolicyOf({ maxAttempts, backoffMs, capMs, jitter }: WantedRetryPolicy): RetryPolicy {
  return given({ maxAttempts, backoff: backoffMs, cap: capMs, jitter });
}

/** What is not undefined. */
export function given<Options extends object>(
  options: Options,
): { [Name in keyof Options]?: NonNullable<Options[Name]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** When a call is tried again. */
export function retryOf({ attempts, baseMs, capMs, always }: WantedRetry): Retry {
  return { attempts, base: baseMs, cap: capMs, ...(always && { when: () => true }) };
}

/** What every publish and call can say. */
export function messageOptions(wanted: Options | undefined): PublishOptions {
  if (wanted === undefined) return {};
  const options: PublishOptions = {};
  if (wanted.ttlMs !== undefined) options.ttl = wanted.ttlMs;
  const headers = [...Object.entries(wanted.headers), ...wanted.moreHeaders.map(({ name, value }) => [name, value])];
  if (headers.length > 0) options.headers = Object.fromEntries(headers);
  if (wanted.contentType !== "") options.contentType = wanted.contentType;
  if (wanted.schemaVersion !== "") options.schemaVersion = wanted.schemaVersion;
  if (wanted.correlationId !== "") options.correlationId = wanted.correlationId;
  if (wanted.waitForConnectionMs !== undefined) options.waitForConnection = wanted.waitForConnectionMs;
  return options;
}

/** What a subscription asks for. */
export function subscribeOptions(wanted: Subscribe): SubscribeOptions {
  const options: SubscribeOptions = {};
  if (wanted.group !== "") options.group = wanted.group;
  if (wanted.schemaVersion !== "") options.schemaVersion = wanted.schemaVersion;
  if (wanted.upcasters.length > 0) options.upcasters = wanted.upcasters.map(upcasterOf);
  if (wanted.observe) options.observe = true;
  if (wanted.filter !== undefined) options.filter = filterOf(wanted.filter);
  if (wanted.batch !== undefined) Object.assign(options, { batch: wanted.batch }); // typed for a handler of lists
  if (wanted.concurrency !== undefined) options.concurrency = wanted.concurrency;
  if (wanted.queue !== undefined) options.queue = wanted.queue;
  if (wanted.durable) options.durable = true;
  if (wanted.replays !== undefined) options.replays = wanted.replays;
  return { ...options, ...handlingOf(wanted.handling ?? {}) };
}

/** Settings, by their names in Node. */
export function settingsOf(wanted: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(wanted).map(([name, number]) => {
      const ours = name.replace(/_ms$/, "").replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
      if (!(ours in DEFAULT_SETTINGS)) throw new TypeError(`there is no setting ${ours}`);
      return [ours, number];
    }),
  );
}
