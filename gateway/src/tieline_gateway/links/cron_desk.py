"""Cron tasks of one Link: what its client asks of them, asked of the port's roster. Rules: SPEC.md, section 16.

The gateway's own instance fires them, so what is to be fired is checked here, and says who made it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tieline._contract import agenda_pb2 as wire
from tieline.clock import Clock
from tieline.cron.roster import Kept, Roster, Turn
from tieline.cron.runner import begun, besides, tick_of
from tieline.cron.task import decode_task
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Action
from tieline_gateway.links import cron_door, schedule_door
from tieline_gateway.links.door import Door
from tieline_gateway.links.downlink import Downlink
from tieline_gateway.links.parts import Answer

_AT_ONCE = 20

Told = Answer[wire.AgendaResponse]


def cron_asks(
    roster: Roster, clock: Clock, door: Door, down: Downlink
) -> dict[str | None, Callable[[Any, Told], Awaitable[None]]]:
    """What answers the asks about cron tasks, by their names."""
    desk = _CronDesk(roster, clock, door, down)
    return {
        "put_task": desk.put,
        "drop_task": desk.drop,
        "find_task": desk.find,
        "list_tasks": desk.list,
        "run_task": desk.run,
    }


class _CronDesk:
    """Answers one client."""

    def __init__(self, roster: Roster, clock: Clock, door: Door, down: Downlink) -> None:
        self._roster = roster
        self._clock = clock
        self._door = door
        self._down = down

    async def put(self, ask: wire.PutTask, answer: Told) -> None:
        given = cron_door.read(ask.task)
        name = given.name
        self._check(given.action.topic)
        kept = await self._find(name) if ask.version else None
        if ask.version and (kept is None or kept.version != ask.version):
            return
        source = decode_task(kept.task).source if kept else self._door.source
        task, serialized = cron_door.task(ask.task, source)
        expected = cron_door.expected(task, ask.expected, kept, self._clock.now())
        fire_at = 0 if expected is None else task.fire_time(expected)
        answer.message.version = await self._roster.put(name, ask.version, serialized, expected, fire_at)

    async def drop(self, ask: wire.DropTask, answer: Told) -> None:
        name = cron_door.name(ask.name)
        if self._door.principal.restricted:
            await self._find(name)
        _tell(answer, await self._roster.drop(name))

    async def find(self, ask: wire.FindTask, answer: Told) -> None:
        _tell(answer, await self._find(cron_door.name(ask.name)))

    async def _find(self, name: str) -> Kept | None:
        """The task of this name, if the client may look after it."""
        kept = await self._roster.find(name)
        if kept is not None:
            rights.check_task(self._door.principal, decode_task(kept.task).action.topic, name)
        return kept

    def _check(self, topic: str) -> None:
        self._door.principal.check(Action.ADMIN, topic)

    def _may_see(self, kept: Kept) -> bool:
        principal = self._door.principal
        return not principal.restricted or principal.may(Action.ADMIN, decode_task(kept.task).action.topic)

    async def list(self, ask: wire.ListTasks, answer: Told) -> None:
        offset, left, total = ask.offset, schedule_door.limit(ask.limit), 0
        while left > 0:
            await self._down.outbox.room()
            total, page = await self._roster.page(offset, min(left, _AT_ONCE))
            for kept in filter(self._may_see, page):
                await answer.grow(len(kept.task) + len(kept.run))
                answer.message.tasks.append(_to_wire(kept))
            if len(page) < min(left, _AT_ONCE):
                break
            left, offset = left - len(page), offset + len(page)
        answer.message.total = total if rights.may_count(self._door.principal) else 0

    async def run(self, ask: wire.RunTask, answer: Told) -> None:
        kept, now = await self._find(cron_door.name(ask.name)), self._clock.now()
        task = decode_task(kept.task) if kept is not None else None
        if kept is None or task is None or ask.tick != besides(task, kept, now):
            cron_door.moment(ask.tick, now)
        if kept is not None and task is not None and kept.version == ask.version:
            tick = ask.tick
            run = begun(task, tick, now).SerializeToString()
            ticks = [tick_of(task, tick, now, cron_door.CALL_TTL_MS)]
            turn = Turn(kept.version, None, None, 0, tick, run, ticks)
            answer.message.yes = await self._roster.turn(task.name, turn)


def _tell(answer: Told, kept: Kept | None) -> None:
    if kept is not None:
        answer.message.tasks.append(_to_wire(kept))


def _to_wire(kept: Kept) -> wire.KeptTask:
    name, version, task, expected, runs, run = kept
    return wire.KeptTask(name=name, version=version, task=task, expected=expected or 0, runs=runs, run=run)
