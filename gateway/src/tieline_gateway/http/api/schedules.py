"""`/v1/schedules`: what is planned, and what became of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tieline._contract import contract
from tieline.errors import InvalidArgumentError
from tieline.schedules.agenda import ScheduleStatus
from tieline.schedules.planner import When
from tieline.schedules.schedules import Schedule
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Action
from tieline_gateway.http.documents import EventDocument, event_document, milliseconds, moment
from tieline_gateway.http.operation import Asked, Nothing, Operation

_EVERYTHING = ">"


class SchedulesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which schedules."""

    status: ScheduleStatus = ScheduleStatus.PENDING
    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=contract.LIMIT_PAGE)] = contract.DEFAULT_PAGE


class Moment(msgspec.Struct, forbid_unknown_fields=True):
    """When: so many milliseconds from now, or a moment in milliseconds since 1970."""

    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=contract.LIMIT_PLAN_LONGEST_MS)] | None = None
    at: int | None = None


class ScheduleDocument(msgspec.Struct):
    """A planned event. Moments are milliseconds since 1970."""

    id: str
    status: ScheduleStatus
    due: int
    topic: str
    key: str
    durable: bool
    priority: int
    attempts: int
    created: int
    ended: int | None
    error: str
    event: EventDocument


class SchedulePage(msgspec.Struct):
    """Some schedules: pending ones by when they are due, others the last first."""

    items: list[ScheduleDocument]
    total: int | None
    """Null for who may not see all of them."""
    page: int
    limit: int


class ScheduleFiguresDocument(msgspec.Struct):
    """How many events were planned, and what became of them."""

    planned: int
    pending: int
    delivered: int
    failed: int
    expired: int
    cancelled: int


async def find(asked: Asked[SchedulesQuery, Nothing]) -> SchedulePage:
    """Tell of a page; those of topics that one may not see are left out."""
    query = asked.query
    page = await asked.gateway.events.schedules.list(query.status, page=query.page, limit=query.limit)
    items = [_shown(each) for each in page.items if rights.may_plan(asked.principal, each.topic)]
    total = page.total if rights.may_count(asked.principal) else None
    return SchedulePage(items, total, page.page, page.limit)


async def figures(asked: Asked[Nothing, Nothing]) -> ScheduleFiguresDocument:
    """Tell how many there are."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    told = await asked.gateway.events.schedules.figures()
    return ScheduleFiguresDocument(
        told.planned, told.pending, told.delivered, told.failed, told.expired, told.cancelled
    )


async def get(asked: Asked[Nothing, Nothing]) -> ScheduleDocument:
    """Tell of one."""
    return _shown(await _allowed(asked))


async def cancel(asked: Asked[Nothing, Nothing]) -> ScheduleDocument:
    """Have an event not published."""
    found = await _allowed(asked)
    return _shown(await asked.gateway.events.schedules.cancel(found.id))


async def reschedule(asked: Asked[Nothing, Moment]) -> ScheduleDocument:
    """Have a pending event published at another time."""
    if asked.body.delay_ms is None and asked.body.at is None:
        raise InvalidArgumentError("say when: delay_ms, or at")
    when = _when(asked.body)
    found = await _allowed(asked)
    return _shown(await asked.gateway.events.schedules.reschedule(found.id, delay=when.delay, at=when.at))


async def retry(asked: Asked[Nothing, Moment]) -> ScheduleDocument:
    """Plan an event anew that could not be stored: for now, unless told."""
    when = _when(asked.body)
    found = await _allowed(asked)
    return _shown(await asked.gateway.events.schedules.retry(found.id, delay=when.delay, at=when.at))


async def _allowed(asked: Asked[Nothing, Nothing] | Asked[Nothing, Moment]) -> Schedule:
    found = await asked.gateway.events.schedules.get(asked.path["id"])
    rights.check_planned(asked.principal, found.topic, found.id)
    return found


def _when(body: Moment) -> When:
    if body.delay_ms is not None and body.at is not None:
        raise InvalidArgumentError("delay_ms and at are two ways to say when: give one of them")
    return When(None if body.delay_ms is None else body.delay_ms / 1000, moment("at", body.at))


def _shown(found: Schedule) -> ScheduleDocument:
    return ScheduleDocument(
        id=found.id,
        status=found.status,
        due=milliseconds(found.due) or 0,
        topic=found.topic,
        key=found.key,
        durable=found.durable,
        priority=found.priority,
        attempts=found.attempts,
        created=milliseconds(found.created) or 0,
        ended=milliseconds(found.ended),
        error=found.error,
        event=event_document(found.event),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/schedules",
        summary="List planned events",
        handler=find,
        query=SchedulesQuery,
        answer=SchedulePage,
    ),
    Operation(
        method="GET",
        path="/v1/schedules/figures",
        summary="Tell how many events are planned, and what became of them",
        handler=figures,
        answer=ScheduleFiguresDocument,
    ),
    Operation(
        method="POST",
        path="/v1/schedules/{id:path}/retry",
        summary="Plan an event anew that could not be stored",
        handler=retry,
        body=Moment,
        example={"delay_ms": 60_000},
        answer=ScheduleDocument,
    ),
    Operation(
        method="GET",
        path="/v1/schedules/{id:path}",
        summary="Tell of a planned event",
        handler=get,
        answer=ScheduleDocument,
    ),
    Operation(
        method="DELETE",
        path="/v1/schedules/{id:path}",
        summary="Cancel a planned event",
        handler=cancel,
        answer=ScheduleDocument,
    ),
    Operation(
        method="PATCH",
        path="/v1/schedules/{id:path}",
        summary="Have a planned event published at another time",
        handler=reschedule,
        body=Moment,
        example={"delay_ms": 60_000},
        answer=ScheduleDocument,
    ),
)
