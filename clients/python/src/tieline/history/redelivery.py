"""Delivering recorded events again, in the order in which the broker had them (SPEC.md, section 17)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

from tieline import topics
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.durable.mail import Draft, Mail
from tieline.envelope import EVENT, new_id
from tieline.errors import InvalidArgumentError, InvalidTopicError, NotFoundError, OverloadedError
from tieline.history.store import EventStore, Order, RecordedEvent, Selection, cursor_of, position_of
from tieline.history.tape import Tape

_PAGE = 64
_LEEWAY_MS = 10
"""Two clocks may be apart by this."""

_FASTEST = 1_000_000.0
_TELL_SECONDS = contract.DEFAULT_REPLAY_PROGRESS_MS / 1000
_SILENT = "system."


class Destination(Protocol):
    """Where events are delivered to: a port."""

    @property
    def tape(self) -> Tape:
        """Delivers to one group."""
        ...

    @property
    def mail(self) -> Mail:
        """Stores for all groups of a topic."""
        ...

    async def publish(self, envelope: Envelope, served: Sequence[str]) -> None:
        """Publish to everybody."""
        ...


class ReplayOrder(NamedTuple):
    """What is to be replayed, to whom, and how fast; with speed 0 as fast as it goes."""

    selection: Selection
    to_group: str
    to_topic: str
    speed: float


class Progress(NamedTuple):
    """How far a replay is.

    Attributes:
        id: of the replay; its events carry it.
        sent: events that were delivered, or stored for delivery.
        skipped: events for which nobody was there, and those that the system had published.
        total: how many there were to be, when it began.
        time: of the last one (ms since 1970); 0 at the beginning.
        done: it is over.

    """

    id: str
    sent: int
    skipped: int
    total: int
    time: int
    done: bool


def read_order(selection: Selection, to_group: object, to_topic: object, speed: object) -> ReplayOrder:
    """What is to be replayed, as it came from elsewhere.

    Raises:
        InvalidTopicError, InvalidArgumentError: it cannot be meant; the message says why.

    """
    if (to_group is None) == (to_topic is None):
        raise InvalidArgumentError("say to whom: to_group= one subscription group, or to_topic= another topic")
    group = topics.check_group(to_group) if to_group is not None else ""  # pyright: ignore[reportArgumentType]
    topic = topics.check_topic(to_topic) if to_topic is not None else ""  # pyright: ignore[reportArgumentType]
    if topic and topics.is_reserved(topic):
        raise InvalidTopicError(f"{topic!r} is published by the system only; choose another first token")
    return ReplayOrder(selection, group, topic, _check_speed(speed))


def _check_speed(speed: object) -> float:
    if speed is None:
        return 0.0
    if isinstance(speed, (int, float)) and not isinstance(speed, bool) and 0 < speed <= _FASTEST:
        return float(speed)
    raise InvalidArgumentError(f"speed is a factor above 0, or nothing for as fast as it goes, not {speed!r:.80}")


class Replayer:
    """Replays what one store has.

    Args:
        store: where history is.
        destination: tells where events go.
        clock: tells the broker's clock.

    """

    def __init__(self, store: EventStore, destination: Callable[[], Destination], clock: Callable[[], Clock]) -> None:
        self._store = store
        self._destination = destination
        self._clock = clock

    async def run(self, order: ReplayOrder) -> AsyncGenerator[Progress, None]:
        """Deliver, and say about once a second how far it is; first at once. Closing it ends it.

        What happens after its begin is no part of it.

        Raises:
            UnavailableError: the broker, or the database, is away.
            NotFoundError: nobody had the group, from the first event to the last.

        """
        clock, told = self._clock(), 0.0
        at = Progress(new_id(), 0, 0, await self._store.count(order.selection), 0, done=False)
        pace, end = _Pace(order.speed, clock), position_of(f"{clock.now() + _LEEWAY_MS}-0")
        yield at
        told, after, alone = clock.monotonic(), "", ""
        while rows := await self._page(order.selection, after, end):
            after = cursor_of(rows[-1], Order.BROKER)
            for some in _runs(rows, together=not order.speed):
                while (left := pace.left(some[0].time)) > 0:
                    await clock.sleep(min(left, _TELL_SECONDS))
                    if left > _TELL_SECONDS:
                        yield at
                        told = clock.monotonic()
                sent, alone = await self._deliver(order, at.id, some, alone)
                at = at._replace(sent=at.sent + sent, skipped=at.skipped + len(some) - sent, time=some[-1].time)
                if clock.monotonic() - told >= _TELL_SECONDS:
                    yield at
                    told = clock.monotonic()
        if alone and not at.sent:
            raise _nobody(order.to_group, alone, at.skipped)
        yield at._replace(done=True)

    async def _page(self, selection: Selection, after: str, end: int) -> list[RecordedEvent]:
        rows = await self._store.select(selection, Order.BROKER, after=after, limit=_PAGE)
        return [row for row in rows if row.position <= end]

    async def _deliver(
        self, order: ReplayOrder, replay: str, rows: Sequence[RecordedEvent], alone: str
    ) -> tuple[int, str]:
        """Deliver events of one topic; returns how many somebody gets, and the last topic whose group nobody had."""
        if rows[0].type.startswith(_SILENT):
            return 0, alone
        envelopes = [_again(row, replay, order.to_topic) for row in rows]
        if order.to_topic:
            return await self._to_topic(rows, envelopes), alone
        tape, topic = self._destination().tape, rows[0].type
        stored, at = 0, 0
        while at < len(envelopes):
            some = await tape.replay(topic, order.to_group, envelopes[at:])
            if some < 0:
                handed = [await tape.hand(order.to_group, envelope) for envelope in envelopes[at:]]
                return stored + sum(handed), alone if all(handed) else topic
            stored, at = stored + some, at + some + 1  # past one that cannot be stored
        return stored, alone

    async def _to_topic(self, rows: Sequence[RecordedEvent], envelopes: Sequence[Envelope]) -> int:
        """What was stored is stored, what was live is live again."""
        destination, drafts = self._destination(), list[Draft]()
        for row, envelope in zip(rows, envelopes, strict=True):
            if row.stream:
                priority = envelope.priority
                drafts.append(Draft(envelope.key, priority, "", 0, envelope.SerializeToString()))
            else:
                await destination.publish(envelope, ())
        if drafts:
            told = await destination.mail.append(envelopes[0].topic, drafts)
            if None in told:
                raise OverloadedError(f"{envelopes[0].topic!r} has no room for more stored events", retry_after=1.0)
        return len(rows)


def _nobody(group: str, topic: str, skipped: int) -> NotFoundError:
    return NotFoundError(
        f"nobody is in the group {group!r} of {topic!r}, so nothing was replayed and {skipped} were skipped; "
        "start its subscribers and replay again, or name another group",
        details={"group": group, "skipped": skipped},
    )


class _Pace:
    """When the next event is due: as long after the first one as it was, by this factor."""

    def __init__(self, speed: float, clock: Clock) -> None:
        self._speed = speed
        self._clock = clock
        self._first: int | None = None
        self._began = 0.0

    def left(self, time: int) -> float:
        """Seconds until an event of this time is due."""
        if not self._speed:
            return 0.0
        now = self._clock.monotonic()
        if self._first is None:
            self._first, self._began = time, now
        return self._began + (time - self._first) / 1000 / self._speed - now


def _runs(rows: Sequence[RecordedEvent], *, together: bool) -> Iterator[Sequence[RecordedEvent]]:
    """What is delivered at once: neighbours of one topic, or one by one."""
    if together:
        for _, run in groupby(rows, key=lambda row: row.type):
            yield list(run)
    else:
        for row in rows:
            yield [row]


def _again(row: RecordedEvent, replay: str, topic: str) -> Envelope:
    """The event as it was; only its expiry is forgotten."""
    return Envelope(
        id=row.id,
        kind=EVENT,  # pyright: ignore[reportArgumentType]
        topic=topic or row.type,
        source=row.source,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
        time=row.time,
        headers=row.headers,
        content_type=row.content_type,
        data=row.data,
        schema_version=row.schema_version,
        key=row.key,
        priority=row.priority,
        hops=row.hops,
        replay=replay,
    )
