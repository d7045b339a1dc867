"""`/v1/history`: what happened, as recorders have written it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from tieline._contract import contract
from tieline.history.events import HistoryEvent
from tieline.history.recorder import RecorderFigures
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Action, Principal
from tieline_gateway.http.documents import Payload, milliseconds, moment, payload
from tieline_gateway.http.operation import Asked, Nothing, Operation

_EVERYTHING = ">"
Limit = Annotated[int, msgspec.Meta(ge=1, le=contract.LIMIT_PAGE)]


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which events. Moments are milliseconds since 1970."""

    topic: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    """Topics or patterns; all unless given."""
    since: int | None = None
    until: int | None = None
    status: str = ""
    """`pending`, `processed` or `failed`."""
    source: str = ""
    limit: Limit = contract.DEFAULT_PAGE
    cursor: str = ""
    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """Instead of a cursor; the answer then has the total."""
    oldest_first: bool = False


class HistoryChoice(msgspec.Struct, forbid_unknown_fields=True):
    """Which events are to be deleted; something has to be said."""

    id: Annotated[list[str], msgspec.Meta(max_length=1_000)] = []
    topic: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    since: int | None = None
    until: int | None = None
    status: str = ""
    source: str = ""


class Recorded(Payload, kw_only=True):
    """One event of history. Moments are milliseconds since 1970."""

    id: str
    topic: str
    key: str
    source: str
    correlation_id: str
    causation_id: str
    time: int
    expires_at: int
    """0 for never."""
    status: str
    retry_count: int
    error_msg: str
    schema_version: str
    priority: int
    hops: int
    headers: Mapping[str, str]
    stream: str
    """Where the broker stored it; empty for live events."""
    entry: str
    recorded_at: int


class HistoryPage(msgspec.Struct):
    """Some events, and the cursor of those that come after them."""

    items: list[Recorded]
    next: str
    total: int | None = None


class Deleted(msgspec.Struct):
    """How many were deleted."""

    deleted: int


class RecorderDocument(msgspec.Struct):
    """One recorder."""

    recorded: int
    batches: int
    refused: int
    waiting: int
    lag_ms: int
    lost: int
    trouble: str


class HistoryFigures(msgspec.Struct):
    """How history is doing."""

    events: int
    bytes: int
    oldest: int | None
    newest: int | None
    waiting: int
    lag_ms: int
    lost: int
    recorders: dict[str, RecorderDocument]


async def find(asked: Asked[HistoryQuery, Nothing]) -> HistoryPage:
    """Tell of a page of events, the newest first."""
    query = asked.query
    rights.check_history_of(asked.principal, query.topic)
    page = await asked.gateway.events.history.list(
        query.topic,
        start=moment("since", query.since),
        end=moment("until", query.until),
        status=query.status,
        source=query.source,
        page=query.page,
        cursor=query.cursor,
        limit=query.limit,
        oldest_first=query.oldest_first,
    )
    return HistoryPage([_shown(event) for event in page.events], page.cursor, page.total)


async def get(asked: Asked[Nothing, Nothing]) -> Recorded:
    """Tell of one event."""
    event = await asked.gateway.events.history.get(asked.path["id"])
    rights.check_history_of(asked.principal, [event.type])
    return _shown(event)


async def delete(asked: Asked[HistoryChoice, Nothing]) -> Deleted:
    """Delete events from history; nothing else changes."""
    choice = asked.query
    _check_topics(asked.principal, Action.ADMIN, [] if choice.id else choice.topic)
    deleted = await asked.gateway.events.history.delete(
        choice.id or None,
        types=choice.topic,
        start=moment("since", choice.since),
        end=moment("until", choice.until),
        status=choice.status,
        source=choice.source,
    )
    return Deleted(deleted)


async def figures(asked: Asked[Nothing, Nothing]) -> HistoryFigures:
    """Tell how history is doing."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    told = await asked.gateway.events.history.figures()
    return HistoryFigures(
        events=told.events,
        bytes=told.bytes,
        oldest=milliseconds(told.oldest),
        newest=milliseconds(told.newest),
        waiting=told.waiting,
        lag_ms=round(told.lag * 1000),
        lost=told.lost,
        recorders={name: _recorder(each) for name, each in told.recorders.items()},
    )


def _recorder(told: RecorderFigures) -> RecorderDocument:
    lag = round(told.lag * 1000)
    return RecorderDocument(told.recorded, told.batches, told.refused, told.waiting, lag, told.lost, told.trouble)


def _check_topics(principal: Principal, action: Action, patterns: Sequence[str]) -> None:
    for pattern in patterns or [_EVERYTHING]:
        principal.check(action, pattern)


def _shown(event: HistoryEvent) -> Recorded:
    told = event._asdict()
    told["topic"] = told.pop("type")
    for name in ("time", "expires_at", "recorded_at"):
        told[name] = milliseconds(told[name]) or 0
    return Recorded(**told | payload(told.pop("payload"), told.pop("content_type")))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/history",
        summary="Look through what happened",
        handler=find,
        query=HistoryQuery,
        answer=HistoryPage,
    ),
    Operation(
        method="DELETE",
        path="/v1/history",
        summary="Delete events from history",
        handler=delete,
        query=HistoryChoice,
        answer=Deleted,
    ),
    Operation(
        method="GET",
        path="/v1/history/figures",
        summary="Tell how history is doing",
        handler=figures,
        answer=HistoryFigures,
    ),
    Operation(
        method="GET",
        path="/v1/history/{id:path}",
        summary="Tell of one event that happened",
        handler=get,
        answer=Recorded,
    ),
)
