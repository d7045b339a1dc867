"""What is planned, and what became of it: `events.schedules`. Rules: SPEC.md, section 15."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Protocol

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.context import Event
from tieline.errors import ConflictError, InvalidArgumentError, NotFoundError
from tieline.figures.tally import Tally
from tieline.schedules.agenda import Agenda, Planned, ScheduleStatus, Way
from tieline.schedules.planner import When, put_off

_WHY = {
    "no room": "its key or lane holds as many events as it may",
    "no stream": "the broker has something under the name of its stream that is no stream",
}


class House(Protocol):
    """Where the agenda is."""

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    async def find_agenda(self) -> Agenda:
        """What is planned; starts the system if need be."""
        ...

    @property
    def tally(self) -> Tally:
        """Counts what is cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """A planned event.

    Attributes:
        id: of the schedule, and of the event.
        status: pending, delivered, failed, expired or cancelled. Delivered: published, or stored.
        due: when it is, or was, to be published; of one that is tried again, when that is.
        topic: of the event.
        key: its ordering key; empty for none.
        durable: whether it is stored for durable subscriptions.
        priority: 1 low, 5 normal, 8 high, 10 critical.
        attempts: how often storing it failed.
        created: when it was planned.
        ended: when it was published, or given up; None while it is pending.
        error: why it could not be stored the last time; empty if it could, or was not tried.
        event: the event itself.

    """

    id: str
    status: ScheduleStatus
    due: datetime
    topic: str
    key: str
    durable: bool
    priority: int
    attempts: int
    created: datetime
    ended: datetime | None
    error: str
    event: Event


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """Some schedules with one status.

    Attributes:
        items: pending ones by when they are due, others the last first.
        total: how many there are in all.
        page: number of this one, from 1.
        limit: how many a page has.

    """

    items: list[Schedule]
    total: int
    page: int
    limit: int


@dataclass(frozen=True, slots=True)
class ScheduleFigures:
    """How many events were planned, and what became of them, for as long as the broker remembers.

    Attributes:
        planned: in all.
        pending: that wait now.
        delivered, failed, expired, cancelled: that ended so; what failed and is tried anew counts as pending again.

    """

    planned: int = 0
    pending: int = 0
    delivered: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0


class Schedules:
    """Looks after planned events: `events.schedules`. Its methods raise UnavailableError without a broker.

    What has ended is remembered for 24 hours, the last 10,000 with each status.
    """

    def __init__(self, house: House) -> None:
        self._house = house

    async def get(self, id: str) -> Schedule:
        """The schedule with the id that a receipt told.

        Raises:
            NotFoundError: there is none, or it ended too long ago.

        """
        agenda = await self._house.find_agenda()
        return self._read(await _find(agenda, id))

    async def list(self, status: ScheduleStatus | str = "pending", *, page: int = 1, limit: int = 50) -> SchedulePage:
        """A page of those with a status; one beyond the end is empty.

        Args:
            status: pending, delivered, failed, expired or cancelled.
            page: its number, from 1.
            limit: schedules a page, up to 1,000.

        Raises:
            InvalidArgumentError: there is no such status, page or limit.

        """
        wanted = _check_status(status)
        _check_whole("page", page, 1_000_000_000)
        _check_whole("limit", limit, contract.LIMIT_PAGE)
        agenda = await self._house.find_agenda()
        total, found = await agenda.page(wanted, (page - 1) * limit, limit)
        return SchedulePage([self._read(each) for each in found], total, page, limit)

    async def figures(self) -> ScheduleFigures:
        """How many were planned, wait, and ended with each status."""
        sums = await (await self._house.find_agenda()).sums()
        return ScheduleFigures(**{each.name: sums.get(each.name, 0) for each in fields(ScheduleFigures)})

    async def cancel(self, id: str) -> Schedule:
        """Have an event not published; one that was cancelled before stays so.

        Raises:
            NotFoundError: there is none, or it ended too long ago.
            ConflictError: it was published before, or given up.

        """
        agenda = await self._house.find_agenda()
        was = await agenda.cancel(_check_id(id))
        if was is None:
            raise _unknown(id)
        if was.status not in (ScheduleStatus.PENDING, ScheduleStatus.CANCELLED):
            raise _too_late(was, "cancelled")
        if was.status is ScheduleStatus.PENDING:
            self._house.tally.count("schedules_cancelled")
        return self._read(await _find(agenda, id))

    async def reschedule(self, id: str, *, delay: float | None = None, at: datetime | None = None) -> Schedule:
        """Have a pending event published at another time; a moment in the past is now.

        Args:
            id: of the schedule.
            delay: seconds from now; or
            at: a datetime with a time zone.

        Raises:
            NotFoundError: there is none, or it ended too long ago.
            ConflictError: it was published before, or given up.
            InvalidArgumentError: the time cannot be meant.

        """
        return await self._move(id, When(delay, at), ScheduleStatus.PENDING)

    async def retry(self, id: str, *, delay: float | None = None, at: datetime | None = None) -> Schedule:
        """Plan an event anew that could not be stored: for now, unless told.

        Raises:
            NotFoundError: there is none, or it ended too long ago.
            ConflictError: it did not fail.
            InvalidArgumentError: the time cannot be meant.

        """
        when = When(0.0, None) if delay is None and at is None else When(delay, at)
        return await self._move(id, when, ScheduleStatus.FAILED)

    async def _move(self, id: str, when: When, was: ScheduleStatus) -> Schedule:
        when.due(self._house.clock.now())
        agenda = await self._house.find_agenda()
        planned = await _find(agenda, id)
        now = self._house.clock.now()
        due = max(now, when.due(now))
        event = Envelope.FromString(planned.envelope)
        put_off(event, due, event.ttl_ms)
        expires = 0 if planned.way is Way.CALL else event.expires_at  # a call's TTL begins with each try
        envelope = event.SerializeToString()
        if not await agenda.move(id, due, expires, envelope, was):
            raise _too_late(await _find(agenda, id), "rescheduled" if was is ScheduleStatus.PENDING else "retried")
        moved = planned._replace(due=due, status=ScheduleStatus.PENDING, tries=0, ended=0, why="", envelope=envelope)
        return self._read(await agenda.find(id) or moved)  # what a cron task planned is forgotten when it went out

    def _read(self, planned: Planned) -> Schedule:
        envelope = Envelope.FromString(planned.envelope)
        return Schedule(
            id=planned.id,
            status=planned.status,
            due=_moment(planned.due),
            topic=envelope.topic,
            key=envelope.key,
            durable=planned.way in (Way.KEY, Way.LANE),
            priority=planned.priority,
            attempts=planned.tries,
            created=_moment(planned.created),
            ended=_moment(planned.ended) if planned.ended else None,
            error=_WHY.get(planned.why, planned.why),
            event=Event(envelope, self._house.clock),
        )


async def _find(agenda: Agenda, id: str) -> Planned:
    planned = await agenda.find(_check_id(id))
    if planned is None:
        raise _unknown(id)
    return planned


def _unknown(id: str) -> NotFoundError:
    return NotFoundError(f"there is no schedule {id!r:.80}; what has ended is remembered for a day")


def _too_late(planned: Planned, what: str) -> ConflictError:
    ended = f" at {_moment(planned.ended).isoformat()}" if planned.ended else ""
    return ConflictError(f"the schedule {planned.id} is {planned.status.value}{ended}, so it cannot be {what}")


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _check_id(id: str) -> str:
    if not isinstance(id, str) or not 0 < len(id) <= contract.LIMIT_KEY_BYTES:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"the id of a schedule is text, as a receipt tells it, not {id!r:.80}")
    return id


def _check_status(status: str) -> ScheduleStatus:
    try:
        return ScheduleStatus(status)
    except ValueError:
        names = ", ".join(each.value for each in ScheduleStatus)
        raise InvalidArgumentError(f"status is one of {names}, not {status!r:.80}") from None


def _check_whole(name: str, given: object, most: int) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most:
        raise InvalidArgumentError(f"{name} is a whole number from 1 to {most}, not {given!r:.80}")
