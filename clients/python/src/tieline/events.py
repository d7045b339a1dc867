"""The event system: publish, call, subscribe.

events = EventSystem("redis://localhost")

@events.subscribe("calculate.sum")
async def add(numbers: list[int]) -> int:
    return sum(numbers)

total = await events.publish_and_wait("calculate.sum", [1, 2, 3])
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from tieline import handler as handlers
from tieline import topics
from tieline.clock import Clock
from tieline.context import Event
from tieline.cron.tasks import CronTasks
from tieline.cron.work import attend_cron
from tieline.durable.dead_letters import DeadLetters, ParkedKeys
from tieline.durable.groups import Groups
from tieline.explain.explain import Explanation
from tieline.figures.metrics import Metrics
from tieline.figures.tally import OTHER
from tieline.history.history import History
from tieline.history.host import Recording, read_retention
from tieline.history.store import EventStore
from tieline.history.stores import event_store
from tieline.instance import Instance
from tieline.middleware import (
    HandleNext,
    Middleware,
    check_chain,
    handle_batch_through,
    handle_through,
    that_have,
)
from tieline.observe import Observer
from tieline.outbox.outbox import Outbox, check_path
from tieline.prometheus import exposition
from tieline.publisher import Receipt
from tieline.schedules.schedules import Schedules
from tieline.sending import Sending
from tieline.services import Service
from tieline.settings import Settings, choose_service, choose_settings, choose_url
from tieline.signals import stop_signals
from tieline.subscription import Subscription, SubscriptionOptions, no_subscription
from tieline.transport import Transport
from tieline.transports import make_transport

_ASK_SECONDS = 2.0

F = TypeVar("F", bound=Callable[..., Any])


class EventSystem(Sending):
    """One instance: everything a process publishes, calls and subscribes to over one broker.

    Args:
        url: `memory://`, `redis://`, `rediss://`, `unix://`, `grpc://` or `grpcs://`; else `TIELINE_URL`, else
            `REDIS_URL`, else `memory://`.
        service: name of the service; else `TIELINE_SERVICE`, else the program's name.
        namespace: separates installations that share one Redis.
        settings: bounds and times.
        middleware: code around every publish and handling, the first one outermost.
        observe: told each step of an envelope's life.
        transport: a ready transport instead of a URL.
        outbox: path of a SQLite file of this process's own: what is published with `key=` or `durable=True` is
            committed to it, and then stored at the broker, for as long as that may take, also by the next process with
            this file. The receipt says `queued`, and the broker need not be there.

    It starts with the first publish, call or `async with`, or where a loop runs, with the first subscribe; it belongs
    to the loop that started it. `dead_letters`, `parked` and `groups` look after durable events, `schedules`
    after planned ones, `cron` after tasks that recur; `history` tells what happened.

    """

    def __init__(
        self,
        url: str | None = None,
        *,
        service: str | None = None,
        namespace: str = "",
        settings: Settings | None = None,
        middleware: Sequence[Middleware] = (),
        observe: Observer | None = None,
        transport: Transport | None = None,
        outbox: str | PathLike[str] | None = None,
    ) -> None:
        self.settings = choose_settings(settings)
        self.service = choose_service(service)
        chain = check_chain(middleware)
        make = (lambda: transport) if transport else partial(make_transport, choose_url(url), namespace, self.settings)
        instance = Instance(self.service, self.settings, make, observe, self._publish_system)
        self.outbox = Outbox(check_path(outbox), instance.find_mail) if outbox is not None else None
        instance.outbox = self.outbox
        super().__init__(instance, self.outbox)
        self.dead_letters = DeadLetters(instance)
        self.parked = ParkedKeys(instance)
        self.groups = Groups(instance)
        self.history = History(instance, self._requester, self._surveyor)
        self.schedules = Schedules(instance)
        self.cron = CronTasks(instance, attend_cron(instance, self._publisher, self._requester).tell)
        self._surround(chain)

    def use(self, *middleware: Middleware) -> None:
        """Put code around everything that is published and handled from now on, inside of what there is.

        Raises:
            InvalidArgumentError: one of it is no middleware.

        """
        self._surround([*self._chain, *check_chain(middleware)])

    def _surround(self, chain: list[Middleware]) -> None:
        self._chain = chain
        self._publishing, self._handling = that_have("publish", chain), that_have("handle", chain)
        self._batching = that_have("handle_batch", chain)
        instance = self._instance
        instance.responder.around = instance.caller.around = self._around if self._handling else None
        for subscription in instance.router:
            self._surround_batches(subscription)

    def _surround_batches(self, subscription: Subscription) -> None:
        subscription.around_batch = self._around_batch if self._batching else None

    # --- subscribe ------------------------------------------------------------------------------------------------

    @overload
    def subscribe(
        self, topic: str, handler: Callable[..., Any], **options: Unpack[SubscriptionOptions]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, topic: str, handler: None = None, **options: Unpack[SubscriptionOptions]
    ) -> Callable[[F], F]: ...

    def subscribe(
        self, topic: str, handler: Callable[..., Any] | None = None, **options: Unpack[SubscriptionOptions]
    ) -> Subscription | Callable[[F], F]:
        """Have a function handle events and answer requests of a topic; as a call, or as a decorator.

        Args:
            topic: topic, or pattern with `*` (one token) and a final `>` (one or more).
            handler: `f()`, `f(data)` or `f(data, event)`; its result is the reply. Synchronous ones run in threads.
            options: see `SubscriptionOptions`.

        Raises:
            InvalidTopicError, InvalidArgumentError: what was given is wrong.

        """
        if handler is not None:
            return self._declare(topic, handler, options)
        topics.check_pattern(topic)

        def decorate(function: F) -> F:
            self._declare(topic, function, options)
            return function

        return decorate

    def _declare(self, topic: str, function: Callable[..., Any], options: SubscriptionOptions) -> Subscription:
        subscription = Subscription(self, topic, handlers.bind(function), self.settings, options)
        self._surround_batches(subscription)
        self._instance.add(subscription)
        return subscription

    @property
    def subscriptions(self) -> list[Subscription]:
        """All subscriptions that are not closed."""
        return [subscription for subscription in self._instance.router if not subscription.internal]

    async def unsubscribe(self, subscription: Subscription | str) -> None:
        """End a subscription, or all of a name: nothing new is taken, what is here is finished.

        Idempotent: a name that no subscription has, or has any more, changes nothing.

        Raises:
            InvalidArgumentError: it is neither.

        """
        if isinstance(subscription, Subscription):
            await self._instance.leaving.end(subscription)
        elif not isinstance(subscription, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise no_subscription(subscription)
        else:
            await asyncio.gather(
                *(self._instance.leaving.end(each) for each in self.subscriptions if each.name == subscription)
            )

    async def registered(self, subscription: Subscription) -> None:
        """Return when the broker has registered a subscription; starts the system if need be."""
        await self.start()
        await self._instance.registry.ready(subscription)

    # --- looking inside -------------------------------------------------------------------------------------------

    async def explain(self, correlation_id: str, *, ttl: float = _ASK_SECONDS) -> Explanation:
        """Where an event or call went, as every live instance remembers it, and what was stored of its failure.

        Args:
            correlation_id: of an event, a receipt or an error's call; the id of what began a chain.
            ttl: seconds to wait for the others.

        Raises:
            InvalidArgumentError: it is no id.
            UnavailableError: the broker is away.

        """
        return await self._surveyor.explain(correlation_id, ttl)

    async def services(self, *, ttl: float = _ASK_SECONDS) -> list[Service]:
        """Who is there: services, their instances, and what they are subscribed to, with schemas and versions.

        Args:
            ttl: seconds to wait for each instance.

        Raises:
            UnavailableError: the broker is away.

        """
        return await self._surveyor.services(ttl)

    def metrics(self) -> Metrics:
        """What this instance has published, called and handled since it was made. It asks nobody, and costs little."""
        return self._instance.metrics()

    async def prometheus(self, *, groups: bool = False, schedules: bool = False) -> str:
        """The same as Prometheus reads it: what an HTTP route answers, as `tieline.prometheus.CONTENT_TYPE`.

        Args:
            groups: say also how far the durable groups of the topics that are known here are, in all instances; the
                broker is asked, and counts for as long as they have keys with something to handle.
            schedules: say also how many planned events wait, and ended how, in all instances; the broker is asked.

        Raises:
            UnavailableError: the broker, which was to be asked, is away.

        """
        metrics = self.metrics()
        topics = [topic for topic in metrics.topics if topic != OTHER] if groups else []
        stored = set(await self.groups.topics()) if topics else set[str]()
        found = [group for topic in topics if topic in stored for group in await self.groups.list(topic)]
        return exposition(metrics, found, await self.schedules.figures() if schedules else None)

    # --- history --------------------------------------------------------------------------------------------------

    async def record(
        self,
        url: str | EventStore,
        *,
        topics: str | Sequence[str] = (),
        retain: float | None = None,
        max_events: int = 0,
        max_bytes: int = 0,
    ) -> Recording:
        """Record in SQL what happens at the broker, until this is closed, and answer for `history` everywhere.

        Any number of recorders share the work; all of an installation record the same topics into the same database.
        While the database is away events wait at the broker, and nothing else does.

        Args:
            url: `sqlite:///path/of/file.db`, where the path begins at the root, or `postgresql://user@host/database`
                (with `tieline[postgres]`); or a store of your own.
            topics: patterns of what all record from now on; as it was, at first everything, unless given. Of what the
                system publishes payloads are left out.
            retain: seconds that events are kept; for ever unless given.
            max_events: the oldest beyond so many go; 0 for any number.
            max_bytes: the oldest beyond so many bytes go, about; 0 for any number.

        Raises:
            InvalidArgumentError, InvalidTopicError: what was given is wrong, or can never work: a file that is no
                database, a folder that is not there, a table `events` of somebody else.
            UnavailableError: the broker is away; the database need not be there yet.
            UnsupportedError: there is no broker to stand beside (a gateway records itself), or asyncpg is missing.

        """
        retention = read_retention(retain, max_events, max_bytes)
        patterns = (topics,) if isinstance(topics, str) else topics
        store: Any = url if hasattr(url, "write") else event_store(str(url))
        await self.start()
        return await Recording(self._instance, store, patterns, retention).start()

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Connect and register what was declared. Called by whatever needs it; again while running it does nothing.

        Raises:
            UnavailableError: the broker cannot be reached; the message says which and what to do.
            UnauthenticatedError, UnsupportedError: it does not want us, or is of a kind we cannot use.

        """
        await self._instance.start()
        return self

    async def aclose(self, drain: float | None = None) -> None:
        """Take nothing new, finish what runs for up to `drain` seconds (10 unless given), then leave. Idempotent."""
        await self._instance.close(self.settings.drain if drain is None else drain)

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT, then drain and close; or until somebody else closes it.

        A second signal has its usual effect and ends the process.
        """
        await self.start()
        stop = asyncio.Event()
        self._instance.at_close(stop.set)

        def on_signal() -> None:
            self._instance.say_stopping(self.settings.drain)
            stop.set()

        with stop_signals(on_signal):
            try:
                await stop.wait()
            finally:
                await self.aclose()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def instance(self) -> str:
        """This instance's name at the broker; empty before the start."""
        return self._instance.port.instance if self._instance.port is not None else ""

    @property
    def clock(self) -> Clock:
        """The broker's clock; what sleeps by it, `await events.clock.sleep(5)`, can be hurried in a test."""
        return self._instance.clock

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached now."""
        return self._instance.port is not None and self._instance.port.connected

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._instance.closed

    async def _around(self, event: Event, last: HandleNext) -> Any:
        return await handle_through(self._handling, event, last)

    async def _around_batch(self, events: Sequence[Event], last: HandleNext) -> Any:
        return await handle_batch_through(self._batching, events, last)

    def _publish_system(self, topic: str, payload: dict[str, Any]) -> Coroutine[Any, Any, Receipt]:
        return self._publisher.publish(topic, payload, None, by_system=True)
