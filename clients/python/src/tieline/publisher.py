"""The way of an event out, top to bottom: compose, serve locally, hand the rest to the broker."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Mapping
from typing import Any, NamedTuple

from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import EVENT, new_id
from tieline.errors import Outcome, TielineError
from tieline.event_outlet import EventOutlet
from tieline.handled import Handled
from tieline.instance import Instance
from tieline.outgoing import check_wait, compose, ttl_ms
from tieline.turns import Turns


class Receipt(NamedTuple):
    """What a publish returns: the event's id, and the name of the chain it belongs to."""

    id: str
    correlation_id: str


class Publisher:
    """Publishes events for one instance, without middleware."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._turns = Turns()

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
        if wait_for_connection:
            check_wait(wait_for_connection, "wait_for_connection")
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        milliseconds = ttl_ms(ttl, instance.settings.event_ttl)
        event = compose(
            EVENT, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id, by_system
        )
        await self.send(event, data, wait_local, wait_for_connection)
        if self._turns.due():
            await asyncio.sleep(0)
        return Receipt(event.id, event.correlation_id or event.id)

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
        handled = Handled() if wait_local else None
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

    def _serve(self, event: Envelope, data: Any, outlet: EventOutlet, handled: Handled | None) -> tuple[int, list[str]]:
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
            handled.expect(len(each))
        for subscription in each:
            instance.responder.deliver(subscription, event, outlet, data)
        for subscription in instance.router.observers(event.topic):
            instance.responder.deliver(subscription, event)
        return len(each), served
