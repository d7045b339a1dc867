"""`/v1/replays`: deliver events of history again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import msgspec
from starlette.responses import Response

from tieline.errors import InvalidArgumentError
from tieline.history.replay import Replay, ReplayProgress
from tieline_gateway.access.principal import Action
from tieline_gateway.http.documents import milliseconds, moment
from tieline_gateway.http.event_stream import event_stream, frame
from tieline_gateway.http.operation import Asked, Nothing, Operation

_EVERYTHING = ">"


class NewReplay(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be delivered again, and to whom: one `group`, or `to_topic`. Moments are milliseconds since 1970."""

    topics: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    """Topics or patterns; all unless given."""
    since: int | None = None
    until: int | None = None
    status: str = ""
    source: str = ""
    group: str | None = None
    to_topic: str | None = None
    speed: float | None = 1.0
    """A factor to the original pace; null for as fast as it goes."""


class ReplayStep(msgspec.Struct):
    """The event `progress`, about once a second; the last one is `done`."""

    id: str
    sent: int
    skipped: int
    total: int
    time: int | None
    """Of the last event that was delivered."""
    done: bool


async def replay(asked: Asked[Nothing, NewReplay]) -> Response:
    """Replay for as long as somebody reads: closing the stream ends it."""
    body = asked.body
    for pattern in body.topics or [_EVERYTHING]:
        asked.principal.check(Action.ADMIN, pattern)
    if body.to_topic is not None:
        asked.principal.check(Action.PUBLISH, body.to_topic)
    if (body.group is None) == (body.to_topic is None):
        raise InvalidArgumentError("say to whom: group, or to_topic")
    replaying = asked.gateway.events.history.replay(
        body.topics,
        start=moment("since", body.since),
        end=moment("until", body.until),
        status=body.status,
        source=body.source,
        to_group=body.group,
        to_topic=body.to_topic,
        speed=body.speed,
    )
    return await event_stream(_steps(replaying), asked.gateway.stopping)


async def _steps(replaying: Replay) -> AsyncGenerator[bytes, None]:
    async with aclosing(replaying):
        async for progress in replaying:
            yield frame("progress", _shown(progress))


def _shown(progress: ReplayProgress) -> ReplayStep:
    return ReplayStep(
        progress.id, progress.sent, progress.skipped, progress.total, milliseconds(progress.time), progress.done
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/replays",
        summary="Deliver events of history again",
        handler=replay,
        body=NewReplay,
        example={"topics": ["order.>"], "group": "search", "speed": None},
        streams={"progress": ReplayStep},
    ),
)
