"""The way out, top to bottom: compose, serve locally, hand the rest to the broker, decode the reply."""

from __future__ import annotations

import asyncio
import itertools
import math
from asyncio import CancelledError, get_running_loop
from collections.abc import Awaitable, Mapping
from typing import Any, NamedTuple, TypeVar

from tieline._contract.contract import ASK_TOPIC, LIMIT_STREAM_WINDOW
from tieline._contract.envelope_pb2 import Envelope
from tieline.call_errors import is_refusal
from tieline.caller import reply_value
from tieline.context import CURRENT
from tieline.delivery import Delivery, crowded
from tieline.envelope import EVENT, REQUEST, new_id
from tieline.errors import CallTimeoutError, InvalidArgumentError, Outcome, TielineError
from tieline.event_outlet import EventOutlet
from tieline.explain import Explanation, explanation
from tieline.fingerprint import fingerprint
from tieline.gather import Answer, Failure, Gathered, Gathering, Reply, is_missing, units
from tieline.gather import Responder as GatherResponder
from tieline.instance import Instance
from tieline.observe import StepName
from tieline.outgoing import check_key, compose, inherited_seconds, ttl_ms
from tieline.retry import Retry
from tieline.services import Service, services
from tieline.stream import Stream
from tieline.stream_call import StreamCall

T = TypeVar("T")

_UNBROKEN = 128
_LEAST_SECONDS = 0.001


class Receipt(NamedTuple):
    """What a publish returns: the event's id, and the name of the chain it belongs to."""

    id: str
    correlation_id: str


class Publisher:
    """Publishes and calls for one instance, without middleware."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._call_ttl_ms = ttl_ms(None, instance.settings.call_ttl)
        self._unbroken = 0

    async def call(  # noqa: C901 - the way of every call, told in one piece; a coroutine more would be felt
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
        idempotency_key: str | None = None,
        identity: str = "",
    ) -> Any:
        """See `EventSystem.publish_and_wait`. A try of a call that failed before has its `identity`."""
        instance = self._instance
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        milliseconds = self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)
        request = compose(
            REQUEST, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id
        )
        if identity:
            request.id = identity
        keyed = idempotency_key is not None
        if idempotency_key is not None:
            idempotent = _add_key(request, idempotency_key)
        subscription = None if keyed else instance.router.responder(topic)  # a run is everybody's: ask the broker
        if instance.router.observing or instance.port.observing:  # pyright: ignore[reportOptionalMemberAccess]
            self._show_observers(request)
        if subscription is not None:
            local = instance.caller.begin_local(subscription, request, data)
            try:
                if local.future is not None:
                    await local.future
                elif self._loop_must_turn():
                    await asyncio.sleep(0)
                return local.result()
            except TielineError as error:
                error.idempotent = idempotent
                if not is_refusal(error):
                    raise
                refusal, deadline = error, local.deadline
            finally:
                instance.caller.end_local(local)
                if local.future is not None:
                    local.forget()
        else:
            refusal, deadline = None if keyed else self._crowded(topic), 0.0
        call = instance.caller.begin(request, idempotent, wait_for_responders, wait_for_connection, refusal, deadline)
        del request, data  # a call that waits should not hold what it no longer needs
        try:
            return reply_value(await call.waiter)
        except CancelledError:
            instance.caller.abandon(call)
            raise
        finally:
            call.waiter = call.last_error = None  # what came of it is not kept until its deadline

    async def persist(
        self, retry: Retry, topic: str, data: Any, headers: Mapping[str, str] | None, ttl: float | None, *rest: Any
    ) -> Any:
        """Call until it succeeds, the policy says no, or no time is left for another try; `rest` as `call` takes it."""
        clock = self._instance.clock
        deadline = clock.monotonic() + (self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)) / 1000
        identity = new_id()
        for made in itertools.count(1):
            remaining = max(_LEAST_SECONDS, deadline - clock.monotonic())
            try:
                return await self.call(topic, data, headers, remaining, *rest, identity=identity)
            except TielineError as error:
                pause = retry.pause(made, error)
                over = error.code == "TIMEOUT" and not error.from_wire  # a try's deadline is that of all
                if over or pause is None or clock.monotonic() + pause >= deadline:
                    raise
                self._say_retried(topic, rest[2] or identity, pause, error)
                await clock.sleep(pause)
        raise AssertionError  # the loop has no other end

    def _say_retried(self, topic: str, correlation_id: str, pause: float, error: TielineError) -> None:
        parent = CURRENT.get()
        chain = Envelope(topic=topic, correlation_id=parent.correlation_id if parent is not None else correlation_id)
        self._instance.responder.unusual(StepName.RETRIED, chain, after=pause, code=error.code)

    def stream(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None = None,
        total: float | None = None,
        window: int = 0,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> Stream:
        """See `EventSystem.publish_and_stream`."""
        instance = self._instance
        idle = self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)
        longest = math.inf if total is None else ttl_ms(total, 0) / 1000
        if isinstance(window, bool) or not isinstance(window, int) or not 0 <= window <= LIMIT_STREAM_WINDOW:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"window is a number of items up to {LIMIT_STREAM_WINDOW}, not {window!r}")

        async def begin() -> StreamCall:
            if instance.port is None or get_running_loop() is not instance.loop:
                await instance.start()
            request = compose(
                REQUEST, topic, data, idle, instance, headers, content_type, schema_version, correlation_id
            )
            self._show_observers(request)
            near = instance.router.can_answer(topic)
            limit = instance.clock.monotonic() + min(longest, inherited_seconds())
            return instance.caller.begin_stream(
                request, limit, window, near, idempotent, wait_for_responders, wait_for_connection
            )

        return Stream(begin, lambda: instance.caller)

    async def gather(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None = None,
        max_replies: int = 0,
        every_instance: bool = False,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
    ) -> Gathered:
        """See `EventSystem.publish_and_gather`."""
        instance = self._instance
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        if isinstance(max_replies, bool) or not isinstance(max_replies, int) or max_replies < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"max_replies is a whole number, 0 for all, not {max_replies!r}")
        milliseconds = self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)
        request = compose(
            REQUEST, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id
        )
        return _gathered(await self.survey(request, max_replies, every_instance=every_instance))

    # --- looking inside -------------------------------------------------------------------------------------------

    async def explain(self, correlation_id: str, ttl: float) -> Explanation:
        """See `EventSystem.explain`."""
        asked, stored = self._ask({"trail": correlation_id}, ttl), self._stored(correlation_id, ttl)
        gathered, trail = await asyncio.gather(asked, stored)
        trails = [value.get("trail", b"") for value in gathered.values if isinstance(value, dict)]
        return explanation(correlation_id, trail, trails, _silent(gathered))

    async def _stored(self, correlation_id: str, ttl: float) -> bytes:
        """The trail that is stored; looked for at the same time as everybody is asked, for both have one deadline."""
        instance = await self._started()
        deadline = instance.clock.monotonic() + ttl_ms(ttl, 0) / 1000
        assert instance.port is not None
        return await self._in_time(deadline, instance.port.find_trail(correlation_id))

    async def services(self, ttl: float) -> list[Service]:
        """See `EventSystem.services`."""
        gathered = await self._ask({"subscriptions": True}, ttl)
        return services(gathered.values, _silent(gathered))

    async def _ask(self, question: dict[str, Any], ttl: float) -> Gathered:
        """Ask every instance what it knows."""
        instance = await self._started()
        request = compose(REQUEST, ASK_TOPIC, question, ttl_ms(ttl, 0), instance, by_system=True)
        return _gathered(await self.survey(request, 0, every_instance=True, shown=False))

    # --- events ---------------------------------------------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_local: bool = False,
        wait_for_connection: float = 0.0,
        by_system: bool = False,
    ) -> Receipt:
        """See `EventSystem.publish`."""
        instance = self._instance
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        milliseconds = ttl_ms(ttl, instance.settings.event_ttl)
        event = compose(
            EVENT, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id, by_system
        )
        await self.send(event, data, wait_local, wait_for_connection)
        if self._loop_must_turn():
            await asyncio.sleep(0)
        return Receipt(event.id, event.correlation_id or event.id)

    # --- composed envelopes, for gateways, which need not look inside ---------------------------------------------

    async def exchange(self, request: Envelope, *, idempotent: bool = False) -> Envelope:
        """Call somebody elsewhere with a composed request; returns the REPLY with its payload as it travelled."""
        caller = self._instance.caller
        self._show_observers(request)
        call = caller.begin(request, idempotent)
        try:
            return await call.waiter
        except CancelledError:
            caller.abandon(call)
            raise
        finally:
            call.waiter = call.last_error = None

    async def survey(
        self, request: Envelope, max_replies: int, *, every_instance: bool, shown: bool = True
    ) -> list[Answer]:
        """Ask everybody with a composed request; returns what became of it at each, replies as they travelled."""
        instance = self._instance
        port, caller = instance.port, instance.caller
        assert port is not None
        deadline = instance.clock.monotonic() + request.ttl_ms / 1000
        if shown:
            self._show_observers(request)
        request.id = request.id or new_id()
        places = await self._in_time(deadline, port.responders(request.topic))
        asked = units(places, port.instance, every_instance=every_instance)
        gathering = Gathering(request, lambda one, to: caller.begin_at(one, to, deadline), caller.abandon)
        return await gathering.ask(asked, max_replies)

    async def _in_time(self, deadline: float, answer: Awaitable[T]) -> T:
        """What the broker itself is asked for; a broker that says nothing is no reason to be late.

        Raises:
            CallTimeoutError: the deadline (monotonic seconds) came first.

        """
        clock = self._instance.clock
        try:
            async with clock.timeout(max(0.0, deadline - clock.monotonic())):
                return await answer
        except TielineError:
            raise
        except TimeoutError:
            message = "the broker did not answer in time; it may be frozen or overloaded"
            raise CallTimeoutError(message, outcome=Outcome.NOT_DELIVERED) from None

    async def _started(self) -> Instance:
        instance = self._instance
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        return instance

    def exchange_stream(self, request: Envelope, seconds: float) -> Stream:
        """Read what somebody streams elsewhere for a composed request; all of it must end within so many seconds."""
        instance, caller = self._instance, self._instance.caller

        async def begin() -> StreamCall:
            self._show_observers(request)
            return caller.begin_stream(request, instance.clock.monotonic() + seconds, 0)

        return Stream(begin, lambda: caller)

    async def send(
        self, event: Envelope, data: Any = None, wait_local: bool = False, wait_for_connection: float = 0.0
    ) -> None:
        """Publish a composed event: here at once, then everywhere else."""
        instance = self._instance
        port = instance.port
        assert port is not None
        event.id = event.id or new_id()
        if not port.connected:
            await instance.await_link(event, wait_for_connection)
        handled = _Handled() if wait_local else None
        if instance.trail.room:
            instance.trail.published(event)
        here, served = self._serve(event, data, instance.local_outlet(handled.one if handled else None), handled)
        try:
            await port.publish(event, served)
        except TielineError as error:
            if here and error.outcome is Outcome.NOT_DELIVERED:
                error.outcome = Outcome.MAY_HAVE_RUN  # handlers here have it
            raise
        if handled:
            await handled.all()

    def _serve(
        self, event: Envelope, data: Any, outlet: EventOutlet, handled: _Handled | None
    ) -> tuple[int, list[str]]:
        """Deliver to subscriptions here; returns how many they are, and the groups that have their copy now."""
        instance = self._instance
        each, groups = instance.router.listeners(event.topic)
        served: list[str] = []
        for group, turn in groups.items():
            subscription = turn.pick()
            if subscription is not None:
                each.append(subscription)
                served.append(group)
        if handled:
            handled.left += len(each)
        for subscription in each:
            instance.responder.deliver(subscription, event, outlet, data)
        for subscription in instance.router.observers(event.topic):
            instance.responder.deliver(subscription, event)
        return len(each), served

    def _loop_must_turn(self) -> bool:
        """Now and then: whoever never waits, as all within a process may, would let nobody else run."""
        self._unbroken = (self._unbroken + 1) % _UNBROKEN
        return not self._unbroken

    def _crowded(self, topic: str) -> TielineError | None:
        """The refusal of responders here that have no room; None if there are none."""
        instance = self._instance
        return crowded(topic, instance.settings.retry_after) if instance.router.has_responder(topic) else None

    def _show_observers(self, request: Envelope) -> None:
        """A request is shown to observers here and elsewhere once, wherever it is answered."""
        instance = self._instance
        if instance.router.observing:
            for subscription in instance.router.observers(request.topic):
                instance.responder.deliver(subscription, request)
        if instance.port is not None and instance.port.observing:
            request.id = request.id or new_id()
            instance.port.observe(request)


def _add_key(request: Envelope, key: str) -> bool:
    """Make it a call that shares its run; such a call is idempotent."""
    request.idempotency_key = check_key(key)
    request.fingerprint = fingerprint(request.data, request.content_type)
    return True


def _gathered(answers: list[Answer]) -> Gathered:
    gathered = Gathered([], [], [])
    for responder, answer in answers:
        if isinstance(answer, TielineError):
            (gathered.missing if is_missing(answer) else gathered.errors).append(Failure(responder, answer))
            continue
        try:
            gathered.replies.append(Reply(responder, reply_value(answer)))
        except TielineError as error:
            gathered.errors.append(Failure(responder, error))
    return gathered


def _silent(gathered: Gathered) -> list[GatherResponder]:
    """Who did not tell what it was asked for."""
    return [failure.responder for failure in [*gathered.missing, *gathered.errors]]


class _Handled:
    """Counts the local handlers of one event that a publisher waits for."""

    __slots__ = ("_done", "left")

    def __init__(self) -> None:
        self.left = 1  # the publisher itself, until all are counted
        self._done = asyncio.Event()

    def one(self, delivery: Delivery | None) -> None:
        self.left -= 1
        if self.left == 0:
            self._done.set()

    async def all(self) -> None:
        self.one(None)
        await self._done.wait()
