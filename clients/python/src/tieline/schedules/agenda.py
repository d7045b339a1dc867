"""The seam for what is planned: events that a broker publishes or stores at a time. Rules: SPEC.md, section 15.

An event's id is that of its schedule. What is due is published once, however many schedulers ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tieline.errors import UnsupportedError

if TYPE_CHECKING:
    from tieline.cron.roster import Roster


class ScheduleStatus(StrEnum):
    """What became of a planned event."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Way(StrEnum):
    """How a planned event goes out: to who listens, or into the stream of its key, or into the lane of its priority.

    A call, which a cron task makes, is handed to the scheduler.
    """

    LIVE = "live"
    KEY = "key"
    LANE = "lane"
    CALL = "call"


class Plan(NamedTuple):
    """An event that is to be published at a time.

    Attributes:
        id: of the event, and of the schedule.
        topic: concrete topic.
        way: how it goes out.
        key: its ordering key; empty for none.
        due: when (ms since 1970, broker clock).
        priority: of those due in the same millisecond the highest goes first; also its lane.
        expires: when it is too late for it (ms since 1970); 0: never.
        attempts: to store it, if it finds no room.
        backoff: pause before the second one (ms), then twice as long each time.
        cap: at most this (ms).
        known_as: what it is recognised by when it is stored; empty for nothing.
        window: for how long (ms).
        most: bound of its stream; 0 for none.
        envelope: a serialized Envelope.

    """

    id: str
    topic: str
    way: Way
    key: str
    due: int
    priority: int
    expires: int
    attempts: int
    backoff: int
    cap: int
    known_as: str
    window: int
    most: int
    envelope: bytes


class Planned(NamedTuple):
    """A planned event as the broker tells of it; moments are ms since 1970, broker clock, and 0 for none.

    Attributes:
        id: of the event, and of the schedule.
        status: what became of it.
        due: when it is, or was, to be published.
        priority: 1 to 10.
        tries: how often storing it failed.
        created: when it was planned.
        ended: when it was published, or given up.
        why: why it was not stored: "no room" or "no stream"; empty if it was, or was not tried.
        way: how it goes out.
        envelope: a serialized Envelope.

    """

    id: str
    status: ScheduleStatus
    due: int
    priority: int
    tries: int
    created: int
    ended: int
    why: str
    way: Way
    envelope: bytes


class Firing(NamedTuple):
    """One that left the agenda: its id, what became of it, and when it was due (ms since 1970)."""

    id: str
    status: ScheduleStatus
    due: int


class Fired(NamedTuple):
    """What a look at the agenda brought.

    Attributes:
        again: when to look again, in seconds; None: when told so.
        events: what left the agenda.
        ticks: cron tasks, and when they were to be looked at (ms since 1970), of which ticks are to be fired …
        calls: … and ids of calls that are to be made, by whoever is told; if nobody does in time they are told again.

    """

    again: float | None
    events: Sequence[Firing]
    ticks: Sequence[tuple[str, int]] = ()
    calls: Sequence[str] = ()


Told = Callable[[int, str], None]
"""Told of what is due earlier than all else: when (ms since 1970), and who fires it (empty: nobody yet)."""


class Agenda(Protocol):
    """What a port offers for planned events.

    All methods raise UnavailableError while the broker is away, and UnsupportedError where nothing can be planned.
    """

    @property
    def roster(self) -> Roster:
        """Cron tasks."""
        ...

    @property
    def fires(self) -> bool:
        """Whether this process is to look for what is due; otherwise the broker does."""
        ...

    def listen(self, told: Told) -> None:
        """Be told when something is due earlier than all else."""
        ...

    async def plan(self, plan: Plan) -> None:
        """Have an event published at a time; it is planned once, also if a broken link left that in doubt."""
        ...

    async def fire(self, instance: str) -> Fired:
        """Publish what is due, if it falls to this instance. Each event goes out once."""
        ...

    async def step_down(self, instance: str) -> None:
        """Leave it to others at once."""
        ...

    async def find(self, id: str) -> Planned | None:
        """The planned event with this id."""
        ...

    async def page(self, status: ScheduleStatus, offset: int, limit: int) -> tuple[int, list[Planned]]:
        """How many have a status, and some of them: pending ones by when they are due, others the last first."""
        ...

    async def sums(self) -> dict[str, int]:
        """How many were planned ("planned"), ended with each status, and wait ("pending")."""
        ...

    async def cancel(self, id: str) -> Planned | None:
        """Have an event not published; returns what it was before: only a pending one is cancelled."""
        ...

    async def move(self, id: str, due: int, expires: int, envelope: bytes, was: ScheduleStatus) -> bool:
        """Have a pending event, or one that failed, published at another time; returns whether it was one."""
        ...


class NoAgenda:
    """`Agenda` where nothing can be planned: everything is an UnsupportedError."""

    fires = False

    def __init__(self, hint: str) -> None:
        from tieline.cron.roster import NoRoster

        self._hint = hint
        self.roster: Roster = NoRoster(hint)

    def _unsupported(self) -> UnsupportedError:
        return UnsupportedError(f"nothing can be planned here; {self._hint}")

    def listen(self, told: Told) -> None:
        """See `Agenda.listen`."""

    async def plan(self, plan: Plan) -> None:
        """See `Agenda.plan`."""
        raise self._unsupported()

    async def fire(self, instance: str) -> Fired:
        """See `Agenda.fire`."""
        raise self._unsupported()

    async def step_down(self, instance: str) -> None:
        """See `Agenda.step_down`."""

    async def find(self, id: str) -> Planned | None:
        """See `Agenda.find`."""
        raise self._unsupported()

    async def page(self, status: ScheduleStatus, offset: int, limit: int) -> tuple[int, list[Planned]]:
        """See `Agenda.page`."""
        raise self._unsupported()

    async def sums(self) -> dict[str, int]:
        """See `Agenda.sums`."""
        raise self._unsupported()

    async def cancel(self, id: str) -> Planned | None:
        """See `Agenda.cancel`."""
        raise self._unsupported()

    async def move(self, id: str, due: int, expires: int, envelope: bytes, was: ScheduleStatus) -> bool:
        """See `Agenda.move`."""
        raise self._unsupported()
