"""One envelope on its way through one handler, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tieline.calls.streaming import NO_STREAMS, send_all
from tieline.calls.streams import Outflow
from tieline.context import CURRENT, Event
from tieline.errors import (
    CallCancelledError,
    ExpiredError,
    HandlerError,
    NoRespondersError,
    Outcome,
    OverloadedError,
    ResponderLostError,
    TielineError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from tieline.figures.tally import Series
    from tieline.subscription import Subscription

log = logging.getLogger("tieline")

Around = Callable[[Event, Callable[[], Awaitable[Any]]], Awaitable[Any]]
AroundBatch = Callable[[Sequence[Event], Callable[[], Awaitable[Any]]], Awaitable[Any]]


class Outlet(Protocol):
    """Where the end of a delivery is told."""

    def succeeded(self, delivery: Delivery, result: Any) -> None:
        """The handler returned."""

    def failed(self, delivery: Delivery, error: TielineError) -> None:
        """The handler was not run (NOT_DELIVERED), or raised (RAN)."""

    def interrupted(self, delivery: Delivery) -> None:
        """The handler was cancelled."""

    def item(self, delivery: Delivery, value: Any) -> None:
        """The handler yielded; called only when the delivery's flow has room.

        Raises:
            TielineError: the value cannot be sent.

        """

    def ended(self, delivery: Delivery) -> None:
        """The handler yielded for the last time."""


class Delivery:
    """A handler's run for one envelope. It ends in exactly one of the outlet's methods.

    Where it is counted, `queued` is how long its event has waited (s), and `began` when its handler began.
    """

    __slots__ = (
        "accepted",
        "around",
        "began",
        "begun",
        "event",
        "flow",
        "late",
        "outlet",
        "queued",
        "refusal",
        "series",
        "started",
        "stopped",
        "subscription",
        "task",
    )

    began: float
    queued: float

    def __init__(self, subscription: Subscription, event: Event, outlet: Outlet, around: Around | None = None) -> None:
        self.subscription = subscription
        self.event = event
        self.outlet = outlet
        self.around = around
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.accepted = False
        self.late = False
        self.refusal: TielineError | None = None
        self.started = 0.0
        self.stopped = False
        self.flow: Outflow | None = None
        self.series: Series | None = None  # a call here that ends in its first step is counted by its caller

    @property
    def is_event(self) -> bool:
        """Whether nobody waits for it."""
        return not self.event.is_request

    async def run(self) -> None:
        """Decode, filter, validate, handle, report."""
        self.begun = True
        event, subscription = self.event, self.subscription
        if self.series is not None:
            self.start_clock()
        CURRENT.set(event)
        try:
            if self.around is None:
                result = await subscription.handler.invoke(self._accept(), event)
            else:
                result = await self.around(event, self._handle)
            if type(result) in NO_STREAMS or not hasattr(result, "__aiter__"):
                if self.series is not None:
                    self.count()
                self.outlet.succeeded(self, result)
            else:
                await self._stream(result)
        except asyncio.CancelledError:
            self.interrupted()
            raise
        except Exception as error:
            refusal = self.refusal
            failure = refusal if refusal is error and refusal else failure_of(self, error)
            self.count(failure)
            self.outlet.failed(self, failure)
        finally:
            subscription.mailbox.finished(self)

    def interrupted(self) -> None:
        """It was cancelled."""
        if self.series is not None:
            self.series.cancelled += 1
        self.outlet.interrupted(self)

    def give_way(self) -> None:
        """It was pushed out before it began."""
        if self.series is not None:
            self.series.dropped += 1
        self.outlet.interrupted(self)

    def start_clock(self) -> None:
        """Its handler begins; what did not begin at once has waited since the publish, by the broker's clock."""
        clock = self.event.clock
        self.began = clock.monotonic()
        if self.late:
            self.queued = (clock.at(self.began) - self.event.envelope.time) / 1000

    def count(self, failure: TielineError | None = None) -> None:
        """Its handler has ended, or refused it; what a filter refuses is not for this handler and is not counted."""
        series = self.series
        if series is None:
            return
        if failure is not None:
            if isinstance(failure, NoRespondersError):
                return
            if isinstance(failure, ExpiredError):
                series.expired += 1
                return
            series.failed += 1
        queued: float | None = self.queued
        if queued and self.event.envelope.replay:
            queued = None
        series.ended(queued, self.event.clock.monotonic() - self.began)

    def cancel(self) -> None:
        """The caller gave up."""
        self.event.cancelled = True
        self.subscription.mailbox.cancel(self)

    async def _stream(self, items: Any) -> None:
        if self.flow is not None or self.is_event:
            await send_all(self, items)
            self.count()
        elif self.subscription.handler.streams:  # nothing of it has run
            message = f"{self.subscription.name!r} streams its reply; call it with publish_and_stream"
            self.refusal = UnsupportedError(message)
            raise self.refusal
        else:
            raise unsendable(UnsupportedError("it is a stream; the caller must use publish_and_stream"))

    async def _handle(self) -> Any:
        """The end of the middleware, which may have replaced the payload."""
        return await self.subscription.handler.invoke(self._accept(), self.event)

    def _accept(self) -> Any:
        """The payload as the handler wants it; an error here is a refusal: the handler does not run."""
        subscription = self.subscription
        try:
            if self.late and self.event.expired:
                raise ExpiredError(f"it expired while it waited for {subscription.name!r}")
            data = self.event.data if subscription.versions is None else subscription.versions.lift(self.event)
            if subscription.filter is not None and not passes(subscription, data):
                raise NoRespondersError(f"the filter of {subscription.name!r} refuses this payload")
            return data if subscription.handler.convert is None else subscription.handler.convert(data)
        except TielineError as error:
            self.refusal = error
            raise


def passes(subscription: Subscription, data: Any) -> bool:
    """Whether the subscription's filter lets a payload through. A filter that raises refuses, with HANDLER_ERROR."""
    if subscription.filter is None:
        return True
    try:
        return bool(subscription.filter(data))
    except Exception as error:
        log.error("the filter of handler %r of %r raised", subscription.name, subscription.topic, exc_info=error)
        raise handler_error(error, "the filter raised: ") from error


def failure_of(delivery: Delivery, error: BaseException) -> TielineError:
    """What is told of what a handler raised. Where it raised it is for the log of this process only.

    A HandlerError it made itself is an answer like others, and no news.
    """
    failure = handler_error(error)
    if failure is not error:
        failure.__cause__ = error
        log.error("handler %r of %r raised", delivery.subscription.name, delivery.event.topic, exc_info=error)
    return failure


def handler_error(error: BaseException, prefix: str = "") -> TielineError:
    """What a caller is told of an exception: its type, message and details, never a stack trace."""
    if isinstance(error, HandlerError) and not error.from_wire:
        error.type = error.type or type(error).__name__
        return error
    message, details = _described(error)
    if isinstance(error, TielineError):
        message = error.message
        details["code"] = error.code
    return HandlerError(prefix + message, details=details, outcome=Outcome.RAN, type=type(error).__name__)


def _described(error: BaseException) -> tuple[str, dict[str, Any]]:
    """The message and the details of any exception, whatever its author thought these should be."""
    try:
        message, details = str(error), getattr(error, "details", None)
        return message, dict(details) if isinstance(details, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
    except Exception as failure:
        return f"it cannot be described: describing it raised {type(failure).__name__}", {}


def unsendable_reply(delivery: Delivery, error: TielineError) -> TielineError:
    """A handler, which counts as one that returned, returned what cannot travel."""
    if delivery.series is not None:
        delivery.series.failed += 1
    return unsendable(error)


def unsendable(error: TielineError, what: str = "the handler's return value") -> TielineError:
    """A handler returned what cannot travel: its failure, not the caller's."""
    return handler_error(error, f"{what} cannot be sent: ")


def crowded(topic: str, retry_after: float) -> TielineError:
    """What a caller is told when every handler here is busy; `retry_after` in seconds."""
    return OverloadedError(f"all handlers of {topic!r} here are busy and their queue is full", retry_after=retry_after)


def interruption(delivery: Delivery) -> TielineError:
    """What a caller is told when the handler was cancelled although the caller did not ask for it."""
    if delivery.subscription.closed:
        return ResponderLostError("the responder stopped before the handler was done")
    return CallCancelledError("the handler was cancelled")
