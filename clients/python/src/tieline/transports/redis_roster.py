"""Cron tasks on Redis: scripts keep them and turn their ticks into planned events (SPEC.md, section 16)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tieline._contract import contract, scripts
from tieline.cron.roster import Kept, Tick, Turn
from tieline.schedules.agenda import ScheduleStatus
from tieline.transports.redis_link import LinkDownError, ReplyError
from tieline.transports.redis_server import command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

_FIELDS = 6
_KEEP = (b"%d" % contract.DEFAULT_ENDED_PLAN_MS, b"%d" % contract.LIMIT_ENDED_PLANS)


class RedisRoster:
    """The cron tasks of one installation."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport

    async def put(self, name: str, version: int, task: bytes, expected: int | None, fire_at: int) -> int:
        """See `Roster.put`."""
        numbers = (_text(expected), b"%d" % fire_at, b"%d" % contract.LIMIT_CRON_TASKS)
        return int(await self._run(scripts.PUT_TASK, scripts.put_task_names, name, b"%d" % version, task, *numbers))

    async def drop(self, name: str) -> Kept | None:
        """See `Roster.drop`."""
        found = await self._run(scripts.DROP_TASK, scripts.drop_task_names, name)
        return _kept(found) if found else None

    async def find(self, name: str) -> Kept | None:
        """See `Roster.find`."""
        _, *found = await self._run(scripts.TASKS, scripts.tasks_names, name, b"0", b"0")
        return _kept(found) if found else None

    async def page(self, offset: int, limit: int) -> tuple[int, list[Kept]]:
        """See `Roster.page`."""
        total, *found = await self._run(scripts.TASKS, scripts.tasks_names, "", b"%d" % offset, b"%d" % limit)
        return int(total), [_kept(found[at : at + _FIELDS]) for at in range(0, len(found), _FIELDS)]

    async def turn(self, name: str, turn: Turn) -> bool:
        """See `Roster.turn`."""
        times = (b"%d" % turn.version, _text(turn.expected), _text(turn.following), b"%d" % turn.fire_at)
        ticks = [part for tick in turn.ticks for part in _parts(tick)]
        arguments = (*times, _text(turn.ran), turn.run, *ticks)
        return bool(await self._run(scripts.TICK, scripts.tick_names, name, *arguments))

    async def end_call(self, id: str, name: str, tries: int, why: str, tick: int, run: bytes) -> ScheduleStatus | None:
        """See `Roster.end_call`."""
        arguments = (name.encode(), b"%d" % tries, why.encode(), b"%d" % tick, run, *_KEEP)
        status = await self._run(scripts.END_CALL, scripts.end_call_names, id, *arguments)
        return ScheduleStatus(status.decode()) if status else None

    async def _run(self, script: scripts.Script, names: Any, first: str, *rest: bytes) -> Any:
        link = self._transport.require()
        try:
            there: tuple[str, ...] = names(self._transport.prefix)

            def same(*_: str) -> tuple[str, ...]:
                return there

            return await self._transport.answer_of(link, script, same, "", [first.encode(), *rest])
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None


def _text(moment: int | None) -> bytes:
    return b"" if moment is None else b"%d" % moment


def _parts(tick: Tick) -> list[bytes]:
    texts = [text.encode() for text in (tick.id, tick.topic, tick.way, tick.key)]
    numbers = (tick.due, tick.priority, tick.expires, tick.attempts, tick.backoff, tick.lease)
    return [*texts, *(b"%d" % number for number in numbers), tick.envelope]


def _kept(fields: Sequence[bytes]) -> Kept:
    name, version, task, expected, runs, run = fields
    return Kept(name.decode(), int(version), task, int(expected) if expected else None, int(runs), run)
