"""The event system: publish, call, subscribe.

events = EventSystem("redis://localhost")

@events.subscribe("calculate.sum")
async def add(numbers: list[int]) -> int:
    return sum(numbers)

total = await events.publish_and_wait("calculate.sum", [1, 2, 3])
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from tieline import handler as handlers
from tieline import topics
from tieline._contract.contract import PRIORITY_NORMAL
from tieline.clock import Clock
from tieline.context import Event
from tieline.cron_tasks import CronTasks
from tieline.cron_work import attend_cron
from tieline.dead_letters import DeadLetters, ParkedKeys
from tieline.errors import InvalidArgumentError
from tieline.event_store import EventStore
from tieline.event_stores import event_store
from tieline.explain import Explanation
from tieline.gather import Gathered
from tieline.groups import Groups
from tieline.history import History
from tieline.history_host import Recording, read_retention
from tieline.instance import Instance
from tieline.many import Common, Item, check_items, store_many
from tieline.metrics import Metrics
from tieline.middleware import (
    HandleNext,
    Message,
    Middleware,
    check_chain,
    handle_batch_through,
    handle_through,
    publish_through,
    that_have,
)
from tieline.observe import Observer
from tieline.outbox import Outbox, check_path
from tieline.planner import Planner, When, way_of
from tieline.prometheus import exposition
from tieline.publisher import Durable, Publisher, Receipt
from tieline.requester import Requester
from tieline.retry import Retry
from tieline.retry_policy import RetryPolicy
from tieline.schedules import Schedules
from tieline.services import Service
from tieline.settings import Settings, choose_service, choose_settings, choose_url
from tieline.signals import stop_signals
from tieline.stream import Stream
from tieline.subscription import Subscription, SubscriptionOptions, no_subscription
from tieline.surveyor import Surveyor
from tieline.tally import OTHER
from tieline.transport import Transport
from tieline.transports import make_transport

_ASK_SECONDS = 2.0

F = TypeVar("F", bound=Callable[..., Any])


class EventSystem:
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
        self._instance = Instance(self.service, self.settings, make, observe, self._publish_system)
        self.outbox = Outbox(check_path(outbox), self._instance.find_mail) if outbox is not None else None
        self._instance.outbox = self.outbox
        self._publisher = Publisher(self._instance, self.outbox)
        self._planner = Planner(self._instance)
        self._requester = Requester(self._instance)
        self._surveyor = Surveyor(self._instance)
        self.dead_letters = DeadLetters(self._instance)
        self.parked = ParkedKeys(self._instance)
        self.groups = Groups(self._instance)
        self.history = History(self._instance, self._requester, self._surveyor)
        self.schedules = Schedules(self._instance)
        self.cron = CronTasks(self._instance, attend_cron(self._instance, self._publisher, self._requester).tell)
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

    # --- publish and call -----------------------------------------------------------------------------------------

    def publish(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_local: bool = False,
        wait_for_connection: float = 0.0,
        key: str | None = None,
        durable: bool = False,
        priority: int | None = None,
        dedupe: str | None = None,
        max_stored: int = 0,
        wait_replicas: int = 0,
        delay: float | None = None,
        at: datetime | None = None,
        retry: RetryPolicy | None = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """Publish an event to every subscriber, here and elsewhere. At most once; nobody need be there.

        With `key` or `durable` it is stored instead, for durable subscriptions, and kept until each of their groups has
        handled it: the receipt says where. Stored means: as Redis's persistence is configured.

        With `delay` or `at` it is planned instead: the broker publishes it, or stores it, when it is due, never
        earlier, and the receipt's id is that of its schedule (`events.schedules`).

        Args:
            topic: concrete topic.
            data: payload.
            ttl: seconds until it is no longer worth handling; 30 unless given, and for ever if it is stored or planned.
                That of a planned event begins when it is due.
            headers: text by name.
            content_type: media type; MessagePack unless given.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the event's own id, unless given.
            wait_local: return when the handlers in this process are done.
            wait_for_connection: seconds to wait while the broker is away.
            key: store it; events of one topic and key are handled strictly in order, by one handler at a time.
            durable: store it without a key: such events are handled side by side.
            priority: of a stored event without key: 1, 5 (unless given), 8 or 10; the highest are handled first. Of
                planned events that are due in the same millisecond the highest is published first.
            dedupe: an id of your own: an event of the topic with the same one is stored once within 24 hours.
            max_stored: do not store it if its key, or its priority, holds so many events; 0 for no bound.
            wait_replicas: return when so many replicas of Redis have it too.
            delay: seconds until it is to be published, up to ten years; or
            at: when, a datetime with a time zone. A moment in the past is now, and the receipt says `overdue`.
            retry: how often, and in which pauses, to try to store a planned event if it finds no room when it is due;
                four times, every five minutes, unless given. Its `jitter` and `redrives` have no meaning here.

        Raises:
            InvalidTopicError, InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError: refused at the door.
            OverloadedError: there is no room for one more stored event.
            UnavailableError: the broker is away.
            LoopDetectedError: more than 16 handlers led here.

        """
        if delay is not None or at is not None:
            if wait_local or wait_replicas:
                raise InvalidArgumentError("wait_local= and wait_replicas= wait for what is published now, not later")
            planned = Durable(key, PRIORITY_NORMAL if priority is None else priority, dedupe, max_stored)
            way = way_of(durable, planned)
            rest = (When(delay, at), planned, way, retry, ttl, content_type, schema_version, correlation_id)
            return self._through(self._planner.plan, topic, data, headers, (*rest, wait_for_connection))
        if retry is not None:
            raise InvalidArgumentError("retry= is for what is planned: add delay= or at=; subscriptions have their own")
        if key is not None or durable:
            if not isinstance(durable, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(f"durable is True or False, not {durable!r:.80}")
            if wait_local:
                raise InvalidArgumentError(
                    "wait_local= is for live events; a stored one is handled when its turn comes"
                )
            stored = Durable(key, PRIORITY_NORMAL if priority is None else priority, dedupe, max_stored, wait_replicas)
            rest = (stored, ttl, content_type, schema_version, correlation_id, wait_for_connection)
            return self._through(self._publisher.store, topic, data, headers, rest)
        if priority is not None or dedupe is not None or max_stored or wait_replicas:
            message = "priority=, dedupe=, max_stored= and wait_replicas= are for what is stored"
            raise InvalidArgumentError(f"{message}: add key= or durable=True")
        options = (ttl, content_type, schema_version, correlation_id, wait_local, wait_for_connection)
        return self._through(self._publisher.publish, topic, data, headers, options)

    def _through(
        self,
        send: Callable[..., Coroutine[Any, Any, Receipt]],
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        options: tuple[Any, ...],
    ) -> Coroutine[Any, Any, Receipt]:
        """Send something, through the middleware if there is any."""
        if self._publishing:
            message = Message(topic, data, dict(headers or {}))
            return publish_through(self._publishing, message, partial(_send, send, options))
        return send(topic, data, headers, *options)

    def publish_many(
        self,
        topic: str,
        items: Iterable[Item],
        *,
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_for_connection: float = 0.0,
        max_stored: int = 0,
    ) -> Coroutine[Any, Any, list[Receipt]]:
        """Store events of one topic together, all of them or none: `[Item(data, key="a"), Item(data, key="b")]`.

        Those of a key are stored in the order of the list. Middleware sees each by itself. An event that is known by
        its `dedupe` is not stored again, and the others are stored all the same.

        Args:
            topic: concrete topic.
            items: at most 10,000, of about 8 MiB in all.
            ttl: seconds until they are no longer worth handling; for ever unless given.
            content_type: media type; MessagePack unless given.
            schema_version: version of the payloads' schema.
            correlation_id: name of the chain; inherited, or each event's own id, unless given.
            wait_for_connection: seconds to wait while the broker is away.
            max_stored: store none if a key, or a priority, would hold more events; 0 for no bound.

        Returns:
            A receipt for each, in their order.

        Raises:
            InvalidTopicError, InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError: one is refused.
            OverloadedError: there is no room for all of them.
            UnavailableError: the broker is away.
            LoopDetectedError: more than 16 handlers led here.

        """
        common = Common(ttl, content_type, schema_version, correlation_id, wait_for_connection, max_stored)
        return store_many(self._publisher, self._publishing, topic, check_items(items), common)

    def publish_and_wait(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        idempotency_key: str | None = None,
        retry: Retry | None = None,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> Coroutine[Any, Any, Any]:
        """Call one responder and return its reply.

        Args:
            topic: concrete topic.
            data: payload.
            ttl: seconds to wait; 30 unless given, and never longer than the request being handled has left.
            headers: text by name.
            content_type: media type; MessagePack unless given. A JSON request is answered in JSON.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the request's own id, unless given.
            idempotent: it may be sent again although it may have run.
            idempotency_key: calls with the same topic, key and payload share one run and its result, for 24 hours;
                such a call is idempotent, and it always goes through the broker.
            retry: when to try again, and after which pause; all tries share the one deadline.
            wait_for_responders: seconds to wait for somebody who answers.
            wait_for_connection: seconds to wait while the broker is away.

        Raises:
            CallTimeoutError: no reply in time.
            NoRespondersError: nobody answers this topic; told at once.
            ResponderLostError: the process that took it is gone.
            HandlerError: the handler raised.
            ConflictError: the idempotency key was used with another payload.
            OverloadedError, UnavailableError, InvalidTopicError, InvalidPayloadError, …: see `TielineError.code`.

        """
        call = self._requester.call if retry is None else partial(self._requester.persist, retry)
        rest = (content_type, schema_version, correlation_id, idempotent, wait_for_responders, wait_for_connection)
        options = (ttl, *rest, idempotency_key)
        if self._publishing:
            message = Message(topic, data, dict(headers or {}), is_request=True)
            return publish_through(self._publishing, message, partial(_send, call, options))
        return call(topic, data, headers, *options)

    def publish_and_stream(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        total: float | None = None,
        window: int = 0,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> Stream:
        """Call one responder and read what it yields: `async for item in events.publish_and_stream(topic, data)`.

        Args:
            topic: concrete topic.
            data: payload.
            ttl: longest time in seconds between two items while the reader waits; 30 unless given.
            total: seconds until all of it must have arrived; no limit unless given.
            window: items the responder may be ahead of the reader, at most; unless given it follows their size.
            headers: text by name.
            content_type: media type; MessagePack unless given. The items of a reply to JSON are JSON.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the request's own id, unless given.
            idempotent: before the first item it may be sent again although it may have run.
            wait_for_responders: seconds to wait for somebody who answers.
            wait_for_connection: seconds to wait while the broker is away.

        Raises:
            InvalidArgumentError: an argument is outside of what is allowed. Everything else is raised while reading,
                with the errors of `publish_and_wait`; items that are missing in between are an UnavailableError.

        """
        rest = (content_type, schema_version, correlation_id, idempotent, wait_for_responders, wait_for_connection)
        options = (ttl, total, window, *rest)
        if not self._publishing:
            return self._requester.stream(topic, data, headers, *options)
        message = Message(topic, data, dict(headers or {}), is_request=True)
        last = partial(_stream, self._requester.stream, options)
        return Stream(partial(publish_through, self._publishing, message, last), lambda: self._instance.caller)

    def publish_and_gather(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        max_replies: int = 0,
        every_instance: bool = False,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
    ) -> Coroutine[Any, Any, Gathered]:
        """Ask every responder that is alive now, one of each group or service, and return what all of them said.

        It ends when all have answered or died, so not later than the deadline and usually long before it.

        Args:
            topic: concrete topic.
            data: payload.
            ttl: seconds to wait; 30 unless given.
            max_replies: return as soon as there are so many replies; 0 waits for all.
            every_instance: ask each instance instead of one of each group or service.
            headers: text by name.
            content_type: media type; MessagePack unless given.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the request's own id, unless given.

        Raises:
            NoRespondersError: there is nobody to ask.
            UnavailableError: the broker is away. What happens at single responders is in the result.

        """
        rest = (content_type, schema_version, correlation_id)
        options = (ttl, max_replies, every_instance, *rest)
        if self._publishing:
            message = Message(topic, data, dict(headers or {}), is_request=True)
            return publish_through(self._publishing, message, partial(_send, self._surveyor.gather, options))
        return self._surveyor.gather(topic, data, headers, *options)

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
            await self._instance.remove(subscription)
        elif not isinstance(subscription, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise no_subscription(subscription)
        else:
            await asyncio.gather(
                *(self._instance.remove(each) for each in self.subscriptions if each.name == subscription)
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

    async def prometheus(self, *, groups: bool = False) -> str:
        """The same as Prometheus reads it: what an HTTP route answers, as `tieline.prometheus.CONTENT_TYPE`.

        Args:
            groups: say also how far the durable groups of the topics that are known here are, in all instances; the
                broker is asked, and counts for as long as they have keys with something to handle.

        Raises:
            UnavailableError: the broker, which was to be asked, is away.

        """
        metrics = self.metrics()
        topics = [topic for topic in metrics.topics if topic != OTHER] if groups else []
        stored = set(await self.groups.topics()) if topics else set[str]()
        found = [group for topic in topics if topic in stored for group in await self.groups.list(topic)]
        return exposition(metrics, found)

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
            url: `sqlite:///path/of/file.db`, or `postgresql://user@host/database` (with `tieline[postgres]`); or a
                store of your own.
            topics: patterns of what all record from now on; as it was, at first everything, unless given. Of what the
                system publishes payloads are left out.
            retain: seconds that events are kept; for ever unless given.
            max_events: the oldest beyond so many go; 0 for any number.
            max_bytes: the oldest beyond so many bytes go, about; 0 for any number.

        Raises:
            InvalidArgumentError, InvalidTopicError: what was given is wrong.
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


async def _send(send: Callable[..., Coroutine[Any, Any, Any]], options: tuple[Any, ...], message: Message) -> Any:
    return await send(message.topic, message.data, message.headers, *options)


async def _stream(stream: Callable[..., Stream], options: tuple[Any, ...], message: Message) -> Stream:
    return stream(message.topic, message.data, message.headers, *options)
