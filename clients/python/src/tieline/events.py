"""The event system: publish, call, subscribe.

    events = EventSystem("redis://localhost")

    @events.subscribe("calculate.sum")
    async def add(numbers: list[int]) -> int:
        return sum(numbers)

    total = await events.publish_and_wait("calculate.sum", [1, 2, 3])
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar, overload

from tieline import handler as handlers
from tieline import topics
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.caller import Caller, LocalCall, reply_value
from tieline.clock import Clock
from tieline.context import Event
from tieline.delivery import Delivery
from tieline.envelope import CANCEL, EVENT, REQUEST, new_id
from tieline.errors import InvalidArgumentError, Outcome, TielineError, UnavailableError
from tieline.mailbox import Mailbox
from tieline.middleware import HandleNext, Message, Middleware, handle_through, publish_through
from tieline.observe import Observer, Step, StepName
from tieline.outgoing import compose, ttl_ms
from tieline.registry import Registry
from tieline.responder import EventOutlet, Responder
from tieline.router import Router
from tieline.settings import Settings, choose_service, choose_url
from tieline.subscription import OnGap, Subscription
from tieline.transport import Gap, Interest, Port, Transport
from tieline.transports import make_transport

log = logging.getLogger("tieline")

F = TypeVar("F", bound=Callable[..., Any])

_WARNING_TTL_MS = contract.DEFAULT_EVENT_TTL_MS


class Receipt(NamedTuple):
    """What a publish returns: the event's id, and the name of the chain it belongs to."""

    id: str
    correlation_id: str


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

    It starts with the first publish, call or `async with`, or where a loop runs, with the first subscribe; it belongs
    to the loop that started it.

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
    ) -> None:
        self.service = choose_service(service)
        self.settings = settings or Settings()
        self._make_transport = (
            (lambda: transport) if transport else partial(make_transport, choose_url(url), namespace, self.settings)
        )
        self._middleware = list(middleware)
        self._observer = observe
        self._transport: Transport | None = self._make_transport()  # a wrong URL is told here
        self._port: Port | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._closed = False
        self._linked = asyncio.Event()
        self._waiting_bytes = 0
        self._background: set[asyncio.Task[Any]] = set()
        self._local_clock = Clock()
        self._router = Router()
        self._registry = Registry()
        self._caller = Caller(self.settings, self._clock, observe)
        self._responder = Responder(self.settings, self._router, self._clock, observe, self._publish_warning)
        self._use_middleware()

    # --- publish and call -----------------------------------------------------------------------------------------

    async def publish(
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
    ) -> Receipt:
        """Publish an event to every subscriber, here and elsewhere. At most once; nobody need be there.

        Args:
            topic: concrete topic.
            data: payload.
            ttl: seconds until it is no longer worth handling; 30 unless given.
            headers: text by name.
            content_type: media type; MessagePack unless given.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the event's own id, unless given.
            wait_local: return when the handlers in this process are done.
            wait_for_connection: seconds to wait while the broker is away.

        Raises:
            InvalidTopicError, InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError: refused at the door.
            UnavailableError: the broker is away.
            LoopDetectedError: more than 16 handlers led here.

        """
        if self._port is None or self._loop is not asyncio.get_running_loop():
            await self.start()
        options = (ttl, content_type, schema_version, correlation_id, wait_local, wait_for_connection)
        if self._middleware:
            message = Message(topic, data, dict(headers or {}))
            return await publish_through(self._middleware, message, lambda m: self._publish(m.topic, m.data, m.headers, *options))
        return await self._publish(topic, data, headers, *options)

    async def publish_and_wait(
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
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> Any:
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
            wait_for_responders: seconds to wait for somebody who answers.
            wait_for_connection: seconds to wait while the broker is away.

        Raises:
            CallTimeoutError: no reply in time.
            NoRespondersError: nobody answers this topic; told at once.
            ResponderLostError: the process that took it is gone.
            HandlerError: the handler raised.
            OverloadedError, UnavailableError, InvalidTopicError, InvalidPayloadError, …: see `TielineError.code`.

        """
        if self._port is None or self._loop is not asyncio.get_running_loop():
            await self.start()
        options = (ttl, content_type, schema_version, correlation_id, idempotent, wait_for_responders, wait_for_connection)
        if self._middleware:
            message = Message(topic, data, dict(headers or {}), is_request=True)
            return await publish_through(self._middleware, message, lambda m: self._call(m.topic, m.data, m.headers, *options))
        return await self._call(topic, data, headers, *options)

    async def exchange(
        self,
        envelope: Envelope,
        data: Any = None,
        *,
        idempotent: bool = False,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> LocalCall | Envelope:
        """Call with a composed request and return the encoded reply: for gateways, which need not look inside."""
        subscription = self._router.responder(envelope.topic)
        if subscription is not None:
            self._tell_observers(envelope)
            return await self._caller.local(subscription, envelope, data, self._responder.around)
        assert self._port is not None
        return await self._caller.remote(
            envelope,
            idempotent=idempotent,
            patience=wait_for_responders,
            wait_for_link=wait_for_connection,
            avoid=self._port.instance if self._router.has_responder(envelope.topic) else "",
        )

    async def _call(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None,
        content_type: str,
        schema_version: str,
        correlation_id: str,
        idempotent: bool,
        wait_for_responders: float,
        wait_for_connection: float,
    ) -> Any:
        assert self._port is not None
        envelope = compose(
            REQUEST,
            topic,
            data,
            ttl_ms(ttl, self.settings.call_ttl),
            self._port.clock,
            self._source,
            headers=headers,
            content_type=content_type,
            schema_version=schema_version,
            correlation_id=correlation_id,
        )
        envelope.reply_to = self._port.instance
        reply = await self.exchange(
            envelope,
            data,
            idempotent=idempotent,
            wait_for_responders=wait_for_responders,
            wait_for_connection=wait_for_connection,
        )
        return reply.result() if isinstance(reply, LocalCall) else reply_value(reply)

    async def _publish(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None,
        content_type: str,
        schema_version: str,
        correlation_id: str,
        wait_local: bool,
        wait_for_connection: float,
        by_system: bool = False,
    ) -> Receipt:
        assert self._port is not None
        envelope = compose(
            EVENT,
            topic,
            data,
            ttl_ms(ttl, self.settings.event_ttl),
            self._port.clock,
            self._source,
            headers=headers,
            content_type=content_type,
            schema_version=schema_version,
            correlation_id=correlation_id,
            by_system=by_system,
        )
        envelope.id = new_id()
        await self.send(envelope, data, wait_local=wait_local, wait_for_connection=wait_for_connection)
        return Receipt(envelope.id, envelope.correlation_id or envelope.id)

    async def send(
        self, envelope: Envelope, data: Any = None, *, wait_local: bool = False, wait_for_connection: float = 0.0
    ) -> None:
        """Publish a composed event: for gateways, which need not look inside."""
        assert self._port is not None
        if not self._port.connected:
            await self._await_link(envelope, wait_for_connection)
        handled = _Handled(self._say) if wait_local else None
        each, groups = self._router.listeners(envelope.topic)
        served: list[str] = []
        for group, turn in groups.items():
            subscription = turn.pick()
            if subscription is not None:
                each.append(subscription)
                served.append(group)
        for subscription in each:
            if handled:
                handled.count += 1
            self._responder.deliver(subscription, envelope, handled or self._local_outlet, data)
        for subscription in self._router.observers(envelope.topic):
            self._responder.deliver(subscription, envelope)
        await self._port.publish(envelope, served)
        if handled:
            await handled.all()

    def _tell_observers(self, envelope: Envelope) -> None:
        """A request served here is shown to observers here and elsewhere."""
        for subscription in self._router.observers(envelope.topic):
            self._responder.deliver(subscription, envelope)
        if self._port is not None:
            self._port.observe(envelope)

    # --- subscribe ------------------------------------------------------------------------------------------------

    @overload
    def subscribe(self, topic: str, handler: Callable[..., Any], **options: Any) -> Subscription: ...
    @overload
    def subscribe(self, topic: str, handler: None = None, **options: Any) -> Callable[[F], F]: ...

    def subscribe(
        self,
        topic: str,
        handler: Callable[..., Any] | None = None,
        *,
        group: str = "",
        observe: bool = False,
        filter: Callable[[Any], bool] | None = None,  # noqa: A002 - the field's term
        batch: tuple[int, float] | None = None,
        concurrency: int | None = None,
        queue: int | None = None,
        on_gap: OnGap | None = None,
        by_reference: bool = False,
        name: str = "",
    ) -> Subscription | Callable[[F], F]:
        """Have a function handle events and answer requests of a topic; as a call, or as a decorator.

        Args:
            topic: topic, or pattern with `*` (one token) and a final `>` (one or more).
            handler: `f()`, `f(data)` or `f(data, event)`; its return value is the reply. Synchronous ones run in threads.
            group: members of one group share the events, one copy for all.
            observe: watch events and requests, and never answer.
            filter: sees the decoded payload; false means not for this handler.
            batch: (size, seconds): the handler gets a list of payloads, and answers no requests.
            concurrency: handlers running at once; 1,000 unless given.
            queue: deliveries waiting; 1,000 unless given.
            on_gap: called with since, until (datetime) and reason when live events may have been lost.
            by_reference: local callers hand over their own objects instead of copies.
            name: for figures and `unsubscribe`; the function's name unless given.

        Raises:
            InvalidTopicError, InvalidArgumentError: what was given is wrong.

        """
        options: dict[str, Any] = {"group": group, "observe": observe, "filter": filter, "batch": batch}
        options |= {"on_gap": on_gap, "by_reference": by_reference}
        running = _bound(concurrency, self.settings.concurrency, 1, "concurrency")
        waiting = _bound(queue, self.settings.queue, 0, "queue")

        def declare(function: Callable[..., Any]) -> Subscription:
            bound = handlers.bind(function)
            called = name or getattr(function, "__name__", type(function).__name__)
            return self._add(Subscription(self, topic, bound, Mailbox(running, waiting), name=called, **options))

        if handler is not None:
            return declare(handler)
        topics.check_pattern(topic)

        def decorate(function: F) -> F:
            declare(function)
            return function

        return decorate

    @property
    def subscriptions(self) -> list[Subscription]:
        """All subscriptions that are not closed."""
        return list(self._router)

    async def unsubscribe(self, subscription: Subscription | str) -> None:
        """End a subscription, or all of a name: nothing new is taken, what is here is finished. Idempotent."""
        chosen = [s for s in self._router if s is subscription or s.name == subscription]
        for each in chosen:
            await self._registry.end(self._router.remove(each))
            await each.drain()

    async def registered(self, subscription: Subscription) -> None:
        """Return when the broker has registered a subscription; starts the system if need be."""
        await self.start()
        await self._registry.ready(subscription)

    def _add(self, subscription: Subscription) -> Subscription:
        if self._closed:
            raise InvalidArgumentError("this event system is closed; make a new one")
        new = self._router.add(subscription)
        if self._port is not None and _running_loop() is self._loop:
            self._registry.begin(subscription, new)
        elif _running_loop() is not None:
            self._spawn(self._start_quietly())
        return subscription

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Connect and register what was declared. Called by whatever needs it; again while running it does nothing.

        Raises:
            UnavailableError: the broker cannot be reached; the message says which and what to do.
            UnauthenticatedError, UnsupportedError: it does not want us, or is of a kind we cannot use.

        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self._belongs_elsewhere()
        if self._closed:
            raise InvalidArgumentError("this event system is closed; make a new one")
        if self._port is None:
            if self._starting is None:
                self._loop = loop
                self._starting = loop.create_task(self._start())
            await asyncio.shield(self._starting)
        return self

    async def aclose(self, drain: float | None = None) -> None:
        """Take nothing new, finish what runs for up to `drain` seconds (10 unless given), then leave. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._starting is not None and self._port is None:
            self._starting.cancel()
        if self._port is not None:
            await self._drain(self.settings.drain if drain is None else drain)
            await self._caller.close()
            self._responder.stop()
            await self._port.aclose()
        if self._transport is not None:
            await self._transport.aclose()
        for task in list(self._background):
            task.cancel()

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT, then drain and close."""
        await self.start()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, stop.set)
        try:
            await stop.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.remove_signal_handler(number)
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
        return self._port.instance if self._port is not None else ""

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached now."""
        return self._port is not None and self._port.connected

    async def _start(self) -> None:
        try:
            transport = self._transport = self._transport or self._make_transport()
            self._linked = asyncio.Event()
            port = await transport.open(self.service, self)
            self._caller.attach(port)
            self._responder.attach(port, f"{self.service}/{port.instance}")
            self._local_outlet = EventOutlet(self._say)
            await self._registry.attach(port, [i for i in self._interests()])
            self._port = port
            self._linked.set()
            self._spawn(self._watch_loop())
        except BaseException:
            if self._transport is not None and self._port is None:
                transport, self._transport = self._transport, None
                await transport.aclose()
            raise
        finally:
            self._starting = None

    async def _start_quietly(self) -> None:
        try:
            await self.start()
        except TielineError as error:
            log.error("the event system did not start: %s", error)

    async def _drain(self, seconds: float) -> None:
        subscriptions = list(self._router)
        left = [interest for subscription in subscriptions for interest in self._router.remove(subscription)]
        drained = asyncio.gather(self._leave(left), *(subscription.drain() for subscription in subscriptions))
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await drained
        except TimeoutError:
            for subscription in subscriptions:
                subscription.interrupt()
            await asyncio.sleep(0)

    async def _leave(self, interests: list[Interest]) -> None:
        with contextlib.suppress(TielineError):
            await self._registry.end(interests)
        self._registry.detach()

    def _interests(self) -> list[Interest]:
        return list(dict.fromkeys(i for subscription in self._router for i in subscription.interests))

    def _belongs_elsewhere(self) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            raise InvalidArgumentError(
                "this event system belongs to the event loop that started it; "
                "use it there (asyncio.run_coroutine_threadsafe), or make one for this loop"
            )
        # The loop is gone, and with it every connection: begin anew with the same subscriptions.
        self._loop = self._port = self._starting = None
        self._transport = None
        self._caller = Caller(self.settings, self._clock, self._observer)
        self._background.clear()

    # --- what the port reports (Receiver) -------------------------------------------------------------------------

    def on_request(self, envelope: Envelope) -> None:
        """See `Receiver`."""
        self._responder.request(envelope)

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        """See `Receiver`."""
        self._responder.event(interest, envelope)

    def on_answer(self, envelope: Envelope) -> None:
        """See `Receiver`."""
        if envelope.kind == CANCEL:
            self._responder.cancel(envelope.call_id)
        else:
            self._caller.answered(envelope)

    def on_dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """See `Receiver`."""
        self._caller.dispatched(call_id, instance, error)

    def on_connected(self, gap: Gap | None) -> None:
        """See `Receiver`."""
        self._linked.set()
        if gap is not None:
            if self._port is not None:
                self._responder.attach(self._port, self._source)
            self._caller.link_up()
            self._tell_gap(gap)

    def on_disconnected(self, reason: str) -> None:
        """See `Receiver`."""
        log.warning("the broker is away: %s", reason)
        self._linked.clear()
        self._caller.link_down()

    def _tell_gap(self, gap: Gap) -> None:
        since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in gap[:2])
        log.warning("live events between %s and %s may be lost: %s", since, until, gap.reason)
        if self._observer:
            self._observer(Step(StepName.GAP, gap.until, "", "", b"", {"since": gap.since, "reason": gap.reason}))
        for subscription in self._router:
            if subscription.on_gap is not None:
                self._spawn(_guarded(subscription.on_gap, since, until, gap.reason))

    # --- the rest -------------------------------------------------------------------------------------------------

    @property
    def _source(self) -> str:
        return f"{self.service}/{self._port.instance}" if self._port else self.service

    def _clock(self) -> Clock:
        return self._port.clock if self._port is not None else self._local_clock

    def _use_middleware(self) -> None:
        if self._middleware:
            chain = self._middleware

            async def around(event: Event, last: HandleNext) -> Any:
                return await handle_through(chain, event, last)

            self._responder.around = around

    async def _await_link(self, envelope: Envelope, seconds: float) -> None:
        size = envelope.ByteSize()
        away = UnavailableError(
            "the broker cannot be reached now; reconnecting. Try again, or allow wait_for_connection",
            outcome=Outcome.NOT_DELIVERED,
        )
        if seconds <= 0 or self._waiting_bytes + size > self.settings.offline_buffer:
            raise away
        self._waiting_bytes += size
        try:
            async with asyncio.timeout(seconds):
                await self._linked.wait()
        except TimeoutError:
            raise away from None
        finally:
            self._waiting_bytes -= size

    def _publish_warning(self, payload: dict[str, Any]) -> None:
        nothing = (None, _WARNING_TTL_MS / 1000, "", "", "", False, 0.0)
        publishing = self._publish(contract.SYSTEM_WARNING, payload, *nothing, by_system=True)
        self._spawn(_quietly(publishing))

    async def _watch_loop(self) -> None:
        """Report a loop that stands still: nothing can be promised while it does."""
        while True:
            asked = time.monotonic()
            await asyncio.sleep(1.0)
            late = time.monotonic() - asked - 1.0
            if late > 1.0:
                log.warning("the event loop stood still for %.1f s; a handler blocks it", late)
                self._publish_warning({"kind": "loop_blocked", "seconds": late})

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _say(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        if self._observer:
            correlation_id = envelope.correlation_id or envelope.id
            now = self._clock().now()
            self._observer(Step(name, now, envelope.topic, correlation_id, envelope.call_id, detail))


class _Handled(EventOutlet):
    """Counts the local handlers of one event that a publisher waits for."""

    __slots__ = ("_done", "count")

    def __init__(self, say: Callable[..., None]) -> None:
        super().__init__(say, self._one)
        self.count = 0
        self._done = asyncio.Event()

    def _one(self, delivery: Delivery) -> None:
        self.count -= 1
        if self.count == 0:
            self._done.set()

    async def all(self) -> None:
        if self.count:
            await self._done.wait()


def _bound(given: int | None, default: int, least: int, name: str) -> int:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int) or given < least:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"{name} is a whole number of at least {least}, not {given!r}")
    return given


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _guarded(function: OnGap, *arguments: Any) -> None:
    try:
        result = function(*arguments)
        if inspect.isawaitable(result):
            await result
    except Exception:
        log.exception("on_gap raised")


async def _quietly(publishing: Any) -> None:
    with contextlib.suppress(TielineError):
        await publishing


_default: EventSystem | None = None


def get_event_system() -> EventSystem:
    """The process's default event system, made on first use from the environment."""
    global _default  # noqa: PLW0603 - the one default
    if _default is None or _default._closed:  # pyright: ignore[reportPrivateUsage]
        _default = EventSystem()
    return _default


async def publish_event(topic: str, data: Any = None, **options: Any) -> Receipt:
    """`EventSystem.publish` on the default event system."""
    return await get_event_system().publish(topic, data, **options)


async def publish_event_and_wait(topic: str, data: Any = None, **options: Any) -> Any:
    """`EventSystem.publish_and_wait` on the default event system."""
    return await get_event_system().publish_and_wait(topic, data, **options)
