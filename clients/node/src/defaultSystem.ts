import type { Gathered } from "./calls/gather.js";
import type { CallOptions, StreamOptions } from "./calls/requester.js";
import type { Stream } from "./calls/stream.js";
import type { GatherOptions } from "./calls/surveyor.js";
import type { Item, ManyOptions } from "./durable/many.js";
import { EventSystem } from "./events.js";
import type { Receipt } from "./publisher.js";
import type { PublishOptions } from "./publishOptions.js";

let theDefault: EventSystem | undefined;

/** The process's default event system, made on first use from the environment. */
export function getEventSystem(): EventSystem {
  if (theDefault === undefined || theDefault.closed) theDefault = new EventSystem();
  return theDefault;
}

/** Makes this the default event system; returns the one before. For tests, see `use` of `tieline/testing`. */
export function replaceDefault(events: EventSystem | undefined): EventSystem | undefined {
  const before = theDefault;
  theDefault = events;
  return before;
}

/** `EventSystem.publish` on the default event system. */
export function publishEvent(topic: string, data?: unknown, options?: PublishOptions): Promise<Receipt> {
  return getEventSystem().publish(topic, data, options);
}

/** `EventSystem.publishMany` on the default event system. */
export function publishEvents(topic: string, items: Iterable<Item>, options?: ManyOptions): Promise<Receipt[]> {
  return getEventSystem().publishMany(topic, items, options);
}

/** `EventSystem.publishAndWait` on the default event system. */
export function publishEventAndWait<Reply = unknown>(
  topic: string,
  data?: unknown,
  options?: CallOptions,
): Promise<Reply> {
  return getEventSystem().publishAndWait<Reply>(topic, data, options);
}

/** `EventSystem.publishAndStream` on the default event system. */
export function publishEventAndStream<Item = unknown>(
  topic: string,
  data?: unknown,
  options?: StreamOptions,
): Stream<Item> {
  return getEventSystem().publishAndStream<Item>(topic, data, options);
}

/** `EventSystem.publishAndGather` on the default event system. */
export function publishEventAndGather<Value = unknown>(
  topic: string,
  data?: unknown,
  options?: GatherOptions,
): Promise<Gathered<Value>> {
  return getEventSystem().publishAndGather<Value>(topic, data, options);
}
