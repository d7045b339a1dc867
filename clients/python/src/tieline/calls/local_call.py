"""A call that is answered in this process: outlet of its delivery and waiter for its deadline."""

from __future__ import annotations

import asyncio
from typing import Any

from tieline import codec
from tieline._contract.envelope_pb2 import Envelope
from tieline.delivery import Delivery, interruption, unsendable_reply
from tieline.envelope import error_from_wire, error_to_wire
from tieline.errors import CallTimeoutError, Outcome, TielineError

_SHARED = (type(None), bool, float)


class LocalCall:
    """One such call. There is a `future` to wait for only if the handler did not end in its first step."""

    __slots__ = ("answered", "content_type", "data", "deadline", "delivery", "done", "error", "future", "value")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.future: asyncio.Future[None] | None = None
        self.error: TielineError | None = None
        self.delivery: Delivery | None = None
        self.done = False
        self.answered = False
        self.data = b""
        self.content_type = ""
        self.value: Any = None

    def succeeded(self, delivery: Delivery, result: Any) -> None:
        """Encode the reply exactly as it would have travelled; immutable values are shared as they are."""
        self.answered = True
        future = self.future
        if self.done or (future is not None and future.done()):
            return
        try:
            if type(result) in _SHARED or delivery.subscription.by_reference:
                self.value = result
            else:
                requested = delivery.event.envelope.content_type
                self.data, self.content_type = codec.encode_reply(result, requested)
        except TielineError as error:
            self.failed(delivery, unsendable_reply(delivery, error))
            return
        if future is not None:
            future.set_result(None)

    def failed(self, delivery: Delivery, error: TielineError) -> None:
        """The error as the caller would have got it from elsewhere."""
        travelled = error_from_wire(error_to_wire(error))
        travelled.__cause__ = error.__cause__
        self.answered = True
        if self.future is None:
            self.error = travelled
        elif not self.future.done():
            self.future.set_exception(travelled)

    def interrupted(self, delivery: Delivery) -> None:
        """The handler was cancelled, perhaps although the caller still waits."""
        self.failed(delivery, interruption(delivery))

    def item(self, delivery: Delivery, value: Any) -> None:
        """No plain call reads items."""

    def ended(self, delivery: Delivery) -> None:
        """No plain call reads items."""

    def due(self, now: float) -> None:
        """The deadline passed."""
        envelope = self.delivery.event.envelope if self.delivery else Envelope()
        begun = self.delivery is not None and self.delivery.begun
        outcome = Outcome.MAY_HAVE_RUN if begun else Outcome.NOT_DELIVERED
        if self.future is not None and not self.future.done():
            message = f"no reply from {envelope.topic!r} within {envelope.ttl_ms / 1000:g} s"
            details = {"accepted": begun, "attempts": 1}
            self.future.set_exception(CallTimeoutError(message, outcome=outcome, details=details))

    @property
    def failure(self) -> TielineError | None:
        """The error it ended with, if it did."""
        if self.future is None or not self.future.done() or self.future.cancelled():
            return self.error
        error = self.future.exception()
        return error if isinstance(error, TielineError) else None

    def forget(self) -> None:
        """It is over and its caller was told: what came of it is not kept until its deadline."""
        self.error = self.future = self.value = None
        self.data = b""

    def result(self) -> Any:
        """What the caller gets, as a value or as an error."""
        if self.error is not None:
            raise self.error
        return codec.decode(self.data, self.content_type) if self.data else self.value
