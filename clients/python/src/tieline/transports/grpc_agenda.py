"""Planned events through a gateway: `Agenda` asks over the Link, and the gateway fires (SPEC.md, sections 8 and 15)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tieline._contract import agenda_pb2 as wire
from tieline._contract import contract
from tieline._contract import gateway_pb2 as link_wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.envelope import error_from_wire
from tieline.errors import TielineError, UnavailableError, UnsupportedError
from tieline.schedules.agenda import Fired, Plan, Planned, ScheduleStatus, Told, Way
from tieline.transports.grpc_link import LinkBrokenError
from tieline.transports.grpc_links import Links
from tieline.transports.grpc_roster import GrpcRoster

_STATUSES = (
    ScheduleStatus.PENDING,
    ScheduleStatus.DELIVERED,
    ScheduleStatus.FAILED,
    ScheduleStatus.EXPIRED,
    ScheduleStatus.CANCELLED,
)


class GrpcAgenda:
    """What is planned at the broker of a gateway."""

    fires = False

    def __init__(self, clock: Clock, links: Links) -> None:
        self._clock = clock
        self._links = links
        self.roster = GrpcRoster(self._ask)

    def listen(self, told: Told) -> None:
        """See `Agenda.listen`; the gateway is told."""

    async def fire(self, instance: str) -> Fired:
        """See `Agenda.fire`; the gateway does it."""
        raise UnsupportedError("the gateway publishes what is due")

    async def step_down(self, instance: str) -> None:
        """See `Agenda.step_down`; nothing falls to an instance here."""

    async def plan(self, plan: Plan) -> None:
        """See `Agenda.plan`."""
        asked = wire.Plan(envelope=plan.envelope, durable=plan.way is not Way.LIVE, most=plan.most)
        asked.known_as, asked.window_ms = plan.known_as, plan.window
        asked.retry.attempts, asked.retry.backoff_ms, asked.retry.cap_ms = plan.attempts, plan.backoff, plan.cap
        until = self._clock.monotonic() + contract.DEFAULT_APPEND_RESEND_MS / 1000
        while True:
            try:
                await self._asked(plan=asked)
                return
            except LinkBrokenError:
                if not await self._back(until):
                    raise _broken() from None

    async def _back(self, until: float) -> bool:
        """Wait for a Link; false if it takes too long, or there will be none."""
        with contextlib.suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(max(0.0, until - self._clock.monotonic())):
                await self._links.until_up()
                return True
        return False

    async def find(self, id: str) -> Planned | None:
        """See `Agenda.find`."""
        return _only(await self._ask(find=wire.FindPlanned(id=id)))

    async def page(self, status: ScheduleStatus, offset: int, limit: int) -> tuple[int, list[Planned]]:
        """See `Agenda.page`."""
        asked = wire.ListPlanned(status=_number(status), offset=offset, limit=limit)
        answer = await self._ask(list=asked)
        return answer.total, [_planned(one) for one in answer.planned]

    async def sums(self) -> dict[str, int]:
        """See `Agenda.sums`."""
        return dict((await self._ask(sums=wire.SumPlanned())).sums)

    async def cancel(self, id: str) -> Planned | None:
        """See `Agenda.cancel`."""
        return _only(await self._ask(cancel=wire.CancelPlanned(id=id)))

    async def move(self, id: str, due: int, expires: int, envelope: bytes, was: ScheduleStatus) -> bool:
        """See `Agenda.move`; the gateway puts the event off."""
        return (await self._ask(move=wire.MovePlanned(id=id, due=due, was=_number(was)))).yes

    async def _ask(self, **ask: Any) -> wire.AgendaResponse:
        """Ask the gateway; raises the error it said."""
        try:
            return await self._asked(**ask)
        except LinkBrokenError:
            raise _broken() from None

    async def _asked(self, **ask: Any) -> wire.AgendaResponse:
        item = link_wire.ClientItem(agenda=wire.AgendaRequest(**ask))
        answer: wire.AgendaResponse = await self._links.require().ask(item)
        if answer.HasField("error"):
            raise error_from_wire(answer.error)
        return answer


def _broken() -> TielineError:
    return UnavailableError("the link to the gateway broke before it answered; whether it was done is unknown")


def _number(status: ScheduleStatus) -> Any:
    return _STATUSES.index(status) + 1


def _only(answer: wire.AgendaResponse) -> Planned | None:
    return _planned(answer.planned[0]) if answer.planned else None


def _planned(one: wire.Planned) -> Planned:
    status, way = _STATUSES[one.status - 1], Way.LIVE
    if one.durable:
        way = Way.KEY if Envelope.FromString(one.envelope).key else Way.LANE
    numbers = (one.due, one.priority, one.tries, one.created, one.ended)
    return Planned(one.id, status, *numbers, one.why, way, one.envelope)
