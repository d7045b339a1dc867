"""The seam for cron tasks: what a broker keeps of them, and how their ticks become events. SPEC.md, section 16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tieline.errors import UnsupportedError
from tieline.schedules.agenda import ScheduleStatus, Way


class Kept(NamedTuple):
    """A cron task as the broker keeps it.

    Attributes:
        name: names it.
        version: changes with each change of the task.
        task: a serialized CronTask.
        expected: its next tick (ms since 1970); None: there is none.
        runs: how many there were.
        run: a serialized CronRun, the last one; empty if there was none.

    """

    name: str
    version: int
    task: bytes
    expected: int | None
    runs: int
    run: bytes


class Tick(NamedTuple):
    """What a tick does: an event that is due, or a call that is to be made.

    Attributes:
        id: of the event.
        topic: concrete topic.
        way: how the event goes out, or `Way.CALL`.
        key: its ordering key; empty for none.
        due: when it goes out at the earliest (ms since 1970).
        priority: as of a planned event.
        expires: when it is too late for it (ms since 1970); 0: never.
        attempts: to store it, or to make the call.
        backoff: pause between two of them (ms).
        lease: how long a call may take (ms); 0 for an event.
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
    lease: int
    envelope: bytes


class Turn(NamedTuple):
    """A step from one tick of a task to another.

    Attributes:
        version: of the task.
        expected: the tick that must be next (ms since 1970); None: a run besides the ticks, and what is next stays. It
            must be later than all runs that there were.
        following: the tick that is next then; None: there is none.
        fire_at: when that is fired.
        ran: the last of the ticks that run now; None: none does.
        run: a serialized CronRun of it.
        ticks: what they do.

    """

    version: int
    expected: int | None
    following: int | None
    fire_at: int
    ran: int | None
    run: bytes
    ticks: Sequence[Tick]


class Roster(Protocol):
    """What a broker keeps of cron tasks.

    All methods raise UnavailableError while the broker is away, and UnsupportedError where nothing can be planned.
    """

    async def put(self, name: str, version: int, task: bytes, expected: int | None, fire_at: int) -> int:
        """Keep a task: a new one (version 0), or one of which the version is known.

        Returns its version now; 0 if it has another one, or is there, or is not; -1 if there are too many.
        """
        ...

    async def drop(self, name: str) -> Kept | None:
        """Forget a task; returns what there was."""
        ...

    async def find(self, name: str) -> Kept | None:
        """The task of that name."""
        ...

    async def page(self, offset: int, limit: int) -> tuple[int, list[Kept]]:
        """How many there are, and some of them in the order of their names."""
        ...

    async def turn(self, name: str, turn: Turn) -> bool:
        """Go on to the next tick, once whoever asks; False: somebody else did, or the task was changed."""
        ...

    async def end_call(self, id: str, name: str, tries: int, why: str, tick: int, run: bytes) -> ScheduleStatus | None:
        """Say what became of a call that had been tried so often before; `why` it failed is empty if it did not.

        Returns delivered, failed, or pending if it is to be tried again; None: somebody else said so before.
        """
        ...


class NoRoster:
    """`Roster` where nothing can be planned: everything is an UnsupportedError."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def _unsupported(self) -> UnsupportedError:
        return UnsupportedError(f"there are no cron tasks here; {self._hint}")

    async def put(self, name: str, version: int, task: bytes, expected: int | None, fire_at: int) -> int:
        """See `Roster.put`."""
        raise self._unsupported()

    async def drop(self, name: str) -> Kept | None:
        """See `Roster.drop`."""
        raise self._unsupported()

    async def find(self, name: str) -> Kept | None:
        """See `Roster.find`."""
        raise self._unsupported()

    async def page(self, offset: int, limit: int) -> tuple[int, list[Kept]]:
        """See `Roster.page`."""
        raise self._unsupported()

    async def turn(self, name: str, turn: Turn) -> bool:
        """See `Roster.turn`."""
        raise self._unsupported()

    async def end_call(self, id: str, name: str, tries: int, why: str, tick: int, run: bytes) -> ScheduleStatus | None:
        """See `Roster.end_call`."""
        raise self._unsupported()
