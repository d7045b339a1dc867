"""Planned events on Redis: scripts plan and fire them (SPEC.md, section 15)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tieline._contract import contract, scripts
from tieline.schedules.agenda import Fired, Firing, Plan, Planned, ScheduleStatus, Told, Way
from tieline.transports.redis_gathering import Run
from tieline.transports.redis_link import LinkDownError, ReplyError, bulk
from tieline.transports.redis_roster import RedisRoster
from tieline.transports.redis_server import command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

log = logging.getLogger("tieline")

_ANY_TOPIC = "\0"
_FIELDS = 10
_KEEP = (b"%d" % contract.DEFAULT_ENDED_PLAN_MS, b"%d" % contract.LIMIT_ENDED_PLANS)
_NOTICE = b"s\0"
_LONGEST_MOMENT = 15  # digits of ms since 1970
_HANDED = ("tick", "call")


class _PlanRun(Run[int]):
    """Events that are planned by one run of `plan`."""

    def __init__(self, names: Sequence[str], head: Sequence[str | int]) -> None:
        super().__init__(scripts.PLAN, names)
        self._head = [str(part).encode() for part in head]

    def put(self, plan: Plan) -> asyncio.Future[list[int]]:
        """One more; the future is done when it is planned."""
        numbers = (b"%d" % plan.due, b"%d" % plan.priority, b"%d" % plan.expires)
        texts = (plan.id.encode(), plan.key.encode())
        arguments = (*texts, *numbers, plan.known_as.encode(), plan.envelope)
        return self.add(b"".join(map(bulk, arguments)), len(arguments), 1)

    def first(self) -> Sequence[bytes]:
        return self._head

    def told(self, reply: list[int]) -> list[int]:
        return reply


def _head(plan: Plan) -> tuple[str | int, ...]:
    """What is the same for all events of a run."""
    return (plan.topic, plan.way, plan.attempts, plan.backoff, plan.cap, plan.window, plan.most)


class RedisAgenda:
    """What is planned in one installation."""

    fires = True

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self.roster = RedisRoster(transport)
        self._listeners: list[Told] = []

    def listen(self, told: Told) -> None:
        """See `Agenda.listen`."""
        self._listeners.append(told)

    def noticed(self, notice: bytes) -> bool:
        """Take a notice, if it is one of ours."""
        if not notice.startswith(_NOTICE):
            return False
        due, _, holder = notice[len(_NOTICE) :].partition(b"\0")
        if not due.isdigit() or len(due) > _LONGEST_MOMENT:
            log.warning("somebody tells that something is due at %r, which is no moment; it is ignored", due[:80])
            return True
        for told in self._listeners:
            told(int(due), holder.decode("utf-8", "replace"))
        return True

    async def plan(self, plan: Plan) -> None:
        """See `Agenda.plan`. What is planned on a topic in one turn of the loop goes to the server in one command."""
        link, gathering = self._transport.require(), self._transport.gathering
        head = _head(plan)
        run = gathering.run(("plan", *head), lambda: _PlanRun(scripts.plan_names(self._transport.prefix), head))
        planned = run.put(plan)
        gathering.added(link, 1, len(plan.envelope))
        await planned

    async def fire(self, instance: str) -> Fired:
        """See `Agenda.fire`."""
        numbers = (contract.DEFAULT_ROLE_MS, contract.LIMIT_FIRE_EVENTS, contract.LIMIT_STREAM_ALONE)
        arguments = [instance.encode(), *(b"%d" % number for number in numbers), *_KEEP]
        names = scripts.fire_names(self._transport.prefix, _ANY_TOPIC)
        again, *events = await self._run(scripts.FIRE, names, arguments)
        told = [(events[at].decode(), events[at + 1].decode(), int(events[at + 2])) for at in range(0, len(events), 3)]
        return Fired(
            int(again) / 1000 if again else None,
            [Firing(name, ScheduleStatus(what), due) for name, what, due in told if what not in _HANDED],
            [(name, due) for name, what, due in told if what == "tick"],
            [name for name, what, _ in told if what == "call"],
        )

    async def step_down(self, instance: str) -> None:
        """See `Agenda.step_down`."""
        await self._run(scripts.STEP_DOWN, scripts.step_down_names(self._transport.prefix), [instance.encode()])

    async def find(self, id: str) -> Planned | None:
        """See `Agenda.find`."""
        _, *found = await self._planned(id.encode(), b"", b"0", b"0")
        return _planned(found) if found else None

    async def page(self, status: ScheduleStatus, offset: int, limit: int) -> tuple[int, list[Planned]]:
        """See `Agenda.page`."""
        total, *found = await self._planned(b"", status.encode(), b"%d" % offset, b"%d" % limit)
        return int(total), [_planned(found[at : at + _FIELDS]) for at in range(0, len(found), _FIELDS)]

    async def _planned(self, *arguments: bytes) -> list[bytes]:
        return await self._run(scripts.PLANNED, scripts.planned_names(self._transport.prefix), arguments)

    async def sums(self) -> dict[str, int]:
        """See `Agenda.sums`."""
        link, prefix = self._transport.require(), self._transport.prefix
        try:
            told, pending = await asyncio.gather(
                link.call("HGETALL", contract.sums_key(prefix)), link.call("ZCARD", contract.agenda_key(prefix))
            )
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None
        pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
        return {**{name.decode(): int(count) for name, count in pairs}, "pending": pending}

    async def cancel(self, id: str) -> Planned | None:
        """See `Agenda.cancel`."""
        found = await self._run(scripts.CANCEL, scripts.cancel_names(self._transport.prefix), [id.encode(), *_KEEP])
        return _planned(found) if found else None

    async def move(self, id: str, due: int, expires: int, envelope: bytes, was: ScheduleStatus) -> bool:
        """See `Agenda.move`."""
        arguments = [id.encode(), b"%d" % due, b"%d" % expires, envelope, was.encode()]
        return bool(await self._run(scripts.RESCHEDULE, scripts.reschedule_names(self._transport.prefix), arguments))

    async def _run(self, script: scripts.Script, names: Sequence[str], arguments: Sequence[bytes]) -> Any:
        link = self._transport.require()
        try:
            return await self._transport.answer_of(link, script, _named(names), "", arguments)
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None


def _named(names: Sequence[str]) -> Callable[[str, str], Sequence[str]]:
    """Names that need nothing more."""

    def all_of_them(_prefix: str, _topic: str) -> Sequence[str]:
        return names

    return all_of_them


def _planned(fields: Sequence[bytes]) -> Planned:
    name, status, *numbers, why, way, envelope = fields
    due, priority, tries, created, ended = map(int, numbers)
    known = ScheduleStatus(status.decode())
    said, how = why.decode(), Way(way.decode())
    return Planned(name.decode(), known, due, priority, tries, created, ended, said, how, envelope)
