"""Schedules as a principal may see them: those of topics it may publish to, or looks after."""

from __future__ import annotations

from tieline._contract import gateway_pb2 as wire
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Principal
from tieline_gateway.simple_schedules import SimpleSchedules


class Schedules:
    """Does what is asked of schedules with plain stubs, if it may be asked. Its methods raise TielineError."""

    def __init__(self, schedules: SimpleSchedules) -> None:
        self._schedules = schedules

    async def get(self, request: wire.GetScheduleRequest, principal: Principal) -> wire.GetScheduleResponse:
        """Tell of one."""
        told = await self._schedules.get(request)
        rights.check_planned(principal, told.schedule.topic, request.id)
        return told

    async def list(self, request: wire.ListSchedulesRequest, principal: Principal) -> wire.ListSchedulesResponse:
        """Tell of a page: of what there is on it that the principal may see; see `rights.may_count`."""
        told = await self._schedules.list(request)
        seen = [each for each in told.schedules if rights.may_plan(principal, each.topic)]
        return wire.ListSchedulesResponse(schedules=seen, total=told.total if rights.may_count(principal) else 0)

    async def cancel(self, request: wire.CancelScheduleRequest, principal: Principal) -> wire.CancelScheduleResponse:
        """Have one not published."""
        await self._check(request.id, principal)
        return await self._schedules.cancel(request)

    async def reschedule(self, request: wire.RescheduleRequest, principal: Principal) -> wire.RescheduleResponse:
        """Have one published at another time."""
        await self._check(request.id, principal)
        return await self._schedules.reschedule(request)

    async def retry(self, request: wire.RetryScheduleRequest, principal: Principal) -> wire.RetryScheduleResponse:
        """Plan one anew that could not be stored."""
        await self._check(request.id, principal)
        return await self._schedules.retry(request)

    async def _check(self, id: str, principal: Principal) -> None:
        if principal.restricted:
            await self.get(wire.GetScheduleRequest(id=id), principal)
