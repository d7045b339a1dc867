"""Planned events and cron tasks of one Link: what its client asks of them, asked of the port's agenda.

Rules: SPEC.md, sections 15 and 16. What is planned outlives the Link; the gateway's own instance fires it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tieline._contract import agenda_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.errors import UnsupportedError
from tieline.schedules.agenda import Planned, Way
from tieline.schedules.planner import put_off
from tieline.transport import Port
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Action
from tieline_gateway.links import schedule_door
from tieline_gateway.links.cron_desk import cron_asks
from tieline_gateway.links.door import Door
from tieline_gateway.links.downlink import Downlink
from tieline_gateway.links.parts import Answer

_AT_ONCE = 100

Told = Answer[wire.AgendaResponse]
Ask = Callable[[Any, Told], Awaitable[None]]


class ScheduleDesk:
    """Answers one client."""

    def __init__(self, port: Port, door: Door, down: Downlink) -> None:
        self._port = port
        self._door = door
        self._down = down
        self._principal = door.principal
        self._asks: dict[str | None, Ask] = {
            "plan": self._plan,
            "find": self._find,
            "list": self._list,
            "sums": self._sums,
            "cancel": self._cancel,
            "move": self._move,
            **cron_asks(port.agenda.roster, port.clock, door, down),
        }

    async def answer(self, request: wire.AgendaRequest, answer: Told) -> None:
        """Ask the broker what a client asks.

        Raises:
            TielineError: the request breaks a rule, or why there is no answer.

        """
        name = request.WhichOneof("ask")
        if name is None:
            raise UnsupportedError("this gateway does not know what is asked of planned events; it may be too old")
        if name != "plan":
            self._principal.meter.spend(0)
        await self._asks[name](getattr(request, name), answer)

    async def _plan(self, ask: wire.Plan, _answer: Told) -> None:
        plan = schedule_door.plan(self._door, ask, self._port.clock.now())
        self._principal.meter.spend(len(ask.envelope))
        await self._port.agenda.plan(plan)

    async def _find(self, ask: wire.FindPlanned, answer: Told) -> None:
        _tell(answer, await self._allowed(schedule_door.id_of(ask.id)))

    async def _allowed(self, id: str) -> Planned | None:
        """What is planned under an id, if the client may see and change it."""
        planned = await self._port.agenda.find(id)
        if planned is not None and self._principal.restricted:
            rights.check_planned(self._principal, _topic(planned), id)
        return planned

    async def _list(self, ask: wire.ListPlanned, answer: Told) -> None:
        status, offset, left = schedule_door.status(ask.status), ask.offset, schedule_door.limit(ask.limit)
        total = 0
        while left > 0:
            await self._down.outbox.room()
            total, page = await self._port.agenda.page(status, offset, min(left, _AT_ONCE))
            for one in filter(self._may_see, page):
                await answer.grow(len(one.envelope))
                answer.message.planned.append(schedule_door.planned_to_wire(one))
            if len(page) < min(left, _AT_ONCE):
                break
            left, offset = left - len(page), offset + len(page)
        answer.message.total = total if rights.may_count(self._principal) else 0

    def _may_see(self, one: Planned) -> bool:
        return not self._principal.restricted or rights.may_plan(self._principal, _topic(one))

    async def _sums(self, _ask: wire.SumPlanned, answer: Told) -> None:
        self._principal.check(Action.ADMIN, rights.EVERYTHING)
        answer.message.sums.update(await self._port.agenda.sums())

    async def _cancel(self, ask: wire.CancelPlanned, answer: Told) -> None:
        name = schedule_door.id_of(ask.id)
        if self._principal.restricted:
            await self._allowed(name)
        _tell(answer, await self._port.agenda.cancel(name))

    async def _move(self, ask: wire.MovePlanned, answer: Told) -> None:
        name, was = schedule_door.id_of(ask.id), schedule_door.status(ask.was)
        due = schedule_door.due(ask.due, self._port.clock.now())
        planned = await self._allowed(name)
        if planned is not None:
            event = Envelope.FromString(planned.envelope)
            put_off(event, due, event.ttl_ms)
            expires = 0 if planned.way is Way.CALL else event.expires_at  # a call's TTL begins with each try
            moved = self._port.agenda.move(name, due, expires, event.SerializeToString(), was)
            answer.message.yes = await moved


def _topic(planned: Planned) -> str:
    return Envelope.FromString(planned.envelope).topic


def _tell(answer: Told, planned: Planned | None) -> None:
    if planned is not None:
        answer.message.planned.append(schedule_door.planned_to_wire(planned))
