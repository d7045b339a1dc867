"""What a subscriber asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypedDict

from tieline import topics
from tieline._contract import contract
from tieline._contract.contract import ASK_TOPIC, HISTORY_TOPIC
from tieline.batch import Batch, Batcher
from tieline.delivery import AroundBatch, Delivery
from tieline.durable.consumer import Consumer
from tieline.durable.durability import Poison, Start, durability
from tieline.durable.idempotency import IdempotencyStore
from tieline.durable.retry_policy import RetryPolicy
from tieline.errors import InvalidArgumentError, InvalidTopicError
from tieline.figures.tally import NOWHERE, Series
from tieline.handler import Handler
from tieline.mailbox import Mailbox, Work
from tieline.outgoing import check_text
from tieline.prompt import check_prompt
from tieline.settings import Settings
from tieline.transport import Interest, Route
from tieline.versions import Upcaster, versions

OnGap = Callable[[datetime, datetime, str], Any]


class SubscriptionOptions(TypedDict, total=False):
    """What a subscriber may ask for.

    Attributes:
        group: members of one group share the events, one copy for all.
        observe: watch events and requests, and never answer.
        filter: sees the decoded payload; false means not for this handler.
        batch: (size, seconds): the handler gets a list of payloads, and answers no requests. Of durable events it may
            have several of a key, in their order, which are in no other batch that runs: if it returns, all of the list
            are handled; if it raises, the first one of each key has failed, and it comes alone in a list when it is
            tried again. `concurrency` counts such lists, and `event.delivery` is None.
        concurrency: handlers running at once; 1,000 unless given.
        queue: deliveries waiting; 1,000 unless given.
        on_gap: called as `f(since, until, reason)` when live events may have been lost; may be asynchronous.
        by_reference: local callers hand over their own objects instead of copies.
        name: for figures and `unsubscribe`; the function's name unless given.
        schema_version: version of the payload's schema that the handler understands.
        upcasters: (from, to, function): steps that lift payloads of other versions, before filter and validation.
        durable: handle events that were published with `key=` or `durable=True`, each at least once in each group,
            those of a key in their order; `group` is "default" unless given, and `concurrency` 10.
        start: where a new durable group begins: at the "earliest" event that is stored, or after the "latest".
        retry: when a durable event is tried again: a `RetryPolicy`.
        timeout: seconds that the handler of a durable event may take; 30 unless given.
        on_poison: what becomes of a durable event that failed for the last time: "park" stops its key until somebody
            looks (so it is unless given, where there is a key), "dead_letter" (where there is none), or "skip".
        idempotency: an `IdempotencyStore` that remembers which durable events this group has handled, so that one whose
            acknowledgement was lost is not handled again; see `idempotency_store`.
        replays: false: events that are replayed from history are not for this handler.

    """

    group: str
    observe: bool
    filter: Callable[[Any], bool] | None
    batch: tuple[int, float] | None
    concurrency: int
    queue: int
    on_gap: OnGap | None
    by_reference: bool
    name: str
    schema_version: str
    upcasters: Sequence[Upcaster]
    durable: bool
    start: Start
    retry: RetryPolicy
    timeout: float
    on_poison: Poison | None
    idempotency: IdempotencyStore | None
    replays: bool


class Owner(Protocol):
    """Where a subscription was made."""

    async def registered(self, subscription: Subscription) -> None:
        """Return when the broker has registered it."""

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End it."""


class Subscription:
    """One handler on one topic or pattern. Made by `EventSystem.subscribe`."""

    __slots__ = (
        "_batcher",
        "_closed",
        "_owner",
        "around_batch",
        "batch",
        "by_reference",
        "calls",
        "concurrency",
        "consumer",
        "durability",
        "events",
        "filter",
        "group",
        "handler",
        "interests",
        "mailbox",
        "name",
        "observe",
        "on_gap",
        "replays",
        "topic",
        "versions",
        "warned_at",
    )

    def __init__(
        self, owner: Owner | None, topic: str, handler: Handler, settings: Settings, options: SubscriptionOptions
    ) -> None:
        unknown = set(options) - set(SubscriptionOptions.__annotations__)
        if unknown:
            known = ", ".join(sorted(SubscriptionOptions.__annotations__))
            raise InvalidArgumentError(f"subscribe does not know {', '.join(sorted(unknown))}; it knows {known}")
        self._owner = owner
        self.topic = topics.check_pattern(topic)
        self.handler = handler
        usual = contract.DEFAULT_DURABLE_CONCURRENCY if options.get("durable") else settings.concurrency
        self.concurrency = concurrency = _whole("concurrency", options.get("concurrency", usual), 1)
        self.mailbox = Mailbox(concurrency, _whole("queue", options.get("queue", settings.queue), 0))
        group, batch = options.get("group"), options.get("batch")
        if group == "" and not options.get("durable"):
            group = None
        self.group = "" if group is None else topics.check_group(group)
        self.observe = options.get("observe", False)
        asked = topic == ASK_TOPIC or topic.startswith(HISTORY_TOPIC + ".")
        if asked and not topics.is_pattern(topic) and owner is not None and not self.observe:
            raise InvalidTopicError(f"{topic!r} is answered by the system itself; it can only be observed")
        self.filter = options.get("filter")
        if self.filter is not None:
            check_prompt("filter", self.filter)
        self.on_gap = _checked_gap(options.get("on_gap"))
        self.by_reference = options.get("by_reference", False)
        self.replays = _checked_bool("replays", options.get("replays", True))
        named = check_text(options.get("name", ""), "name")
        self.name = named or getattr(handler.function, "__name__", type(handler.function).__name__)
        self.warned_at = 0.0
        self.calls = NOWHERE
        self.events: Series | None = NOWHERE  # None: by the topic of each
        self.around_batch: AroundBatch | None = None
        self.versions = versions(options.get("schema_version", ""), options.get("upcasters", ()))
        self.durability = durability(self.topic, options)
        self.consumer: Consumer | None = None
        self.batch = _checked_batch(batch) if batch is not None else None
        self._batcher = Batcher(self, *self.batch) if self.batch is not None else None
        self._closed = False
        if batch is not None and handler.streams:
            raise InvalidArgumentError("a batch answers nobody: its handler must not be a generator")
        if self.observe and (group or batch is not None):
            raise InvalidArgumentError("an observer watches everything by itself: it takes no group and no batch")
        self.interests = self._interests()

    @property
    def is_pattern(self) -> bool:
        """Whether its topic has wildcards."""
        return topics.is_pattern(self.topic)

    @property
    def internal(self) -> bool:
        """Whether it is the system's own."""
        return self._owner is None

    @property
    def schema_version(self) -> str:
        """The version that the handler understands; empty if it said nothing."""
        return self.versions.version if self.versions is not None else ""

    @property
    def batches(self) -> bool:
        """Whether its handler takes lists."""
        return self._batcher is not None

    @property
    def closed(self) -> bool:
        """Whether it takes nothing new any more."""
        return self._closed

    @property
    def under_way(self) -> int:
        """What runs here, and what was accepted and waits; what is stored waits elsewhere."""
        stored = 0 if self.consumer is None else self.consumer.handling
        return len(self.mailbox.running) + len(self.mailbox.waiting) + stored

    @property
    def is_caller(self) -> bool:
        """Whether whoever asks is a handler of its own that runs."""
        return self.mailbox.is_caller or (self.consumer is not None and self.consumer.is_caller)

    async def ready(self) -> None:
        """Return when the broker has registered it. Starts the system if need be."""
        if self._owner is not None:
            await self._owner.registered(self)

    async def unsubscribe(self) -> None:
        """Take nothing new, finish what is here, and leave. Idempotent."""
        if self._owner is not None:
            await self._owner.unsubscribe(self)

    def begin_consuming(self) -> None:
        """It is registered: begin to claim, if it is durable."""
        if self.consumer is not None and not self._closed:
            self.consumer.start()

    def collected(self) -> Sequence[Delivery]:
        """What waits for a batch to be full."""
        return self._batcher.collected if self._batcher is not None else ()

    def at_work(self) -> Iterator[tuple[Delivery, bool]]:
        """What its handler has now, and what waits for it (true)."""
        for work, queued in self.mailbox.at_work():
            for delivery in work.deliveries if isinstance(work, Batch) else (work,):
                if isinstance(delivery, Delivery):
                    yield delivery, queued

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
            self.mailbox.admit(batch)
        if self.consumer is not None:
            await self.consumer.drain()
        await self.mailbox.drain()

    def interrupt(self) -> None:
        """Take nothing new and cancel everything that waits or runs."""
        self._closed = True
        batch = self._batcher.take() if self._batcher else None
        if batch is not None:
            batch.interrupted()
        if self.consumer is not None:
            self.consumer.interrupt()
        for work in [*self.mailbox.waiting, *self.mailbox.running]:
            self.mailbox.cancel(work)

    def begin_anew(self) -> None:
        """Forget what was under way in a loop that is gone."""
        if self._batcher is not None:
            self._batcher.take()
        if self.consumer is not None:
            self.consumer.forget()
        self.mailbox.begin_anew()

    def _interests(self) -> tuple[Interest, ...]:
        if self.durability is not None:
            return (Interest(Route.MAIL, self.topic, self.durability.group),)
        if self.observe:
            return (Interest(Route.OBSERVER, self.topic),)
        events = Interest(Route.GROUP, self.topic, self.group) if self.group else Interest(Route.EVENT, self.topic)
        answers = self._batcher is None and not self.is_pattern
        return (Interest(Route.REQUEST, self.topic), events) if answers else (events,)

    def __repr__(self) -> str:
        group = f" group={self.group!r}" if self.group else ""
        return f"<Subscription {self.name!r} on {self.topic!r}{group}>"


def no_subscription(given: object) -> InvalidArgumentError:
    """What whoever unsubscribes something else is told."""
    message = "unsubscribe takes what subscribe(topic, handler) returned, or the name of subscriptions"
    return InvalidArgumentError(f"{message}, not {given!r:.80}")


def _whole(name: str, given: int, least: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < least:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"{name} is a whole number of at least {least}, not {given!r}")
    return given


def _checked_bool(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise InvalidArgumentError(f"{name} is True or False, not {given!r:.80}")
    return given


def _checked_gap(on_gap: OnGap | None) -> OnGap | None:
    if on_gap is None:
        return None
    if not callable(on_gap):
        raise InvalidArgumentError(f"on_gap is a function, called as f(since, until, reason), not {on_gap!r:.80}")
    try:
        signature = inspect.signature(on_gap)
    except (TypeError, ValueError):  # some built-in ones have none that can be read
        return on_gap
    try:
        signature.bind(None, None, "")
    except TypeError as error:
        raise InvalidArgumentError(f"on_gap is called as f(since, until, reason), but {on_gap!r}: {error}") from None
    return on_gap


def _checked_batch(batch: tuple[int, float]) -> tuple[int, float]:
    try:
        size, seconds = batch
        valid = int(size) >= 1 and 0 < float(seconds) <= 3600
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InvalidArgumentError(f"batch must be (size of at least 1, seconds up to 3600), not {batch!r}")
    return batch
