"""`/v1/dead-letters`: durable events that were given up."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from tieline import codec
from tieline._contract import contract
from tieline.durable.dead_letters import DeadLetter
from tieline.errors import InvalidArgumentError, NotFoundError
from tieline.topics import check_topic
from tieline_gateway.access.principal import Action
from tieline_gateway.http.documents import (
    ErrorDocument,
    EventDocument,
    error_document,
    event_document,
    milliseconds,
)
from tieline_gateway.http.operation import Asked, Nothing, Operation

_MOST_BYTES = contract.LIMIT_PAYLOAD_BYTES + contract.LIMIT_HEADERS_BYTES + 65_536
_OF_ALL = "/"
Reason = Literal["failed", "rejected", "expired"]


class DeadLettersQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters; of all topics unless one is given."""

    topic: str = ""
    group: str | None = None
    reason: Reason | None = None
    key: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=contract.LIMIT_PAGE - 1)] = contract.DEFAULT_PAGE
    cursor: str = ""
    payloads: bool = True
    """False leaves the payloads out."""


class Letters(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters of a topic: those of these ids, or those that fit, or `all`."""

    topic: str
    ids: Annotated[list[str], msgspec.Meta(max_length=contract.LIMIT_PAGE)] | None = None
    group: str | None = None
    reason: Reason | None = None
    key: str | None = None
    all: bool = False


class Edited(msgspec.Struct, forbid_unknown_fields=True):
    """Another payload, and other headers if they are given."""

    data: msgspec.Raw
    headers: dict[str, str] | None = None


class DeadLetterDocument(msgspec.Struct):
    """A durable event that was given up."""

    id: str
    topic: str
    group: str
    reason: str
    """`failed` (its attempts were used up), `rejected` or `expired`."""
    attempts: int
    redriven: int
    """How often it was put back before."""
    error: ErrorDocument
    time: int
    event: EventDocument


class DeadLetterPage(msgspec.Struct):
    """Some dead letters, oldest first in each topic, and the cursor of those that come after them."""

    items: list[DeadLetterDocument]
    next: str


class Redriven(msgspec.Struct):
    """How many were put back."""

    redriven: int


class Purged(msgspec.Struct):
    """How many were deleted."""

    purged: int


async def find(asked: Asked[DeadLettersQuery, Nothing]) -> DeadLetterPage:
    """Tell of a page of them."""
    query = asked.query
    found = await (_of_topic(asked) if query.topic else _of_all(asked))
    more = len(found) > query.limit
    items = found[: query.limit]
    told = [dead_letter(letter) for letter in items]
    if not query.payloads:
        for letter in told:
            letter.event.data = letter.event.data_base64 = msgspec.UNSET
    return DeadLetterPage(told, _cursor(items[-1], query) if more else "")


async def _of_topic(asked: Asked[DeadLettersQuery, Nothing]) -> list[DeadLetter]:
    query = asked.query
    asked.principal.check(Action.ADMIN, query.topic)
    return await _list(asked, query.topic, query.cursor, query.limit + 1)


async def _of_all(asked: Asked[DeadLettersQuery, Nothing]) -> list[DeadLetter]:
    """Topic by topic; those that one may not see are left out."""
    begin, slash, after = asked.query.cursor.partition(_OF_ALL)
    if begin and not slash:
        raise _no_cursor(begin)
    found: list[DeadLetter] = []
    for topic in sorted(await asked.gateway.events.groups.topics()):
        room = asked.query.limit + 1 - len(found)
        if room > 0 and topic >= begin and asked.principal.may(Action.ADMIN, topic):
            found += await _list(asked, topic, after if topic == begin else "", room)
    return found


async def _list(asked: Asked[DeadLettersQuery, Nothing], topic: str, after: str, limit: int) -> list[DeadLetter]:
    query, limit = asked.query, min(limit, contract.LIMIT_PAGE)
    letters = asked.gateway.events.dead_letters
    filters = {"group": query.group, "reason": query.reason, "key": query.key}
    try:
        return await letters.list(topic, **filters, after=after, limit=limit)
    except NotFoundError:
        raise _no_cursor(query.cursor) from None


def _no_cursor(given: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"the cursor {given!r:.80} is not one that an answer told")


def _cursor(last: DeadLetter, query: DeadLettersQuery) -> str:
    return last.id if query.topic else f"{last.topic}{_OF_ALL}{last.id}"


async def get(asked: Asked[Nothing, Nothing]) -> DeadLetterDocument:
    """Tell of one."""
    topic = asked.path["topic"]
    asked.principal.check(Action.ADMIN, topic)
    return dead_letter(await asked.gateway.events.dead_letters.get(topic, asked.path["id"]))


async def edit(asked: Asked[Nothing, Edited]) -> Redriven:
    """Put one back with another payload."""
    topic, body = asked.path["topic"], asked.body
    asked.principal.check(Action.ADMIN, topic)
    data = codec.decode(bytes(body.data), codec.JSON)
    await asked.gateway.events.dead_letters.edit(topic, asked.path["id"], data, headers=body.headers)
    return Redriven(1)


async def redrive(asked: Asked[Nothing, Letters]) -> Redriven:
    """Put them back, each for the group in which it failed."""
    return Redriven(await asked.gateway.events.dead_letters.redrive(asked.body.topic, **_chosen(asked)))


async def purge(asked: Asked[Nothing, Letters]) -> Purged:
    """Delete them."""
    return Purged(await asked.gateway.events.dead_letters.purge(asked.body.topic, **_chosen(asked)))


def _chosen(asked: Asked[Nothing, Letters]) -> dict[str, Any]:
    body = asked.body
    asked.principal.check(Action.ADMIN, check_topic(body.topic))
    filters = {"group": body.group, "reason": body.reason, "key": body.key}
    said = [body.ids is not None, any(value is not None for value in filters.values()), body.all]
    if sum(said) != 1:
        raise InvalidArgumentError("say which: ids, or group, reason and key, or all: true")
    return {"ids": body.ids, **filters}


def dead_letter(letter: DeadLetter) -> DeadLetterDocument:
    """Show a dead letter, or what stopped a key."""
    return DeadLetterDocument(
        id=letter.id,
        topic=letter.topic,
        group=letter.group,
        reason=letter.reason,
        attempts=letter.attempts,
        redriven=letter.redriven,
        error=error_document(letter.error),
        time=milliseconds(letter.time) or 0,
        event=event_document(letter.event),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/dead-letters",
        summary="List dead letters",
        handler=find,
        query=DeadLettersQuery,
        answer=DeadLetterPage,
    ),
    Operation(
        method="POST",
        path="/v1/dead-letters/redrive",
        summary="Put dead letters back",
        handler=redrive,
        body=Letters,
        example={"topic": "comment.added", "reason": "failed"},
        answer=Redriven,
    ),
    Operation(
        method="POST",
        path="/v1/dead-letters/purge",
        summary="Delete dead letters",
        handler=purge,
        body=Letters,
        example={"topic": "comment.added", "reason": "failed"},
        answer=Purged,
    ),
    Operation(
        method="GET",
        path="/v1/dead-letters/{topic}/{id}",
        summary="Tell of a dead letter",
        handler=get,
        answer=DeadLetterDocument,
    ),
    Operation(
        method="PUT",
        path="/v1/dead-letters/{topic}/{id}",
        summary="Put a dead letter back with another payload",
        handler=edit,
        body=Edited,
        example={"data": {"text": "mended"}},
        answer=Redriven,
        most_bytes=_MOST_BYTES,
    ),
)
