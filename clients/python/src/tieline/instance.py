"""One running instance: its parts, how it starts, drains and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from tieline._contract.contract import ASK_TOPIC
from tieline.calls.caller import Caller
from tieline.clock import Clock
from tieline.cron.runner import CronRunner
from tieline.delivery import Around
from tieline.durable.batch import BatchConsumer
from tieline.durable.consumer import Consumer
from tieline.durable.mail import Mail
from tieline.durable.steps import DurableSteps
from tieline.errors import (
    InvalidArgumentError,
    Outcome,
    PermissionDeniedError,
    TielineError,
    UnavailableError,
)
from tieline.event_outlet import EventOutlet
from tieline.explain.trail import Trail
from tieline.figures.metrics import Metrics, metrics_of
from tieline.figures.tally import Tally
from tieline.handler import bind
from tieline.inside import Inside
from tieline.leaving import Leaving
from tieline.link_wait import LinkWait
from tieline.observe import Observer, guarded
from tieline.outbox.outbox import Outbox
from tieline.reception import Reception
from tieline.registry import Registry
from tieline.responder import Responder
from tieline.router import Router
from tieline.schedules.agenda import Agenda, Fired
from tieline.schedules.scheduler import Scheduler
from tieline.settings import Settings
from tieline.subscription import Subscription
from tieline.system_events import Publish, SystemEvents
from tieline.transport import Interest, Port, Route, Transport
from tieline.within import in_time

if TYPE_CHECKING:
    from tieline.history.host import Recording

log = logging.getLogger("tieline")

_STANDSTILL_SECONDS = 1.0
_PLACES = 8


class Instance:
    """The engine behind an `EventSystem`. It belongs to the loop that started it."""

    def __init__(
        self,
        service: str,
        settings: Settings,
        make_transport: Callable[[], Transport],
        observer: Observer | None,
        publish_system: Publish | None = None,
    ) -> None:
        self.service = service
        self.settings = settings
        self.source = service
        self.places: deque[str] = deque(maxlen=_PLACES)
        self.port: Port | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        self.router = Router()
        self.registry = Registry()
        self.clock = Clock()
        self.trail = Trail(settings.explain_calls)
        self.tally = Tally(self.clock.now())
        self.tally.gauges |= {"connected": self._is_connected, "calls_pending": lambda: self.caller.active}
        self.outbox: Outbox | None = None
        self.recordings: list[Recording] = []
        self.scheduler: Scheduler | None = None
        self.cron: CronRunner | None = None
        self._make_transport = make_transport
        self._transport: Transport | None = make_transport()  # a wrong URL is told here
        self._observer = observer = guarded(observer) if observer else None
        self.system = SystemEvents(self, publish_system if settings.system_events else None)
        self._reason = "closed"
        self._starting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._at_close: list[Callable[[], None]] = []
        self.link = LinkWait(settings.offline_buffer, self)
        self.reception = Reception(self, observer)
        self._background: set[asyncio.Task[Any]] = set()
        self._consumers: list[Consumer] = []
        self.leaving = Leaving(self)
        self.responder = Responder(
            settings, self.router, self, observer, self.system, self.reception.on_answer, self.trail, self.tally
        )
        self.steps = DurableSteps(self.trail, self.responder, self.system, observed=observer is not None)
        self.router.add(Subscription(None, ASK_TOPIC, bind(Inside(self).answer), settings, {"name": ASK_TOPIC}))
        self._renew()

    def _renew(self) -> None:
        self.caller = Caller(self.settings, self, self._observer, self.reception, self.trail, self.tally)
        self.caller.around = self.responder.around
        self.reception.hand_on()

    # --- start and end --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See `EventSystem.start`."""
        loop = asyncio.get_running_loop()
        if self.closed:
            raise InvalidArgumentError("this event system is closed; make a new one")
        if self.loop is not None and self.loop is not loop:
            self._leave_dead_loop()
        if self.port is None:
            if self._starting is None:
                self.loop = loop
                self._starting = loop.create_task(self._start())
            await asyncio.shield(self._starting)

    async def ready(self, milliseconds: int) -> int:
        """Start if need be, for a call of this TTL; returns what is left of it, and at least 1.

        Raises:
            CallTimeoutError: it takes longer; it goes on.

        """
        if self.port is not None and self.loop is running_loop():
            return milliseconds
        begun = time.monotonic()
        await in_time(milliseconds / 1000, self.start(), self.clock)
        return max(1, milliseconds - int((time.monotonic() - begun) * 1000))

    async def _start(self) -> None:
        transport = self._transport = self._transport or self._make_transport()
        try:
            self.link.begin()
            port = await transport.open(self.service, self.reception)
            self.take_place(port)
            self.caller.attach(port)
            await self.registry.attach(port, _interests(self.router), self._durable())
            await self._answer_questions(port)
            self.take_place(port)  # a link that broke meanwhile may have made it another instance
            self.port = port
            for subscription in self._durable():
                subscription.begin_consuming()
            if self.outbox is not None:
                self.outbox.begin()
            self.spawn(self._watch_loop())
            if port.agenda.fires:
                self.scheduler = Scheduler(self, port.agenda, port.instance)
                self.scheduler.begin()
            self.system.started()
        except BaseException:
            self._transport = None
            await transport.aclose()
            raise
        finally:
            self._starting = None

    async def _answer_questions(self, port: Port) -> None:
        """Be found by `explain` and `services`, where the broker allows it."""
        try:
            await port.register([Interest(Route.REQUEST, ASK_TOPIC)])
        except PermissionDeniedError as error:
            log.info("this instance cannot be looked into: %s", error)

    def take_place(self, port: Port) -> None:
        """Take its name and clock from its place at the broker."""
        self.source = f"{self.service}/{port.instance}"
        if port.instance not in self.places:
            self.places.append(port.instance)
        self.clock = port.clock
        self.trail.monotonic = port.clock.monotonic
        self.responder.attach(port, self.source)

    def _leave_dead_loop(self) -> None:
        """Begin anew with the same subscriptions if the loop is gone, and with it every connection."""
        assert self.loop is not None
        if not self.loop.is_closed():
            raise InvalidArgumentError(
                "this event system belongs to the event loop that started it; "
                "use it there, make one for this loop, or use tieline.blocking, whose calls any thread may make"
            )
        fresh = self._make_transport()
        if self._transport is not None and self._transport is not fresh:
            self._transport.abandon()
        self._transport = fresh
        self.loop = self.port = self._starting = self.scheduler = None
        self._background.clear()
        self.system.forget()
        for recording in self.recordings:
            recording.forget()
        self.recordings.clear()
        self.leaving.forget()
        self.registry = Registry()
        self.responder.forget()
        for subscription in self.router:
            subscription.begin_anew()
        self._renew()

    def at_close(self, tell: Callable[[], None]) -> None:
        """Have somebody told when it begins to close."""
        self._at_close.append(tell)

    def say_stopping(self, drain: float) -> None:
        """A signal has come, and it is about to be closed."""
        self._reason, under_way = "signal", self._under_way()
        if under_way:
            log.warning("stopping; %d under way have up to %g s; signal again to stop now", under_way, drain)
        else:
            log.info("stopping")

    def _under_way(self) -> int:
        return sum(subscription.under_way for subscription in self._subscriptions())

    async def close(self, drain: float) -> None:
        """See `EventSystem.aclose`. It goes on if whoever waits for it is cancelled; all wait for the same.

        A handler of its own does not wait: it would wait for itself.
        """
        self.closed = True
        for tell in self._at_close:
            tell()
        subscriptions = self._subscriptions()
        inside = any(subscription.is_caller for subscription in subscriptions)
        for subscription in subscriptions:
            if subscription.consumer is not None:
                subscription.consumer.stop()
        if self._closing is None:
            self.system.stopping(self._reason, self._under_way())
            self._closing = asyncio.get_running_loop().create_task(self._close(drain), context=Context())
        if not inside:
            await asyncio.shield(self._closing)

    async def _close(self, drain: float) -> None:
        until = self.clock.monotonic() + drain
        if self._starting is not None:
            if self.outbox is not None:  # what was published is on its way
                await asyncio.wait([self._starting], timeout=max(0.0, drain))
            self._cancel_start()
        if self.port is not None:
            if self.scheduler is not None:  # what is due now waits for others: the handlers here leave
                await self.scheduler.stop()
            await self._let_go(drain)
            for recording in self.recordings:
                await recording.stop()
            await self._empty_outbox(until - self.clock.monotonic())
            await self.caller.close()
            self.responder.stop()
            await self.port.aclose()
            self.port = None
        if self._transport is not None:
            await self._transport.aclose()
        if self.outbox is not None:
            await self.outbox.aclose()
        for consumer in self._consumers:
            consumer.close()
        for task in list(self._background):
            task.cancel()

    def _cancel_start(self) -> None:
        if self._starting is not None:
            self._starting.cancel()

    async def _empty_outbox(self, seconds: float) -> None:
        if self.outbox is not None and self.port is not None and self.port.connected and seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with self.clock.timeout(seconds):
                    await self.outbox.drain()

    async def _let_go(self, drain: float) -> None:
        subscriptions = self._subscriptions()
        self._consumers = [each.consumer for each in subscriptions if each.consumer is not None]
        await self.leaving.end_all(drain)
        self.registry.detach()

    # --- subscriptions --------------------------------------------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Take in a subscription; it is registered now, or at the start."""
        if self.closed:
            raise InvalidArgumentError("this event system is closed; make a new one")
        if subscription.durability is not None:
            arguments = (subscription, subscription.durability, subscription.concurrency, self)
            batch = subscription.batch
            subscription.consumer = Consumer(*arguments) if batch is None else BatchConsumer(*arguments, batch)
        self.tally.adopt(subscription)
        self.system.watch(subscription)
        new = self.router.add(subscription)
        running = running_loop()
        if self.port is not None and running is self.loop:
            self.registry.begin(subscription, new)
        elif self._starting is not None and running is self.loop:
            self.spawn(self._register_after_start(subscription, new))
        elif running is not None:
            self.spawn(self._start_quietly())

    def _subscriptions(self) -> list[Subscription]:
        """All that are there or on their way out."""
        return list(dict.fromkeys([*self.router, *self.leaving.all()]))

    async def _register_after_start(self, subscription: Subscription, new: list[Interest]) -> None:
        with contextlib.suppress(TielineError):
            await self.start()
            self.registry.begin(subscription, new)

    async def _start_quietly(self) -> None:
        try:
            await self.start()
        except TielineError as error:
            log.error("the event system did not start: %s", error)

    # --- durable events -------------------------------------------------------------------------------------------

    @property
    def running_port(self) -> Port:
        """The port.

        Raises:
            UnavailableError: it is not running.

        """
        if self.port is None:
            raise UnavailableError("the event system is not running", outcome=Outcome.NOT_DELIVERED)
        return self.port

    @property
    def mail(self) -> Mail:
        """See `consumer.House`."""
        return self.running_port.mail

    async def find_mail(self) -> Mail:
        """Durable events; starts if need be."""
        await self.start()
        return self.mail

    async def find_agenda(self) -> Agenda:
        """What is planned; starts if need be."""
        await self.start()
        return self.agenda

    @property
    def agenda(self) -> Agenda:
        """See `cron_runner.House`."""
        return self.running_port.agenda

    @property
    def call_ttl(self) -> int:
        """See `cron_runner.House`."""
        return int(self.settings.call_ttl * 1000)

    def look(self) -> None:
        """See `cron_runner.House`."""
        if self.scheduler is not None:
            self.scheduler.look()

    def fired(self, fired: Fired) -> None:
        """See `scheduler.House`."""
        for firing in fired.events:
            self.tally.count(f"schedules_{firing.status}")
        if self.cron is not None:
            self.cron.take(fired)

    @property
    def lease_seconds(self) -> float:
        """See `consumer.House`."""
        return self.settings.lease

    @property
    def around(self) -> Around | None:
        """See `consumer.House`."""
        return self.responder.around

    def _durable(self) -> list[Subscription]:
        return [subscription for subscription in self.router if subscription.consumer is not None]

    # --- figures --------------------------------------------------------------------------------------------------

    def metrics(self) -> Metrics:
        """See `EventSystem.metrics`."""
        return metrics_of(self.tally, self._subscriptions())

    def _is_connected(self) -> bool:
        return self.port is not None and self.port.connected

    # --- the rest -------------------------------------------------------------------------------------------------

    def local_outlet(self, handled: Callable[[Any], None] | None = None) -> EventOutlet:
        """Where local events end; `handled` hears of each."""
        return EventOutlet(self.responder, handled)

    def spawn(self, coroutine: Any, context: Context | None = None) -> None:
        """Run something in the background until it ends or the instance closes."""
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _watch_loop(self) -> None:
        """Once a second: report a loop that stands still, for nothing can be promised then, and refill the trail."""
        while True:
            asked = time.monotonic()
            await asyncio.sleep(_STANDSTILL_SECONDS)
            late = time.monotonic() - asked - _STANDSTILL_SECONDS
            self.trail.refill()
            if late > _STANDSTILL_SECONDS:
                log.warning(
                    "the event loop stood still for %.1f s; a handler blocks it, or the process was stopped", late
                )
                self.system.loop_blocked(late)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs here, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _interests(router: Router) -> list[Interest]:
    """What the subscriptions want, those of the system's own aside."""
    wanted = (subscription.interests for subscription in router if not subscription.internal)
    return list(dict.fromkeys(itertools.chain.from_iterable(wanted)))
