"""Errors: one type, a closed list of codes, a subclass for each (SPEC.md, section 9)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from tieline._contract.contract import ERRORS


class Outcome(StrEnum):
    """Did it run?"""

    NOT_DELIVERED = "NOT_DELIVERED"
    MAY_HAVE_RUN = "MAY_HAVE_RUN"
    RAN = "RAN"


class TielineError(Exception):
    """Whatever can go wrong; its subclasses say what did.

    Attributes:
        code: one of the closed list, e.g. "NO_RESPONDERS".
        message: what happened, for people; `str()` puts the code before it.
        details: more about it, for programs.
        outcome: whether the work was delivered or ran.
        type: name of the handler's exception type (HANDLER_ERROR only).
        retry_after: seconds to wait before another try, if the other side said so.
        from_wire: the other side said so; otherwise it was found out here.
        idempotent: the call it ended was marked so; set by the call.
        correlation_id: name of the chain whose call it ended, for `explain`; set by the call, else empty.

    """

    code: ClassVar[str] = "INTERNAL"

    message: str
    details: dict[str, Any]
    outcome: Outcome
    type: str
    retry_after: float | None
    from_wire: bool
    idempotent: bool
    correlation_id: str

    def __init__(
        self,
        message: str = "",
        *,
        details: Mapping[str, Any] | None = None,
        outcome: Outcome | str | None = None,
        type: str = "",
        retry_after: float | None = None,
        from_wire: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details) if details else {}
        self.outcome = Outcome(outcome or ERRORS[self.code].outcome)
        self.type = type
        self.retry_after = retry_after
        self.from_wire = from_wire
        self.idempotent = False
        self.correlation_id = ""

    @property
    def retryable(self) -> bool:
        """Another try can succeed and does no harm: the code is transient, and nothing ran or running twice is fine."""
        return ERRORS[self.code].transient and (self.outcome is Outcome.NOT_DELIVERED or self.idempotent)

    def __str__(self) -> str:
        text = f"{self.type}: {self.message}" if self.type and self.message else self.type or self.message
        return f"{self.code}: {text}" if text else self.code

    def __repr__(self) -> str:
        parts = [repr(self.message), f"outcome={self.outcome.value}"]
        parts += [f"type={self.type!r}"] if self.type else []
        parts += [f"details={self.details!r}"] if self.details else []
        parts += [f"retry_after={self.retry_after!r}"] if self.retry_after is not None else []
        parts += [f"correlation_id={self.correlation_id!r}"] if self.correlation_id else []
        return f"{self.__class__.__name__}({', '.join(parts)})"


class CallTimeoutError(TielineError, TimeoutError):
    """The deadline of a call passed."""

    code = "TIMEOUT"


class NoRespondersError(TielineError):
    """Nobody is registered for the topic; the request was provably not delivered."""

    code = "NO_RESPONDERS"


class ResponderLostError(TielineError):
    """The process that took the request is gone."""

    code = "RESPONDER_LOST"


class UnavailableError(TielineError):
    """There is no connection to the broker, or it broke after sending."""

    code = "UNAVAILABLE"


class OverloadedError(TielineError):
    """A bound was reached; come back after `retry_after` seconds."""

    code = "OVERLOADED"


class HandlerError(TielineError):
    """The handler raised; `type` and `message` are its exception's."""

    code = "HANDLER_ERROR"


class InvalidTopicError(TielineError):
    """The topic or pattern breaks the rules; the message says which and where."""

    code = "INVALID_TOPIC"


class InvalidPayloadError(TielineError, ValueError):
    """The payload holds what cannot travel, or bytes that cannot be read; the message names the culprit's path."""

    code = "INVALID_PAYLOAD"


class InvalidArgumentError(TielineError, ValueError):
    """An argument is outside of what is allowed."""

    code = "INVALID_ARGUMENT"


class PayloadTooLargeError(TielineError):
    """The encoded payload is larger than 1 MiB."""

    code = "PAYLOAD_TOO_LARGE"


class ExpiredError(TielineError):
    """The work was dead on arrival and was not started."""

    code = "EXPIRED"


class CallCancelledError(TielineError):
    """The caller gave up."""

    code = "CANCELLED"


class UnauthenticatedError(TielineError):
    """The other side does not know who you are."""

    code = "UNAUTHENTICATED"


class PermissionDeniedError(TielineError):
    """The other side knows who you are, and you may not."""

    code = "PERMISSION_DENIED"


class NotFoundError(TielineError):
    """There is no such schedule, dead letter, cron task, event of history, or group to replay to."""

    code = "NOT_FOUND"


class AlreadyExistsError(TielineError):
    """Something of that name exists."""

    code = "ALREADY_EXISTS"


class ConflictError(TielineError):
    """It contradicts what is there, e.g. an idempotency key that was used with another payload."""

    code = "CONFLICT"


class UnsupportedError(TielineError):
    """This transport or server cannot do that; the message says which can."""

    code = "UNSUPPORTED"


class LoopDetectedError(TielineError):
    """More than 16 handlers led here."""

    code = "LOOP_DETECTED"


class InternalError(TielineError):
    """Our fault."""

    code = "INTERNAL"


_CLASSES: dict[str, type[TielineError]] = {cls.code: cls for cls in TielineError.__subclasses__()}


def error_class(code: str) -> type[TielineError]:
    """Return the class of a code; `InternalError` for a code that this version does not know."""
    return _CLASSES.get(code, InternalError)
