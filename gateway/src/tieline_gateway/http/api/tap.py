"""`/v1/tap`: watch what goes by."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated

import msgspec
from starlette.responses import Response

from tieline import topics
from tieline.context import Event
from tieline_gateway.access.principal import Action
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.documents import EventDocument, event_document
from tieline_gateway.http.event_stream import event_stream, frame
from tieline_gateway.http.operation import Asked, Nothing, Operation
from tieline_gateway.tap import Seen, Sight, Tap

_MOST_A_SECOND = 1_000


class TapQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be watched."""

    topic: Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)]
    """Topics or patterns."""
    most: Annotated[int, msgspec.Meta(ge=1, le=_MOST_A_SECOND)] = 200
    """Shown a second, about; what is more is told as a gap."""


class Tapped(EventDocument, kw_only=True):
    """The events `event`, `request` and `stored`: what was published or called, and what was stored, or put back."""


class TapGap(msgspec.Struct):
    """The event `gap`: between these moments (ms since 1970) something may be missing."""

    since: int
    until: int
    reason: str
    lost: int
    """How many are known to be missing."""


class Watching(msgspec.Struct):
    """The event `watching`: from now on nothing is missed."""

    topics: Sequence[str]


async def tap(asked: Asked[TapQuery, Nothing]) -> Response:
    """Watch events and requests as they go by, and durable events as they are stored; their handling is not touched."""
    patterns = list(dict.fromkeys(map(topics.check_pattern, asked.query.topic)))
    for pattern in patterns:
        asked.principal.check(Action.SUBSCRIBE, pattern)
    return await event_stream(_watched(asked.gateway, patterns, asked.query.most), asked.gateway.stopping)


async def _watched(gateway: Gateway, patterns: Sequence[str], most: int) -> AsyncGenerator[bytes, None]:
    watching = Tap(gateway.transport, most)
    await watching.open(patterns)
    try:
        yield frame("watching", Watching(patterns))
        while True:
            seen = await watching.look()
            if told := b"".join([*_gaps(seen), *(_shown(gateway, each) for each in seen.sights)]):
                yield told
    finally:
        await watching.aclose()


def _gaps(seen: Seen) -> list[bytes]:
    last = len(seen.gaps) - 1
    return [
        frame("gap", TapGap(gap.since, gap.until, gap.reason, seen.lost if place == last else 0))
        for place, gap in enumerate(seen.gaps)
    ]


def _shown(gateway: Gateway, sight: Sight) -> bytes:
    return frame(sight.name, event_document(Event(sight.envelope, gateway.events.clock)))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/tap",
        summary="Watch events and requests as they go by, and what is stored",
        handler=tap,
        query=TapQuery,
        streams={"watching": Watching, "event": Tapped, "request": Tapped, "stored": Tapped, "gap": TapGap},
    ),
)
