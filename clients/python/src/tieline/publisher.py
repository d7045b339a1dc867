"""The way out, top to bottom: compose, serve locally, hand the rest to the broker, decode the reply."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, get_running_loop
from collections.abc import Mapping
from typing import Any, NamedTuple

from tieline._contract.envelope_pb2 import Envelope
from tieline.caller import reply_value
from tieline.calls import is_refusal
from tieline.delivery import Delivery, crowded
from tieline.envelope import EVENT, REQUEST, new_id
from tieline.errors import Outcome, TielineError
from tieline.instance import Instance
from tieline.outgoing import compose, ttl_ms
from tieline.responder import EventOutlet

_UNBROKEN = 128


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

    async def call(
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
    ) -> Any:
        """See `EventSystem.publish_and_wait`."""
        instance = self._instance
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        milliseconds = self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)
        request = compose(
            REQUEST, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id
        )
        if instance.router.observing or instance.port.observing:  # pyright: ignore[reportOptionalMemberAccess]
            self._show_observers(request)
        subscription = instance.router.responder(topic)
        if subscription is not None:
            local = instance.caller.begin_local(subscription, request, data)
            try:
                if local.future is not None:
                    await local.future
                elif self._loop_must_turn():
                    await asyncio.sleep(0)
                return local.result()
            except TielineError as error:
                if not is_refusal(error):
                    error.idempotent = idempotent
                    raise
                refusal, deadline = error, local.deadline
            finally:
                instance.caller.end_local(local)
        else:
            refusal, deadline = self._crowded(topic), 0.0
        call = instance.caller.begin(request, idempotent, wait_for_responders, wait_for_connection, refusal, deadline)
        del request, data  # a call that waits should not hold what it no longer needs
        try:
            return reply_value(await call.waiter)
        except CancelledError:
            instance.caller.abandon(call)
            raise

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
            instance.responder.deliver(subscription, event, outlet)
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


class _Handled:
    """Counts the local handlers of one event that a publisher waits for."""

    __slots__ = ("_done", "left")

    def __init__(self) -> None:
        self.left = 1  # the publisher itself, until all are counted
        self._done = asyncio.Event()

    def one(self, delivery: Delivery | None) -> None:
        if delivery is None or not delivery.subscription.observe:
            self.left -= 1
            if self.left == 0:
                self._done.set()

    async def all(self) -> None:
        self.one(None)
        await self._done.wait()
