"""Cron tasks through a gateway: `Roster` asks over the Link, and the gateway fires (SPEC.md, sections 8 and 16)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from tieline._contract import agenda_pb2 as wire
from tieline.cron.roster import Kept, Turn
from tieline.errors import UnsupportedError
from tieline.schedules.agenda import ScheduleStatus


class Ask(Protocol):
    """Asks the gateway; raises the error it said, or UnavailableError."""

    def __call__(self, **ask: Any) -> Awaitable[wire.AgendaResponse]:
        """Ask one thing."""
        ...


class GrpcRoster:
    """The cron tasks at the broker of a gateway."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def put(self, name: str, version: int, task: bytes, expected: int | None, fire_at: int) -> int:
        """See `Roster.put`; the gateway knows when the tick is fired."""
        return (await self._ask(put_task=wire.PutTask(version=version, task=task, expected=expected or 0))).version

    async def drop(self, name: str) -> Kept | None:
        """See `Roster.drop`."""
        return _only(await self._ask(drop_task=wire.DropTask(name=name)))

    async def find(self, name: str) -> Kept | None:
        """See `Roster.find`."""
        return _only(await self._ask(find_task=wire.FindTask(name=name)))

    async def page(self, offset: int, limit: int) -> tuple[int, list[Kept]]:
        """See `Roster.page`."""
        answer = await self._ask(list_tasks=wire.ListTasks(offset=offset, limit=limit))
        return answer.total, [_kept(one) for one in answer.tasks]

    async def turn(self, name: str, turn: Turn) -> bool:
        """See `Roster.turn`; a run besides the ticks is made by the gateway, as all ticks are."""
        if turn.expected is not None or turn.ran is None:
            raise _not_here()
        return (await self._ask(run_task=wire.RunTask(name=name, version=turn.version, tick=turn.ran))).yes

    async def end_call(self, id: str, name: str, tries: int, why: str, tick: int, run: bytes) -> ScheduleStatus | None:
        """See `Roster.end_call`; the gateway makes the calls."""
        raise _not_here()


def _not_here() -> UnsupportedError:
    return UnsupportedError("the gateway fires the ticks of cron tasks")


def _only(answer: wire.AgendaResponse) -> Kept | None:
    return _kept(answer.tasks[0]) if answer.tasks else None


def _kept(one: wire.KeptTask) -> Kept:
    return Kept(one.name, one.version, one.task, one.expected or None, one.runs, one.run)
