"""Event systems for tests: any number of them on one broker inside the process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import Any, Self, cast

from tieline.default_system import replace_default
from tieline.errors import TielineError
from tieline.events import EventSystem
from tieline.middleware import Message, Middleware, PublishNext
from tieline.observe import Observer
from tieline.settings import Settings
from tieline.subscription import Subscription, SubscriptionOptions
from tieline.testing.clock import Clock, RealTime
from tieline.testing.faults import Faults
from tieline.testing.recorder import Recorder
from tieline.transport import Transport
from tieline.transports.memory import MemoryBroker, MemoryTransport


class Broker:
    """A broker for one test, with a clock, a recorder and faults; at the end of `async with` all its systems end.

    Args:
        clock: turned by hand; a new one unless given.
        real_time: let time pass by itself instead.
        seed: of the dice of the faults.

    """

    def __init__(self, *, clock: Clock | None = None, real_time: bool = False, seed: int = 0) -> None:
        self._clock = RealTime() if real_time else clock or Clock()
        self.recorder = Recorder()
        self.faults = Faults(seed)
        self._memory = MemoryBroker(clock=self._clock)
        self._systems: list[EventSystem] = []
        self._fresh: list[tuple[EventSystem, Subscription]] = []

    @property
    def clock(self) -> Clock:
        """The clock that the test turns, unless it asked for `real_time`."""
        return cast("Clock", self._clock)

    def system(
        self,
        service: str = "test",
        *,
        remote: bool = False,
        settings: Settings | None = None,
        middleware: Sequence[Middleware] = (),
        observe: Observer | None = None,
    ) -> System:
        """One more event system; it starts with its first use, and `async with` ends it earlier than the broker.

        Args:
            service: name of the service.
            remote: have its handlers in an instance of their own, `far`, so that every event and call crosses the wire.
            settings: bounds and times; without any it publishes no system events.
            middleware: code around every publish and handling, the first one outermost.
            observe: told each step of an envelope's life.

        """
        return System(self, service, remote=remote, settings=settings, middleware=middleware, observe=observe)

    def transport(self, settings: Settings | None = None) -> Transport:
        """A way to this broker for an event system that the program under test makes; each needs its own."""
        return self.faults.around(MemoryTransport(self._memory, settings=settings))

    def joined(self, system: EventSystem) -> None:
        """A system was made on this broker."""
        self._systems.append(system)

    def declared(self, system: EventSystem, subscription: Subscription) -> None:
        """A subscription was made, and will be registered soon."""
        self._fresh.append((system, subscription))

    async def in_step(self) -> None:
        """Return when all subscriptions are registered, but for those whose link is cut."""
        while self._fresh:
            system, subscription = self._fresh.pop()
            if not system.closed and (system.connected or not system.instance):
                with suppress(TielineError):
                    await subscription.ready()

    async def aclose(self) -> None:
        """End all systems; handlers that still wait for something are cancelled. Idempotent."""
        await self._clock.settle()
        systems, self._systems = self._systems, []
        for system in systems:
            await system.aclose(drain=0)
        await self._clock.settle()  # what was cancelled ends

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class System(EventSystem):
    """An event system on a test's broker; made by `system` and by `Broker.system`."""

    def __init__(
        self,
        broker: Broker,
        service: str,
        *,
        remote: bool = False,
        settings: Settings | None = None,
        middleware: Sequence[Middleware] = (),
        observe: Observer | None = None,
    ) -> None:
        self.broker = broker
        chain = [*middleware, _InStep(broker), broker.recorder]
        settings = settings or Settings(system_events=False)  # lest a fault hits one of those
        super().__init__(
            service=service, settings=settings, middleware=chain, observe=observe, transport=broker.transport(settings)
        )
        self._instance.clock = broker.clock  # before the start too: a call that makes the start may be tried again
        broker.joined(self)
        self._far: System | None = None
        if remote:
            self._far = System(broker, service, settings=settings, middleware=middleware, observe=observe)

    @property
    def clock(self) -> Clock:
        """The broker's clock, which the test turns."""
        return self.broker.clock

    @property
    def recorder(self) -> Recorder:
        """What all systems of this broker published and requested."""
        return self.broker.recorder

    @property
    def faults(self) -> Faults:
        """The faults of this broker's wire."""
        return self.broker.faults

    @property
    def far(self) -> System:
        """With `remote=True` the system at the other end of the wire, which has the handlers; else this one."""
        return self._far or self

    @property
    def subscriptions(self) -> list[Subscription]:
        """See `EventSystem.subscriptions`."""
        return super().subscriptions if self._far is None else self._far.subscriptions

    async def unsubscribe(self, subscription: Subscription | str) -> None:
        """See `EventSystem.unsubscribe`."""
        await (super() if self._far is None else self._far).unsubscribe(subscription)

    async def aclose(self, drain: float | None = None) -> None:
        """Take nothing new and leave. Idempotent.

        Unless `drain` gives seconds of the broker's clock, what needs no time is finished, and the rest is cancelled.
        """
        if drain is None:
            await self.clock.settle()
        if self._far is not None:
            await self._far.aclose(drain or 0)
        await super().aclose(drain or 0)

    def _declare(self, topic: str, function: Callable[..., Any], options: SubscriptionOptions) -> Subscription:
        if self._far is not None:
            return self._far._declare(topic, function, options)
        subscription = super()._declare(topic, function, options)
        self.broker.declared(self, subscription)
        return subscription


class _InStep(Middleware):
    """Nothing is published before the handlers declared so far are registered: a test need not wait for them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def publish(self, message: Message, call_next: PublishNext) -> Any:
        """See `Middleware.publish`."""
        await self._broker.in_step()
        return await call_next(message)


@asynccontextmanager
async def system(
    service: str = "test",
    *,
    remote: bool = False,
    real_time: bool = False,
    settings: Settings | None = None,
    middleware: Sequence[Middleware] = (),
    observe: Observer | None = None,
) -> AsyncGenerator[System]:
    """An event system on a broker of its own: `async with testing.system() as events`.

    Args:
        service: name of the service.
        remote: have its handlers in an instance of their own, `far`, so that every event and call crosses the wire.
        real_time: let time pass by itself, instead of by `events.clock.advance`.
        settings: bounds and times.
        middleware: code around every publish and handling, the first one outermost.
        observe: told each step of an envelope's life.

    """
    async with Broker(real_time=real_time) as broker:
        yield await broker.system(
            service, remote=remote, settings=settings, middleware=middleware, observe=observe
        ).start()


@contextmanager
def use(events: EventSystem) -> Generator[EventSystem]:
    """Have `get_event_system`, `publish_event` and the others use this system, until the end of the block."""
    before = replace_default(events)
    try:
        yield events
    finally:
        replace_default(before)
