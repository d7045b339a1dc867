"""Where durable events are kept, for tests of the seam itself: in memory, in a SQLite file, on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.suite.raw import Raw
from tests.suite.seen import Seen
from tieline.durable.mail import Appended, Claimed, Draft, Entry, GroupFigures, Mail, Member, Settlement, Verdict
from tieline.transport import Interest, Route, Transport
from tieline.transports.memory import MemoryTransport
from tieline.transports.redis import RedisTransport

LEASE = 60.0
GROUP = "default"
KINDS = ("memory", "file", "redis")


class Woken(Raw):
    """An instance that remembers what it was woken for."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.woken = Seen()

    def on_mail(self, topic: str, group: str) -> None:
        self.woken.append((topic, group))


class Box:
    """The mail of one topic, with few words."""

    def __init__(self, raw: Woken, topic: str) -> None:
        self.raw = raw
        self.mail: Mail = raw.port.mail
        self.topic = topic

    async def listen(self, group: str = GROUP) -> Seen:
        """Be woken for a group."""
        await self.raw.port.register([Interest(Route.MAIL, self.topic, group)])
        return self.raw.woken

    async def put(self, *events: str, most: int = 0, together: bool = False) -> list[Appended]:
        """Store events: "k1" is the first one of the key k, "5:a" has no key and the priority 5."""
        return list(await self.mail.append(self.topic, self.drafts(*events), most=most, together=together))

    def drafts(self, *events: str) -> list[Draft]:
        """Events as `put` names them."""
        return [_draft(event) for event in events]

    async def enroll(self, group: str = GROUP, *, latest: bool = False) -> bool:
        return (await self.mail.enroll(self.topic, group, latest=latest)).new

    async def claim(
        self, slots: int = 100, *, group: str = GROUP, entries: int = 1000, lease: float = LEASE
    ) -> Claimed:
        return await self.mail.claim(self.topic, group, slots, entries, lease)

    async def read(self, slots: int = 100, *, group: str = GROUP, entries: int = 1000) -> dict[str, list[str]]:
        """All that is ready, by key."""
        found: dict[str, list[str]] = {}
        while members := (await self.claim(slots, group=group, entries=entries)).members:
            for member in members:
                found.setdefault(member.key, []).extend(names(member.entries))
        return found

    async def settle(
        self,
        claimed: Claimed,
        verdict: Verdict,
        argument: bytes = b"",
        *,
        member: Member | None = None,
        handled: int | None = None,
        group: str = GROUP,
        claims: bool = False,
    ) -> list[bool]:
        """Settle what was claimed, or one member of it; so many of its entries were handled, all unless said."""
        members = claimed.members if member is None else [member]
        settlements = [
            Settlement(each.name, claimed.token, verdict, argument, [entry.id for entry in each.entries][:handled])
            for each in members
        ]
        return await self.mail.settle(self.topic, group, settlements, LEASE, claims=claims)

    async def figures(self, group: str = GROUP) -> GroupFigures:
        (found,) = [figures for figures in await self.mail.groups(self.topic) if figures.group == group]
        return found


def names(entries: Sequence[Entry]) -> list[str]:
    return [entry.envelope.decode() for entry in entries]


def _draft(event: str) -> Draft:
    name, _, known_as = event.partition("=")
    lane, colon, _ = name.partition(":")
    key, priority = ("", int(lane)) if colon else (name.rstrip("0123456789"), 5)
    return Draft(key, priority, known_as, 60_000 if known_as else 0, name.encode())


@asynccontextmanager
async def opened(transport: Transport, topic: str) -> AsyncIterator[Box]:
    """The mail of one topic at the end of a transport."""
    try:
        yield Box(await Woken(transport).open(), topic)
    finally:
        await transport.aclose()


def transport_of(kind: str, file: Path, redis_url: str) -> Transport:
    if kind == "redis":
        return RedisTransport(redis_url)
    return MemoryTransport(store=file if kind == "file" else None)
