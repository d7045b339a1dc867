"""The same calls without `await`, from any thread: for Flask, Django and scripts.

from tieline import blocking

events = blocking.EventSystem("redis://localhost")

@events.subscribe("calculate.sum")
def add(numbers: list[int]) -> int:
    return sum(numbers)

total = events.publish_and_wait("calculate.sum", [1, 2, 3])
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from os import PathLike
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from tieline import events, topics
from tieline.blocking_desk import CronTasks, DeadLetters, Groups, History, Outbox, ParkedKeys, Schedules
from tieline.blocking_stream import Stream
from tieline.calls.gather import Gathered
from tieline.calls.stream import Stream as AsyncStream
from tieline.context import current_event
from tieline.durable.many import Item
from tieline.errors import UnavailableError, UnsupportedError
from tieline.figures.metrics import Metrics
from tieline.loop_thread import LoopThread, already_closed, one_at_a_time, refuse_to_stop_a_loop
from tieline.middleware import Middleware
from tieline.observe import Observer
from tieline.publisher import Receipt
from tieline.settings import Settings, choose_url
from tieline.subscription import Subscription as AsyncSubscription
from tieline.subscription import SubscriptionOptions, no_subscription
from tieline.threads import set_aside
from tieline.transport import Transport

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")


class Subscription:
    """One handler on one topic or pattern. Made by `EventSystem.subscribe`."""

    def __init__(self, owner: EventSystem, declare: Callable[[events.EventSystem], AsyncSubscription]) -> None:
        self._owner = owner
        self._declare = declare
        self.declared: AsyncSubscription

    def declare(self, system: events.EventSystem) -> None:
        """Subscribe at this system: the first one, or its successor in a forked child."""
        self.declared = self._declare(system)

    @property
    def topic(self) -> str:
        """Topic or pattern."""
        return self.declared.topic

    @property
    def name(self) -> str:
        """For figures and `unsubscribe`."""
        return self.declared.name

    @property
    def closed(self) -> bool:
        """Whether it takes nothing new any more."""
        return self.declared.closed

    def ready(self) -> None:
        """Return when the broker has registered it."""
        self._owner._wait(lambda _: self.declared.ready())

    def unsubscribe(self) -> None:
        """Take nothing new, finish what is here, and leave. Idempotent."""
        self._owner.unsubscribe(self)

    def __repr__(self) -> str:
        return repr(self.declared)


def _awaited(
    method: Callable[Concatenate[events.EventSystem, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[EventSystem, P], T]:
    """The method of the same name that returns when the other one's coroutine is done."""

    @functools.wraps(method)
    def call(self: EventSystem, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(lambda system: method(system, *args, **kwargs))

    return call


def _iterated(
    method: Callable[Concatenate[events.EventSystem, P], AsyncStream],
) -> Callable[Concatenate[EventSystem, P], Stream]:
    """The method of the same name whose stream is read without `await`."""

    @functools.wraps(method)
    def stream(self: EventSystem, *args: P.args, **kwargs: P.kwargs) -> Stream:
        system = self._current()
        return Stream(method(system, *args, **kwargs), system, self._wait)

    return stream


class EventSystem:
    """`tieline.EventSystem` without `await`: its event loop has a daemon thread of its own.

    Any number of threads may use it at once. It starts with the first call or subscribe. Synchronous handlers run in
    the client's handler threads; asynchronous ones, middleware, filters and observers run in the loop.

    In a forked child (gunicorn, multiprocessing) it begins anew with the same subscriptions when it is first used
    there, be it by `start`; until then the child hears nothing. A program that ends without `close` still leaves in
    good order, but does not wait for its handlers.

    Args: those of `tieline.EventSystem`.

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
        url = choose_url(url)
        self._make = functools.partial(
            events.EventSystem,
            url,
            service=service,
            namespace=namespace,
            settings=settings,
            middleware=middleware,
            observe=observe,
            transport=transport,
            outbox=outbox,
        )
        self._survives_fork = transport is None and not url.startswith("grpc")
        self._system = self._make()  # a wrong URL is told here
        self._subscriptions: dict[Subscription, None] = {}
        self._thread: LoopThread | None = None
        self._closed = False
        self.cron = CronTasks(self._wait)
        self.dead_letters = DeadLetters(self._wait)
        self.history = History(self._wait)
        self.parked = ParkedKeys(self._wait)
        self.schedules = Schedules(self._wait)
        self.groups = Groups(self._wait)
        self.outbox = Outbox(self._wait) if outbox is not None else None

    publish = _awaited(events.EventSystem.publish)
    publish_many = _awaited(events.EventSystem.publish_many)
    publish_and_wait = _awaited(events.EventSystem.publish_and_wait)
    publish_and_stream = _iterated(events.EventSystem.publish_and_stream)
    publish_and_gather = _awaited(events.EventSystem.publish_and_gather)
    explain = _awaited(events.EventSystem.explain)
    services = _awaited(events.EventSystem.services)
    prometheus = _awaited(events.EventSystem.prometheus)

    def metrics(self) -> Metrics:
        """What this instance has published, called and handled. See `tieline.EventSystem.metrics`."""

        async def read(system: events.EventSystem) -> Metrics:
            return system.metrics()

        return self._wait(read)

    def record(
        self,
        url: str,
        *,
        topics: Sequence[str] = (),
        retain: float | None = None,
        max_events: int = 0,
        max_bytes: int = 0,
    ) -> None:
        """Record in SQL what happens at the broker until this is closed. See `tieline.EventSystem.record`."""

        async def record(system: events.EventSystem) -> None:
            await system.record(url, topics=topics, retain=retain, max_events=max_events, max_bytes=max_bytes)

        self._wait(record)

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

        It is registered in the background; `Subscription.ready` waits for that. See `tieline.EventSystem.subscribe`.
        """
        if handler is not None:
            return self._declare(topic, handler, options)
        topics.check_pattern(topic)

        def decorate(function: F) -> F:
            self._declare(topic, function, options)
            return function

        return decorate

    def _declare(self, topic: str, function: Callable[..., Any], options: SubscriptionOptions) -> Subscription:
        subscription = Subscription(self, lambda system: system.subscribe(topic, function, **options))

        async def declare(system: events.EventSystem) -> None:
            subscription.declare(system)

        self._wait(declare)
        self._subscriptions[subscription] = None
        return subscription

    @property
    def subscriptions(self) -> list[Subscription]:
        """All subscriptions that are not closed."""
        return [subscription for subscription in list(self._subscriptions) if not subscription.closed]

    def unsubscribe(self, subscription: Subscription | str) -> None:
        """End a subscription, or all of a name: nothing new is taken, what is here is finished.

        Idempotent: a name that no subscription has, or has any more, changes nothing.

        Raises:
            InvalidArgumentError: it is neither.

        """
        if not isinstance(subscription, (Subscription, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise no_subscription(subscription)

        async def leave(system: events.EventSystem) -> None:
            await system.unsubscribe(subscription if isinstance(subscription, str) else subscription.declared)

        self._wait(leave)
        for each in list(self._subscriptions):
            if each.closed:
                self._subscriptions.pop(each, None)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Connect and register what was declared; any other use does so too. See `tieline.EventSystem.start`."""
        self._wait(events.EventSystem.start)
        return self

    def close(self, drain: float | None = None) -> None:
        """Take nothing new, finish what runs for up to `drain` seconds (10 unless given), then leave. Idempotent.

        Inside a handler it does not wait for that.
        """
        refuse_to_stop_a_loop()
        with one_at_a_time():
            self._closed = True
        if self._thread is not None and not self._forked:
            self._thread.end(drain)
            if current_event() is None:
                self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def instance(self) -> str:
        """This instance's name at the broker; empty before the start."""
        return "" if self._forked else self._system.instance

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached now."""
        return not self._forked and self._system.connected

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    # --- the thread -----------------------------------------------------------------------------------------------

    def _wait(self, begin: Callable[[events.EventSystem], Awaitable[T]]) -> T:
        """Have the loop do something, in this thread's context; whatever interrupts the wait cancels it."""
        refuse_to_stop_a_loop()
        future: Future[T] = Future()
        try:
            with one_at_a_time():
                self._running_thread().submit(begin, future)
            with set_aside():
                return future.result()
        except CancelledError:
            raise UnavailableError("the event system was closed while the call was out") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            del future  # no cycle for the collector

    def _current(self) -> events.EventSystem:
        """The system that runs in this process."""
        with one_at_a_time():
            self._running_thread()
            return self._system

    def _running_thread(self) -> LoopThread:
        if self._thread is None or self._forked:
            if self._closed:
                raise already_closed()
            if self._forked:
                self._system = self._successor()
            self._thread = LoopThread(self._system)
        return self._thread

    @property
    def _forked(self) -> bool:
        """Whether this is a forked child, where the thread does not exist and the connection is the parent's."""
        return self._thread is not None and self._thread.forked_away

    def _successor(self) -> events.EventSystem:
        """A new system with the same subscriptions."""
        if not self._survives_fork:
            raise UnsupportedError(
                "this event system was started before the process forked, which neither gRPC nor a transport of your "
                "own survives; use it for the first time in the child (gunicorn: in post_fork, or without --preload)"
            )
        system = self._make()
        for subscription in self.subscriptions:
            subscription.declare(system)
        return system


# --- the default ------------------------------------------------------------------------------------------------------

_default: EventSystem | None = None


def get_event_system() -> EventSystem:
    """The process's default blocking event system, made on first use from the environment."""
    global _default  # noqa: PLW0603 - the one default
    with one_at_a_time():
        if _default is None or _default.closed:
            _default = EventSystem()
        return _default


def publish_event(topic: str, data: Any = None, **options: Any) -> Receipt:
    """`EventSystem.publish` on the default event system."""
    return get_event_system().publish(topic, data, **options)


def publish_events(topic: str, items: Iterable[Item], **options: Any) -> list[Receipt]:
    """`EventSystem.publish_many` on the default event system."""
    return get_event_system().publish_many(topic, items, **options)


def publish_event_and_wait(topic: str, data: Any = None, **options: Any) -> Any:
    """`EventSystem.publish_and_wait` on the default event system."""
    return get_event_system().publish_and_wait(topic, data, **options)


def publish_event_and_stream(topic: str, data: Any = None, **options: Any) -> Stream:
    """`EventSystem.publish_and_stream` on the default event system."""
    return get_event_system().publish_and_stream(topic, data, **options)


def publish_event_and_gather(topic: str, data: Any = None, **options: Any) -> Gathered:
    """`EventSystem.publish_and_gather` on the default event system."""
    return get_event_system().publish_and_gather(topic, data, **options)
