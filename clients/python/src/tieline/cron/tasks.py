"""Tasks that recur: `events.cron`. Rules: SPEC.md, section 16."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, Unpack

from tieline._contract import contract
from tieline.clock import Clock
from tieline.cron.events import changed, executed
from tieline.cron.job import CronJob, CronPage, job_of
from tieline.cron.options import CronChanges, CronOptions, changed_task
from tieline.cron.roster import Kept, Turn
from tieline.cron.runner import begun, besides, tick_of
from tieline.cron.task import CronEvent, CronTask, check_task, decode_task, encode_task
from tieline.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    OverloadedError,
)
from tieline.outgoing import Origin
from tieline.schedules.agenda import Agenda

_TRIES, _RUN_TRIES = 10, 100
_TIMES = frozenset({"expression", "zone", "start", "end", "paused", "jitter"})


class House(Origin, Protocol):
    """Where the agenda is."""

    @property
    def clock(self) -> Clock:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The broker's clock."""
        ...

    @property
    def call_ttl(self) -> int:
        """How long a call waits that says nothing of it (ms)."""
        ...

    async def find_agenda(self) -> Agenda:
        """What is planned; starts the system if need be."""
        ...


class CronTasks:
    """Looks after tasks that recur: `events.cron`.

    They are the broker's: they go on while the program that made them is away, as long as any instance runs. Its
    methods raise UnavailableError without a broker, and InvalidArgumentError for a name that is none.
    """

    def __init__(self, house: House, tell: Callable[[str, dict[str, Any]], Awaitable[None]]) -> None:
        self._house = house
        self._tell = tell

    async def create(
        self, name: str, expression: str, topic: str, data: Any = None, **options: Unpack[CronOptions]
    ) -> CronJob:
        """Have an event published, or a call made, whenever an expression says so.

        Args:
            name: letters, digits and `_ - / .`; the event of a tick has the id `<name>:<ms since 1970>`.
            expression: five fields (minute, hour, day of month, month, day of week), six with the second before them,
                "@yearly" … "@hourly", or "every 90m" (s, m, h, d).
            topic: of the events or calls.
            data: their payload.
            options: see `CronOptions`.

        Raises:
            AlreadyExistsError: there is a task of that name.
            InvalidArgumentError: something makes no sense, or no tick would ever come; `details["field"]` says what.
            InvalidTopicError, InvalidPayloadError, PayloadTooLargeError: the events would be refused.
            OverloadedError: there are 10,000 tasks.

        """
        agenda = await self._house.find_agenda()
        now = self._house.clock.now()
        given = {**options, "expression": expression, "topic": topic, "data": data}
        empty = CronTask(name, "", CronEvent(""), created=now, source=self._house.source)
        task = changed_task(empty, given, self._house, now)
        kept = await self._put(agenda, None, task, _first(task, now))
        await self._tell(contract.CRON_TASK_CREATED, dict(changed(task, kept.expected)))
        return job_of(kept)

    async def update(self, name: str, **changes: Unpack[CronChanges]) -> CronJob:
        """Change a task; what is not named stays. If its times change, the next tick is the first one from now on.

        Raises:
            NotFoundError: there is none of that name.
            InvalidArgumentError, InvalidTopicError, InvalidPayloadError, PayloadTooLargeError: as from `create`.

        """
        return await self._change(name, changes)

    async def pause(self, name: str) -> CronJob:
        """Let no tick come until `resume`; those of the meantime are not missed. Raises NotFoundError."""
        return await self._change(name, {"paused": True})

    async def resume(self, name: str) -> CronJob:
        """Let ticks come again, from now on. Raises NotFoundError."""
        return await self._change(name, {"paused": False})

    async def delete(self, name: str) -> CronJob:
        """Forget a task; what it fired before goes on. Returns what it was. Raises NotFoundError."""
        kept = await (await self._house.find_agenda()).roster.drop(_check_name(name))
        if kept is None:
            raise _unknown(name)
        await self._tell(contract.CRON_TASK_DELETED, dict(changed(decode_task(kept.task), None)))
        return job_of(kept)

    async def get(self, name: str) -> CronJob:
        """A task, with its next tick and its last run. Raises NotFoundError."""
        return job_of(await _find(await self._house.find_agenda(), name))

    async def list(self, *, page: int = 1, limit: int = contract.DEFAULT_PAGE) -> CronPage:
        """A page of all tasks, in the order of their names; one beyond the end is empty.

        Raises:
            InvalidArgumentError: there is no such page or limit.

        """
        _check_whole("page", page, 1_000_000_000)
        _check_whole("limit", limit, contract.LIMIT_PAGE)
        agenda = await self._house.find_agenda()
        total, found = await agenda.roster.page((page - 1) * limit, limit)
        return CronPage([job_of(kept) for kept in found], total, page, limit)

    async def run_now(self, name: str) -> str:
        """Run a task besides its ticks, also if it is paused; returns the id of the event, which no other run has.

        Raises NotFoundError.
        """
        agenda = await self._house.find_agenda()
        for _ in range(_RUN_TRIES):
            kept = await _find(agenda, name)
            task, now = decode_task(kept.task), self._house.clock.now()
            moment = besides(task, kept, now)
            tick = tick_of(task, moment, now, self._house.call_ttl)
            run = begun(task, moment, now).SerializeToString()
            if await agenda.roster.turn(name, Turn(kept.version, None, None, 0, moment, run, [tick])):
                await self._tell(*executed(task, moment))
                return tick.id
        raise _busy(name)

    async def _change(self, name: str, changes: Mapping[str, Any]) -> CronJob:
        agenda = await self._house.find_agenda()
        for _ in range(_TRIES):
            kept = await _find(agenda, name)
            now = self._house.clock.now()
            task = changed_task(decode_task(kept.task), changes, self._house, now)
            expected = _first(task, now) if changes.keys() & _TIMES else kept.expected
            if (now_kept := await self._put_known(agenda, kept, task, expected)) is not None:
                await self._tell(contract.CRON_TASK_UPDATED, dict(changed(task, expected)))
                return job_of(now_kept)
        raise _busy(name)

    async def _put(self, agenda: Agenda, kept: Kept | None, task: CronTask, expected: int | None) -> Kept:
        found = await self._put_known(agenda, kept, task, expected)
        if found is None:
            raise AlreadyExistsError(f"there is a cron task {task.name!r}; update it, or delete it first")
        return found

    async def _put_known(self, agenda: Agenda, kept: Kept | None, task: CronTask, expected: int | None) -> Kept | None:
        """Keep a task; None if it is there with another version."""
        serialized, known = encode_task(task), kept.version if kept else 0
        fire_at = 0 if expected is None else task.fire_time(expected)
        version = await agenda.roster.put(task.name, known, serialized, expected, fire_at)
        if version < 0:
            most = contract.LIMIT_CRON_TASKS
            raise OverloadedError(f"there are {most:,} cron tasks, and no more may be; delete some first")
        runs, run = (kept.runs, kept.run) if kept else (0, b"")
        return Kept(task.name, version, serialized, expected, runs, run) if version else None


def _first(task: CronTask, now: int) -> int | None:
    """Its first tick from now on.

    Raises:
        InvalidArgumentError: the task makes no sense, or is over before it begins.

    """
    check_task(task)
    expected = task.tick_after(now)
    if expected is None and not task.paused:
        rule = "has passed, or comes before the next tick"
        raise InvalidArgumentError(f"end of a cron task {rule}", details={"field": "end"})
    return expected


async def _find(agenda: Agenda, name: str) -> Kept:
    kept = await agenda.roster.find(_check_name(name))
    if kept is None:
        raise _unknown(name)
    return kept


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"the name of a cron task is text, not {name!r:.80}", details={"field": "name"})
    return name


def _check_whole(name: str, given: object, most: int) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most:
        raise InvalidArgumentError(f"{name} is a whole number from 1 to {most}, not {given!r:.80}")


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no cron task {name!r:.80}")


def _busy(name: str) -> ConflictError:
    return ConflictError(f"the cron task {name!r} is being changed by others all the time; try again")
