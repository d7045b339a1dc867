"""What a subscriber asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tieline import topics
from tieline.batch import Batch, Batcher
from tieline.delivery import Delivery
from tieline.errors import InvalidArgumentError
from tieline.handler import Handler
from tieline.mailbox import Mailbox, Work
from tieline.transport import Interest, Route

if TYPE_CHECKING:
    from tieline.events import EventSystem

OnGap = Callable[..., Any]


class Subscription:
    """One handler on one topic or pattern. Made by `EventSystem.subscribe`."""

    __slots__ = (
        "_batcher",
        "_closed",
        "_ready",
        "_system",
        "by_reference",
        "filter",
        "group",
        "handler",
        "interests",
        "mailbox",
        "name",
        "observe",
        "on_gap",
        "topic",
        "warned_at",
    )

    def __init__(
        self,
        system: EventSystem,
        topic: str,
        handler: Handler,
        mailbox: Mailbox,
        *,
        group: str,
        observe: bool,
        filter: Callable[[Any], bool] | None,
        batch: tuple[int, float] | None,
        on_gap: OnGap | None,
        by_reference: bool,
        name: str,
    ) -> None:
        self._system = system
        self.topic = topics.check_pattern(topic)
        self.handler = handler
        self.mailbox = mailbox
        self.group = topics.check_group(group) if group else ""
        self.observe = observe
        self.filter = filter
        self.on_gap = on_gap
        self.by_reference = by_reference
        self.name = name
        self.warned_at = 0.0
        self._batcher = Batcher(self, *_checked_batch(batch)) if batch is not None else None
        self._closed = False
        self._ready: asyncio.Future[None] | None = None
        if observe and (group or batch is not None):
            raise InvalidArgumentError("an observer watches everything by itself: it takes no group and no batch")
        self.interests = self._interests()

    @property
    def is_pattern(self) -> bool:
        """Whether its topic has wildcards."""
        return topics.is_pattern(self.topic)

    @property
    def closed(self) -> bool:
        """Whether it takes nothing new any more."""
        return self._closed

    async def ready(self) -> None:
        """Return when the broker has registered it. Starts the system if need be."""
        await self._system.registered(self)

    async def unsubscribe(self) -> None:
        """Take nothing new, finish what is here, and leave. Idempotent."""
        await self._system.unsubscribe(self)

    def take(self, delivery: Delivery) -> Work | None:
        """Take an event; returns what had to give way to it, if anything."""
        if self._batcher is None:
            return self.mailbox.force(delivery)
        batch = self._batcher.add(delivery)
        return self.mailbox.force(batch) if batch is not None else None

    async def drain(self) -> None:
        """Take nothing new and return when everything here is done."""
        self._closed = True
        batch: Batch | None = self._batcher.take() if self._batcher else None
        if batch is not None:
            self.mailbox.force(batch)
        await self.mailbox.drain()

    def interrupt(self) -> None:
        """Cancel everything that waits or runs."""
        for work in [*self.mailbox.waiting, *self.mailbox.running]:
            self.mailbox.cancel(work)

    def _interests(self) -> tuple[Interest, ...]:
        if self.observe:
            return (Interest(Route.OBSERVER, self.topic),)
        events = Interest(Route.GROUP, self.topic, self.group) if self.group else Interest(Route.EVENT, self.topic)
        answers = self._batcher is None and not self.is_pattern
        return (Interest(Route.REQUEST, self.topic), events) if answers else (events,)

    def __repr__(self) -> str:
        group = f" group={self.group!r}" if self.group else ""
        return f"<Subscription {self.name!r} on {self.topic!r}{group}>"


def _checked_batch(batch: tuple[int, float]) -> tuple[int, float]:
    try:
        size, seconds = batch
        valid = int(size) >= 1 and 0 < float(seconds) <= 3600
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InvalidArgumentError(f"batch must be (size of at least 1, seconds up to 3600), not {batch!r}")
    return batch
