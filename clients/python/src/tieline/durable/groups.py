"""Subscription groups of durable events, and how far they are. Rules: SPEC.md, section 14."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tieline import topics
from tieline.durable.dead_letters import House
from tieline.durable.mail import GroupFigures
from tieline.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Group:
    """A subscription group of a topic: events wait for it until it has handled them, also while nobody runs.

    Attributes:
        topic: its topic.
        name: "default" for whoever names none.
        since: it gets what was stored after this moment; None: everything.
        keys: keys that have something for it.
        waiting: events it has not handled, those under way among them: its lag.
        pending: events that are being handled, or wait for a retry.
        parked: keys that stopped.
        oldest_seconds: how long the oldest of what waits is stored; None if nothing waits.

    """

    topic: str
    name: str
    since: datetime | None
    keys: int
    waiting: int
    pending: int
    parked: int
    oldest_seconds: float | None


class Groups:
    """Lists and removes subscription groups: `events.groups`. Its methods raise UnavailableError without a broker."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def topics(self) -> list[str]:
        """Topics that have, or had, durable events."""
        await self._house.start()
        return await self._house.mail.topics()

    async def list(self, topic: str) -> list[Group]:
        """The groups of a topic. Counting takes time with the number of keys that have something to handle."""
        topics.check_topic(topic)
        await self._house.start()
        return [self._read(topic, figures) for figures in await self._house.mail.groups(topic)]

    async def remove(self, topic: str, name: str) -> None:
        """Remove a group: nothing waits for it any more, and its subscriptions end, within about two seconds.

        Raises:
            NotFoundError: there is no such group.

        """
        topics.check_topic(topic)
        await self._house.start()
        if not await self._house.mail.dismiss(topic, name):
            raise NotFoundError(f"{topic!r} has no subscription group {name!r}")

    def _read(self, topic: str, figures: GroupFigures) -> Group:
        name, since, keys, waiting, pending, parked, oldest = figures
        begun = datetime.fromtimestamp(since / 1000, UTC) if since else None
        age = None if oldest is None else max(0.0, (self._house.clock.now() - oldest) / 1000)
        return Group(topic, name, begun, keys, waiting, pending, parked, age)
