import { onAbort } from "../aborting.js";
import { currentEvent, type Event } from "../context.js";
import { CallCancelledError } from "../errors.js";

/** What a call lives within: the caller's signal, and the request whose handler made it. */
export interface Scopes {
  readonly signal: AbortSignal | undefined;
  readonly parent: Event | undefined;
}

/** What a call that is made now lives within. Throws CallCancelledError if that has ended. */
export function scopesOf(signal: AbortSignal | undefined): Scopes {
  const parent = currentEvent();
  if (signal?.aborted || (parent?.isRequest && parent.cancelled)) throw gaveUp(signal?.reason, true);
  return { signal, parent: parent?.isRequest ? parent : undefined };
}

/** Calls `cancel` when one of the scopes ends; returns how to take that back. */
export function whenOver({ signal, parent }: Scopes, cancel: (reason: unknown) => void): () => void {
  if (signal === undefined && parent === undefined) return () => undefined;
  const release = signal && onAbort(signal, () => cancel(signal.reason));
  const forget = parent?.onCancel(cancel);
  return () => {
    release?.();
    forget?.();
  };
}

/** What a call ends with when its scope does. */
export function gaveUp(reason: unknown, unsent = false): CallCancelledError {
  return new CallCancelledError("the caller gave up", {
    outcome: unsent ? "NOT_DELIVERED" : "MAY_HAVE_RUN",
    cause: reason,
  });
}
