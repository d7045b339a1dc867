import { type Code, ERRORS, type Outcome } from "./contract/contract.js";

export type { Code, Outcome } from "./contract/contract.js";

/** What an error can say besides its message. */
export interface ErrorOptions {
  /** What else there is to know; values as in a payload. */
  details?: Record<string, unknown>;
  /** Did it run? The code's usual outcome if not given. */
  outcome?: Outcome;
  /** HANDLER_ERROR: name of the exception's type. */
  type?: string;
  /** OVERLOADED: when to come back, milliseconds. */
  retryAfter?: number | undefined;
  /** The other side said so; otherwise this side inferred it. */
  fromWire?: boolean;
  /** What led here, on this side. */
  cause?: unknown;
}

/** Every failure of a call, an event or a subscription; one subclass for each code of the closed list. */
export class TielineError extends Error {
  /** One of the closed list of codes. */
  readonly code: Code;
  /** What else there is to know; on a lost or timed-out call `accepted` says whether the responder had it. */
  readonly details: Record<string, unknown>;
  /** Did it run? */
  readonly outcome: Outcome;
  /** HANDLER_ERROR: name of the exception's type; otherwise empty. */
  readonly type: string;
  /** OVERLOADED: when to come back, milliseconds; undefined if nobody said. */
  readonly retryAfter: number | undefined;
  /** The other side said so; otherwise this side inferred it. */
  readonly fromWire: boolean;
  /** The call was marked as one that may run twice. */
  idempotent = false;
  /** Name of the chain whose call it ended, for `explain`; set by the call, else empty. */
  correlationId = "";

  constructor(code: Code, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.outcome = options.outcome ?? ERRORS[code].outcome;
    this.type = options.type ?? "";
    this.retryAfter = options.retryAfter;
    this.fromWire = options.fromWire ?? false;
  }

  override get name(): string {
    return this.constructor.name;
  }

  /** Whether the same call may be made again: the code is transient, and it did not run or may run twice. */
  get retryable(): boolean {
    return ERRORS[this.code].transient && (this.outcome === "NOT_DELIVERED" || this.idempotent);
  }
}

/** Code, type and message in one line, without a stack. */
export function said({ code, type, message }: TielineError): string {
  return [code, type, message].filter(Boolean).join(": ");
}

/** Makes an error of one class: message first, then what else it says. */
export type ErrorClass = new (message: string, options?: ErrorOptions) => TielineError;

/** TIMEOUT: the deadline passed. */
export class CallTimeoutError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("TIMEOUT", message, options);
  }
}

/** NO_RESPONDERS: nobody is registered for the topic; it was proven not to be delivered. */
export class NoRespondersError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("NO_RESPONDERS", message, options);
  }
}

/** RESPONDER_LOST: the process that took the call is gone. */
export class ResponderLostError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("RESPONDER_LOST", message, options);
  }
}

/** UNAVAILABLE: there is no connection to the broker, or it broke after sending. */
export class UnavailableError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("UNAVAILABLE", message, options);
  }
}

/** OVERLOADED: a bound was reached; come back after `retryAfter` milliseconds. */
export class OverloadedError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("OVERLOADED", message, options);
  }
}

/** HANDLER_ERROR: the handler raised; `type` and the message are those of what it raised. */
export class HandlerError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("HANDLER_ERROR", message, options);
  }
}

/** INVALID_TOPIC: a topic or pattern breaks the rules; nothing was sent. */
export class InvalidTopicError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("INVALID_TOPIC", message, options);
  }
}

/** INVALID_PAYLOAD: the payload holds what cannot travel; the message names the place. */
export class InvalidPayloadError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("INVALID_PAYLOAD", message, options);
  }
}

/** INVALID_ARGUMENT: an option is out of range; the message names it. */
export class InvalidArgumentError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("INVALID_ARGUMENT", message, options);
  }
}

/** PAYLOAD_TOO_LARGE: the encoded payload is larger than 1 MiB. */
export class PayloadTooLargeError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("PAYLOAD_TOO_LARGE", message, options);
  }
}

/** EXPIRED: the request's time was over when it arrived; it did not run. */
export class ExpiredError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("EXPIRED", message, options);
  }
}

/** CANCELLED: the caller gave up. */
export class CallCancelledError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("CANCELLED", message, options);
  }
}

/** UNAUTHENTICATED: the broker refused the credentials. */
export class UnauthenticatedError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("UNAUTHENTICATED", message, options);
  }
}

/** PERMISSION_DENIED: the credentials do not allow this. */
export class PermissionDeniedError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("PERMISSION_DENIED", message, options);
  }
}

/** NOT_FOUND: what was asked for does not exist. */
export class NotFoundError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("NOT_FOUND", message, options);
  }
}

/** ALREADY_EXISTS: what was to be made exists. */
export class AlreadyExistsError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("ALREADY_EXISTS", message, options);
  }
}

/** CONFLICT: the idempotency key belongs to another payload. */
export class ConflictError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("CONFLICT", message, options);
  }
}

/** UNSUPPORTED: this transport or server cannot do that; the message says which can. */
export class UnsupportedError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("UNSUPPORTED", message, options);
  }
}

/** LOOP_DETECTED: more than 16 handlers led here. */
export class LoopDetectedError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("LOOP_DETECTED", message, options);
  }
}

/** INTERNAL: the fault is ours. */
export class InternalError extends TielineError {
  constructor(message: string, options?: ErrorOptions) {
    super("INTERNAL", message, options);
  }
}

/** The class of each code. */
export const ERROR_CLASSES: Readonly<Record<Code, ErrorClass>> = {
  TIMEOUT: CallTimeoutError,
  NO_RESPONDERS: NoRespondersError,
  RESPONDER_LOST: ResponderLostError,
  UNAVAILABLE: UnavailableError,
  OVERLOADED: OverloadedError,
  HANDLER_ERROR: HandlerError,
  INVALID_TOPIC: InvalidTopicError,
  INVALID_PAYLOAD: InvalidPayloadError,
  INVALID_ARGUMENT: InvalidArgumentError,
  PAYLOAD_TOO_LARGE: PayloadTooLargeError,
  EXPIRED: ExpiredError,
  CANCELLED: CallCancelledError,
  UNAUTHENTICATED: UnauthenticatedError,
  PERMISSION_DENIED: PermissionDeniedError,
  NOT_FOUND: NotFoundError,
  ALREADY_EXISTS: AlreadyExistsError,
  CONFLICT: ConflictError,
  UNSUPPORTED: UnsupportedError,
  LOOP_DETECTED: LoopDetectedError,
  INTERNAL: InternalError,
};
