"""Batches: a handler that takes a list, by size or time, whichever comes first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tieline.clock import Timer
from tieline.context import CURRENT, Event
from tieline.delivery import Delivery, failure_of, passes
from tieline.errors import TielineError

if TYPE_CHECKING:
    from tieline.subscription import Subscription


class Batch:
    """Deliveries that are handled together; each ends by itself for those who wait for it."""

    __slots__ = ("begun", "deliveries", "is_event", "late", "stopped", "subscription", "task")

    def __init__(self, subscription: Subscription, deliveries: list[Delivery]) -> None:
        self.subscription = subscription
        self.deliveries = deliveries
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.is_event = True
        self.late = False
        self.stopped = False

    @property
    def event(self) -> Event:
        """The event of the context is the first one's."""
        return self.deliveries[0].event

    async def run(self) -> None:
        """Hand the payloads to the handler in one list."""
        self.begun = True
        CURRENT.set(self.event)
        try:
            taken, payloads = self._readable()
            if taken:
                await self._handle(taken, payloads)
        except asyncio.CancelledError:
            self.interrupted()
            raise
        finally:
            self.subscription.mailbox.finished(self)

    def interrupted(self) -> None:
        """It was cancelled."""
        for delivery in self.deliveries:
            delivery.interrupted()

    def give_way(self) -> None:
        """There was no room for it."""
        for delivery in self.deliveries:
            delivery.give_way()

    def _readable(self) -> tuple[list[Delivery], list[Any]]:
        taken: list[Delivery] = []
        payloads: list[Any] = []
        for delivery in self.deliveries:
            delivery.late = True  # it waited for the others
            delivery.start_clock()
            try:
                versions = self.subscription.versions
                data = delivery.event.data if versions is None else versions.lift(delivery.event)
                if passes(self.subscription, data):
                    payloads.append(data)
                    taken.append(delivery)
                else:
                    delivery.series = None  # it is not for this handler
                    delivery.outlet.succeeded(delivery, None)
            except TielineError as error:
                delivery.count(error)
                delivery.series = None
                delivery.outlet.failed(delivery, error)
        return taken, payloads

    async def _handle(self, taken: list[Delivery], payloads: list[Any]) -> None:
        handler = self.subscription.handler
        try:
            data = payloads if handler.convert is None else handler.convert(payloads)
            around, first = self.subscription.around_batch, taken[0].event
            if around is None:
                await handler.invoke(data, first)
            else:
                await around([delivery.event for delivery in taken], lambda: handler.invoke(data, first))
        except Exception as error:
            failure = error if isinstance(error, TielineError) else failure_of(taken[0], error)
            for delivery in taken:
                delivery.count(failure)
                delivery.outlet.failed(delivery, failure)
        else:
            for delivery in taken:
                delivery.count()
                delivery.outlet.succeeded(delivery, None)


class Batcher:
    """Collects deliveries of one subscription."""

    __slots__ = ("_seconds", "_size", "_subscription", "_timer", "collected")

    def __init__(self, subscription: Subscription, size: int, seconds: float) -> None:
        self._subscription = subscription
        self._size = size
        self._seconds = seconds
        self.collected: list[Delivery] = []
        self._timer: Timer | None = None

    def add(self, delivery: Delivery) -> Batch | None:
        """Collect one; returns the batch it completes."""
        self.collected.append(delivery)
        if len(self.collected) >= self._size:
            return self.take()
        if self._timer is None:
            self._timer = delivery.event.clock.call_later(self._seconds, self._time_is_up)
        return None

    def take(self) -> Batch | None:
        """What has been collected so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        collected, self.collected = self.collected, []
        return Batch(self._subscription, collected) if collected else None

    def _time_is_up(self) -> None:
        batch = self.take()
        pushed_out = self._subscription.mailbox.force(batch) if batch is not None else None
        if pushed_out is not None:
            pushed_out.give_way()
