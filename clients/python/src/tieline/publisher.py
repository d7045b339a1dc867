"""The way of an event out, top to bottom: compose, serve locally, hand the rest to the broker."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.durable.mail import Draft, NoStream, Stored, no_stream
from tieline.envelope import EVENT, new_id
from tieline.errors import InvalidArgumentError, Outcome, OverloadedError, PayloadTooLargeError, TielineError
from tieline.event_outlet import EventOutlet
from tieline.handled import Handled
from tieline.instance import Instance
from tieline.outbox.outbox import Outbox
from tieline.outgoing import check_key, check_wait, compose, ttl_ms
from tieline.turns import Turns


class Receipt(NamedTuple):
    """What a publish returns: the event's id, and the name of the chain it belongs to.

    `stored` says where a durable event is; None for a live one, and for one that is `queued`: it is on this machine's
    disk, in the outbox, and on its way to the broker. `due` says when a planned event is published, and `overdue` that
    this was to be in the past, so that it is published now; its id is that of its schedule (`events.schedules`).
    """

    id: str
    correlation_id: str
    stored: Stored | None = None
    queued: bool = False
    due: datetime | None = None
    overdue: bool = False


class Durable(NamedTuple):
    """How an event is to be stored.

    Attributes:
        key: its ordering key; None for none.
        priority: of an event without key.
        dedupe: an id under which it is recognised within the window; None for none.
        most: bound of its stream; 0 for none.
        replicas: how many replicas must have it.
        window: for how long it is recognised (ms).

    """

    key: str | None
    priority: int
    dedupe: str | None
    most: int
    replicas: int = 0
    window: int = contract.DEFAULT_DEDUPE_MS


class Piece(NamedTuple):
    """One of many events that are stored together."""

    data: Any
    headers: Mapping[str, str] | None
    durable: Durable


class Publisher:
    """Publishes events for one instance, without middleware."""

    def __init__(self, instance: Instance, outbox: Outbox | None = None) -> None:
        self._instance = instance
        self._outbox = outbox
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
        await self.send(event, data, wait_local, wait_for_connection, by_system)
        if self._turns.due():
            await asyncio.sleep(0)
        return Receipt(event.id, event.correlation_id or event.id)

    async def store(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        durable: Durable,
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_for_connection: float = 0.0,
    ) -> Receipt:
        """See `EventSystem.publish`: with `key` or `durable`."""
        instance = self._instance
        check_durable(durable)
        if wait_for_connection:
            check_wait(wait_for_connection, "wait_for_connection")
        rest = (ttl, content_type, schema_version, correlation_id)
        if self._outbox is not None:
            if durable.replicas:
                raise InvalidArgumentError("wait_replicas= waits for Redis, and with an outbox a publish does not")
            (receipt,) = await self._queue(self._outbox, topic, [Piece(data, headers, durable)], *rest)
            return receipt
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        event = self.durable_event(topic, data, headers, durable, *rest)
        stored = await self.keep(event, durable, wait_for_connection)
        return Receipt(event.id, event.correlation_id or event.id, stored)

    async def keep(self, event: Envelope, durable: Durable, wait_for_connection: float = 0.0) -> Stored:
        """Store a composed event."""
        instance = self._instance
        port = instance.port
        assert port is not None
        if not port.connected:
            await instance.link.wait(event, wait_for_connection)
        steps, drafts = instance.steps, (draft_of(event, durable),)
        began = instance.clock.monotonic() if steps.wanted else None
        if durable.replicas:
            (stored,) = await port.mail.append_to_replicas(event.topic, drafts, durable.replicas, most=durable.most)
        else:
            (stored,) = await port.mail.append(event.topic, drafts, most=durable.most)
        if not isinstance(stored, Stored):
            raise not_stored(stored, no_room(event.topic, durable.key, instance.settings.retry_after))
        self._count(event.topic, stored)
        if began is not None:
            steps.stored(event, stored, began)
        return stored

    async def store_together(
        self,
        topic: str,
        pieces: Sequence[Piece],
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_for_connection: float = 0.0,
    ) -> list[Receipt]:
        """See `EventSystem.publish_many`."""
        instance = self._instance
        if wait_for_connection:
            check_wait(wait_for_connection, "wait_for_connection")
        for piece in pieces:
            check_durable(piece.durable)
        rest = (ttl, content_type, schema_version, correlation_id)
        if not pieces:
            return []
        if self._outbox is not None:
            return await self._queue(self._outbox, topic, pieces, *rest)
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        events = [self.durable_event(topic, data, headers, durable, *rest) for data, headers, durable in pieces]
        places = await self.keep_together(events, [piece.durable for piece in pieces], wait_for_connection)
        return [
            Receipt(event.id, event.correlation_id or event.id, place)
            for event, place in zip(events, places, strict=True)
        ]

    async def keep_together(
        self, events: Sequence[Envelope], durable: Sequence[Durable], wait_for_connection: float = 0.0
    ) -> list[Stored]:
        """Store composed events of one topic: all of them, or none."""
        instance = self._instance
        port = instance.port
        assert port is not None
        topic = events[0].topic
        drafts = [draft_of(event, one) for event, one in zip(events, durable, strict=True)]
        check_size(drafts)
        if not port.connected:
            await instance.link.wait(events[0], wait_for_connection)
        began = instance.clock.monotonic()
        places: list[Stored] = []
        for place in await port.mail.append(topic, drafts, together=True, most=durable[0].most):
            if not isinstance(place, Stored):
                raise not_stored(place, no_room_together(topic, len(events), instance.settings.retry_after))
            places.append(place)
        for event, place in zip(events, places, strict=True):
            self._count(topic, place)
            if instance.steps.wanted:
                instance.steps.stored(event, place, began)
        return places

    def _count(self, topic: str, place: Stored) -> None:
        tally = self._instance.tally
        if place.duplicate:
            tally.count("events_deduplicated")
        else:
            tally.durable(topic).published += 1

    async def _queue(
        self,
        outbox: Outbox,
        topic: str,
        pieces: Sequence[Piece],
        ttl: float | None,
        content_type: str,
        schema_version: str,
        correlation_id: str,
    ) -> list[Receipt]:
        """Keep events in the outbox; the broker need not be there."""
        instance = self._instance
        gone = instance.closed and instance.port is None  # handlers that end while it closes may still publish
        if gone or (instance.loop is not None and instance.loop is not get_running_loop()):
            await instance.start()  # says what is wrong, or begins anew
        rest = (ttl, content_type, schema_version, correlation_id)
        events = [self.durable_event(topic, data, headers, durable, *rest) for data, headers, durable in pieces]
        drafts = [draft_of(event, piece.durable) for event, piece in zip(events, pieces, strict=True)]
        known = [
            draft._replace(known_as=draft.known_as or event.id) for event, draft in zip(events, drafts, strict=True)
        ]
        check_size(known)
        await outbox.put(topic, known, pieces[0].durable.most, together=len(pieces) > 1)
        instance.tally.durable(topic).published += len(events)
        for event in events:
            if instance.trail.room:
                instance.trail.published(event)
        return [Receipt(event.id, event.correlation_id or event.id, None, True) for event in events]

    def durable_event(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        durable: Durable,
        ttl: float | None,
        content_type: str,
        schema_version: str,
        correlation_id: str,
    ) -> Envelope:
        """Compose an event that is to be stored; without a ttl it never expires."""
        milliseconds = 0 if ttl is None else ttl_ms(ttl, 0)
        instance = self._instance
        event = compose(
            EVENT, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id
        )
        event.id = new_id()
        if durable.key is not None:
            event.key = durable.key
        event.priority = durable.priority
        return event

    async def send(
        self,
        event: Envelope,
        data: Any = None,
        wait_local: bool = False,
        wait_for_connection: float = 0.0,
        by_system: bool = False,
    ) -> None:
        """Publish a composed event: here at once, then everywhere else. What the system says is no step of a chain."""
        instance = self._instance
        port = instance.port
        assert port is not None
        event.id = event.id or new_id()
        if not port.connected:
            await instance.link.wait(event, wait_for_connection)
        handled = Handled() if wait_local else None
        if not by_system:
            instance.tally.live(event.topic).published += 1
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


_MOST_REPLICAS = 100

PRIORITIES = (
    contract.PRIORITY_LOW,
    contract.PRIORITY_NORMAL,
    contract.PRIORITY_HIGH,
    contract.PRIORITY_CRITICAL,
)


def check_durable(durable: Durable) -> None:
    """Refuse what an event cannot be stored by.

    Raises:
        InvalidArgumentError: the key, the priority, the id or the bound is none.

    """
    key, priority, dedupe, most, replicas, _ = durable
    if key is not None:
        check_key(key, "key")
    if dedupe is not None:
        check_key(dedupe, "dedupe")
    if type(most) is type(replicas) is int and not (most or replicas) and priority == contract.PRIORITY_NORMAL:
        return  # as nearly always
    if isinstance(priority, bool) or priority not in PRIORITIES:
        raise InvalidArgumentError(f"priority is 1 (low), 5 (normal), 8 (high) or 10 (critical), not {priority!r:.80}")
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"max_stored is a whole number of events, 0 for no bound, not {most!r:.80}")
    if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= _MOST_REPLICAS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"wait_replicas is a whole number up to {_MOST_REPLICAS}, not {replicas!r:.80}")


def draft_of(event: Envelope, durable: Durable) -> Draft:
    """An event, ready to be stored."""
    key, priority, known_as, _, _, window = durable
    return Draft(key or "", priority, known_as or "", window if known_as else 0, event.SerializeToString())


def check_size(drafts: Sequence[Draft]) -> None:
    """Refuse what is too much for one message.

    Raises:
        PayloadTooLargeError: it is.

    """
    size, most = sum(draft.size for draft in drafts), contract.LIMIT_APPEND_BYTES
    if size > most:
        raise PayloadTooLargeError(
            f"{len(drafts)} events of {size} bytes: at most {most} at once; publish them in parts"
        )


def not_stored(appended: NoStream | None, full: TielineError) -> TielineError:
    """What its publisher is told of an event that was not stored; `full`: if there was no room."""
    return full if appended is None else no_stream(appended.stream)


def no_room_together(topic: str, count: int, retry_after: float) -> TielineError:
    """What a publisher is told if one of the events that are to be stored together finds no room."""
    return OverloadedError(
        f"a key or lane of {topic!r} has no room for its part of these {count} events, so none of them was stored",
        retry_after=retry_after,
    )


def no_room(topic: str, key: str | None, retry_after: float) -> TielineError:
    """What a publisher is told whose event finds no room."""
    which = f"key {key!r} of {topic!r}" if key else f"the lane of {topic!r}"
    return OverloadedError(
        f"{which} holds as many events as it may: nobody subscribes to them, or handling them takes longer",
        retry_after=retry_after,
    )
