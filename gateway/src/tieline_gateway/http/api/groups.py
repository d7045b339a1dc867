"""`/v1/groups` and `/v1/parked`: subscription groups of durable events, and keys that stopped."""

from __future__ import annotations

import msgspec

from tieline.durable.groups import Group
from tieline.durable.mail import DEFAULT_GROUP
from tieline_gateway.access.principal import Action
from tieline_gateway.http.api.dead_letters import DeadLetterDocument, dead_letter
from tieline_gateway.http.documents import milliseconds
from tieline_gateway.http.operation import Asked, Nothing, Operation


class GroupDocument(msgspec.Struct):
    """A subscription group of a topic: events wait for it until it has handled them, also while nobody runs."""

    topic: str
    name: str
    since: int | None
    """It gets what was stored after this moment (ms since 1970); null: everything."""
    keys: int
    """Keys that have something for it."""
    waiting: int
    """Events it has not handled, those under way among them: its lag."""
    pending: int
    """Events that are being handled, or wait for a retry."""
    parked: int
    """Keys that stopped."""
    oldest_ms: int | None
    """How long the oldest of what waits is stored."""


class TopicGroups(msgspec.Struct):
    """The groups of a topic."""

    topic: str
    groups: list[GroupDocument]


class AllGroups(msgspec.Struct):
    """Topics that have, or had, durable events, and their groups."""

    items: list[TopicGroups]


class ParkedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which group."""

    group: str = DEFAULT_GROUP


class ParkedKeys(msgspec.Struct):
    """What stopped keys; `event.key` is the key."""

    items: list[DeadLetterDocument]


async def find(asked: Asked[Nothing, Nothing]) -> AllGroups:
    """Tell of all topics; those that one may not see are left out."""
    events = asked.gateway.events
    topics = [topic for topic in sorted(await events.groups.topics()) if asked.principal.may(Action.ADMIN, topic)]
    return AllGroups(
        [TopicGroups(topic, [_shown(each) for each in await events.groups.list(topic)]) for topic in topics]
    )


async def of_topic(asked: Asked[Nothing, Nothing]) -> TopicGroups:
    """Tell of one topic."""
    topic = asked.path["topic"]
    asked.principal.check(Action.ADMIN, topic)
    return _topic(topic, await asked.gateway.events.groups.list(topic))


async def remove(asked: Asked[Nothing, Nothing]) -> None:
    """Remove a group: nothing waits for it any more, and its subscriptions end."""
    topic = asked.path["topic"]
    asked.principal.check(Action.ADMIN, topic)
    await asked.gateway.events.groups.remove(topic, asked.path["group"])


async def parked(asked: Asked[ParkedQuery, Nothing]) -> ParkedKeys:
    """Tell what stopped keys."""
    topic = asked.path["topic"]
    asked.principal.check(Action.ADMIN, topic)
    found = await asked.gateway.events.parked.list(topic, group=asked.query.group)
    return ParkedKeys([dead_letter(letter) for letter in found])


async def unpark(asked: Asked[ParkedQuery, Nothing]) -> None:
    """Let a key go on with the event that stopped it."""
    topic = asked.path["topic"]
    asked.principal.check(Action.ADMIN, topic)
    await asked.gateway.events.parked.unpark(topic, asked.path["key"], group=asked.query.group)


async def skip(asked: Asked[ParkedQuery, Nothing]) -> None:
    """Let a key go on past the event that stopped it, which becomes a dead letter."""
    topic = asked.path["topic"]
    asked.principal.check(Action.ADMIN, topic)
    await asked.gateway.events.parked.skip(topic, asked.path["key"], group=asked.query.group)


def _topic(topic: str, groups: list[Group]) -> TopicGroups:
    return TopicGroups(topic, [_shown(each) for each in groups])


def _shown(group: Group) -> GroupDocument:
    return GroupDocument(
        topic=group.topic,
        name=group.name,
        since=milliseconds(group.since),
        keys=group.keys,
        waiting=group.waiting,
        pending=group.pending,
        parked=group.parked,
        oldest_ms=None if group.oldest_seconds is None else round(group.oldest_seconds * 1000),
    )


OPERATIONS = (
    Operation(method="GET", path="/v1/groups", summary="List all subscription groups", handler=find, answer=AllGroups),
    Operation(
        method="GET",
        path="/v1/groups/{topic}",
        summary="List the subscription groups of a topic",
        handler=of_topic,
        answer=TopicGroups,
    ),
    Operation(
        method="DELETE",
        path="/v1/groups/{topic}/{group:path}",
        summary="Remove a subscription group",
        handler=remove,
    ),
    Operation(
        method="GET",
        path="/v1/parked/{topic}",
        summary="List keys that stopped",
        handler=parked,
        query=ParkedQuery,
        answer=ParkedKeys,
    ),
    Operation(
        method="POST",
        path="/v1/parked/{topic}/{key:path}/unpark",
        summary="Let a key go on with the event that stopped it",
        handler=unpark,
        query=ParkedQuery,
    ),
    Operation(
        method="POST",
        path="/v1/parked/{topic}/{key:path}/skip",
        summary="Let a key go on past the event that stopped it",
        handler=skip,
        query=ParkedQuery,
    ),
)
