"""Planned events, for programs with plain stubs. Rules: SPEC.md, sections 8 and 15."""

from __future__ import annotations

from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline.envelope import EVENT, new_id
from tieline.errors import InvalidArgumentError
from tieline.instance import Instance
from tieline.publisher import Durable, check_durable
from tieline.schedules.agenda import ScheduleStatus, Way
from tieline.schedules.planner import plan_of, put_off, way_of
from tieline.schedules.schedules import Schedules
from tieline_gateway.links import schedule_door
from tieline_gateway.links.door import compose
from tieline_gateway.links.schedule_door import schedule_to_wire


class SimpleSchedules:
    """Plans events, and looks after them, through an instance of the gateway's own. Its methods raise TielineError."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._schedules = Schedules(instance)

    async def plan(self, request: wire.PublishRequest, by: str = "") -> wire.PublishResponse:
        """Have one event published, or stored, later; `by` whom, for its source."""
        when, retry = schedule_door.when(request), schedule_door.retry(request.retry)
        priority = request.priority or contract.PRIORITY_NORMAL
        durable = Durable(request.key or None, priority, request.dedupe or None, request.max_stored)
        check_durable(durable)
        way = way_of(request.durable, durable)
        if request.HasField("retry") and way is Way.LIVE:
            raise InvalidArgumentError("retry is for a planned event that is to be stored: add a key, or durable")
        event = compose(EVENT, request, request.ttl_ms, self._instance, by)
        event.id, event.priority = new_id(), priority
        now = self._instance.clock.now()
        asked = when.due(now)
        due = max(asked, now)
        put_off(event, due, event.ttl_ms)
        agenda = await self._instance.find_agenda()
        await agenda.plan(plan_of(event, way, due, durable, retry))
        correlation = event.correlation_id or event.id
        return wire.PublishResponse(id=event.id, correlation_id=correlation, due=due, overdue=asked < now)

    async def get(self, request: wire.GetScheduleRequest) -> wire.GetScheduleResponse:
        """Tell of one."""
        return wire.GetScheduleResponse(schedule=schedule_to_wire(await self._schedules.get(request.id)))

    async def list(self, request: wire.ListSchedulesRequest) -> wire.ListSchedulesResponse:
        """Tell of a page of those with a status."""
        status = schedule_door.status(request.status) if request.status else ScheduleStatus.PENDING
        limit = request.limit or contract.DEFAULT_PAGE
        page = await self._schedules.list(status, page=request.page or 1, limit=limit)
        return wire.ListSchedulesResponse(schedules=map(schedule_to_wire, page.items), total=page.total)

    async def cancel(self, request: wire.CancelScheduleRequest) -> wire.CancelScheduleResponse:
        """Have one not published."""
        return wire.CancelScheduleResponse(schedule=schedule_to_wire(await self._schedules.cancel(request.id)))

    async def reschedule(self, request: wire.RescheduleRequest) -> wire.RescheduleResponse:
        """Have one published at another time."""
        when = schedule_door.other_time(request)
        moved = await self._schedules.reschedule(request.id, delay=when.delay, at=when.at)
        return wire.RescheduleResponse(schedule=schedule_to_wire(moved))

    async def retry(self, request: wire.RetryScheduleRequest) -> wire.RetryScheduleResponse:
        """Plan one anew that could not be stored."""
        when = schedule_door.when(request)
        moved = await self._schedules.retry(request.id, delay=when.delay, at=when.at)
        return wire.RetryScheduleResponse(schedule=schedule_to_wire(moved))
