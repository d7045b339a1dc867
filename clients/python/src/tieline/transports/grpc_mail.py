"""Durable events through a gateway: `Mail` asks over the Link (SPEC.md, sections 8 and 14).

Leases outlive a Link: what one Link claimed may be settled over the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tieline._contract import contract
from tieline._contract import durable_pb2 as wire
from tieline._contract import gateway_pb2 as link_wire
from tieline.durable.mail import (
    Appended,
    Claimed,
    Draft,
    Enrolled,
    Entry,
    GroupFigures,
    Letter,
    Member,
    NoStream,
    Redriven,
    Settlement,
    Stored,
    no_replicas,
)
from tieline.envelope import error_from_wire
from tieline.errors import PayloadTooLargeError, TielineError, UnavailableError
from tieline.transports.grpc_link import LinkBrokenError
from tieline.transports.grpc_links import Links
from tieline.transports.together import Together

T = TypeVar("T")

_TOGETHER = 64
_MANY_BYTES = 262_144
_ROOM_EACH = 128
_MOST_LETTERS = 1_000


class _Batch(Together[Appended]):
    """Events of one topic that share an item, and who waits for it."""

    __slots__ = ("append", "size", "topic")

    def __init__(self, topic: str, most: int, together: bool) -> None:
        super().__init__()
        self.topic = topic
        self.append = wire.Append(most=most, together=together)
        self.size = 0

    def add(self, drafts: Sequence[Draft]) -> asyncio.Future[list[Appended]]:
        for draft in drafts:
            self.append.drafts.add(envelope=draft.envelope, known_as=draft.known_as, window_ms=draft.window)
            self.size += draft.size
        return self.wait(len(drafts))

    def answered(self, answer: asyncio.Future[wire.MailResponse]) -> None:
        """Tell those who wait where their events are, or why nobody knows."""
        if answer.exception() is not None:
            self.fail(_broken())
        elif answer.result().HasField("error"):
            self.fail(error_from_wire(answer.result().error))
        else:
            self.done([_stored(one) for one in answer.result().stored])


class GrpcMail:
    """Durable events of one instance at a gateway."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._gathered: dict[tuple[str, int], _Batch] = {}

    # --- append ---------------------------------------------------------------------------------------------------

    def append(
        self, topic: str, drafts: Sequence[Draft], *, together: bool = False, most: int = 0
    ) -> asyncio.Future[list[Appended]]:
        """See `Mail.append`. What is stored in one turn of the loop shares an item for each topic.

        If the link breaks first, whether they were stored is unknown.

        Raises:
            UnavailableError, OverloadedError: nothing can be sent now.
            PayloadTooLargeError: they are to be stored together, and are more than a message may hold.

        """
        self._links.require()
        if together:
            _check_size(drafts)
            self._flush()
            batch = _Batch(topic, most, together)
            future = batch.add(drafts)
            self._send(batch)
            return future
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        batch = self._gathered.get((topic, most))
        if batch is None:
            batch = self._gathered[topic, most] = _Batch(topic, most, together)
        future = batch.add(drafts)
        if len(batch.append.drafts) >= _TOGETHER or batch.size >= _MANY_BYTES:
            self._flush()
        return future

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for batch in gathered.values():
            self._send(batch)

    def _send(self, batch: _Batch) -> None:
        item = link_wire.ClientItem(mail=wire.MailRequest(topic=batch.topic, append=batch.append))
        try:
            self._links.require().begin(item).add_done_callback(batch.answered)
        except TielineError as error:
            batch.fail(error)

    # --- claim and settle -----------------------------------------------------------------------------------------

    async def append_to_replicas(
        self, topic: str, drafts: Sequence[Draft], replicas: int, *, most: int = 0
    ) -> list[Appended]:
        """See `Mail.append_to_replicas`."""
        raise no_replicas()

    async def enroll(self, topic: str, group: str, *, latest: bool, again: bool = False, service: str = "") -> Enrolled:
        """See `Mail.enroll`. The gateway has the service from the Link."""
        answer = await self._ask(topic, group, enroll=wire.Enroll(latest=latest, again=again))
        return Enrolled(answer.yes, answer.other)

    async def claim(
        self, topic: str, group: str, slots: int, entries: int, lease: float, *, holder: str = ""
    ) -> Claimed:
        """See `Mail.claim`. The gateway knows whose leases they are."""
        claim = wire.Claim(slots=slots, entries=entries, lease_ms=int(lease * 1000))
        told = (await self._ask(topic, group, claim=claim)).claimed
        again = told.again_ms / 1000 if told.HasField("again_ms") else None
        return Claimed(told.token, again, told.lost, [_member(member) for member in told.members])

    async def settle(
        self, topic: str, group: str, settlements: Sequence[Settlement], lease: float, *, claims: bool, holder: str = ""
    ) -> list[bool]:
        """See `Mail.settle`."""
        kept: list[bool] = []
        for some in _portions(settlements, _settlement_size):
            settle = wire.Settle(settlements=map(_settlement, some), lease_ms=int(lease * 1000), claims=claims)
            kept += (await self._ask(topic, group, settle=settle)).kept
        return kept

    async def extend(
        self, topic: str, group: str, leases: Sequence[tuple[bytes, bytes]], lease: float, *, holder: str = ""
    ) -> list[bool]:
        """See `Mail.extend`."""
        named = [wire.Lease(member=member, token=token) for member, token in leases]
        extend = wire.Extend(leases=named, lease_ms=int(lease * 1000))
        return list((await self._ask(topic, group, extend=extend)).kept)

    # --- what people ask ------------------------------------------------------------------------------------------

    async def topics(self) -> list[str]:
        """See `Mail.topics`."""
        return list((await self._ask("", "", list_topics=wire.ListTopics())).names)

    async def groups(self, topic: str) -> list[GroupFigures]:
        """See `Mail.groups`."""
        return [_figures(one) for one in (await self._ask(topic, "", list_groups=wire.ListGroups())).groups]

    async def dismiss(self, topic: str, group: str) -> bool:
        """See `Mail.dismiss`."""
        return (await self._ask(topic, group, dismiss=wire.Dismiss())).yes

    async def letters(self, topic: str, after: str, limit: int) -> list[Letter]:
        """See `Mail.letters`."""
        found: list[Letter] = []
        while len(found) < limit:
            some = min(limit - len(found), _MOST_LETTERS)
            asked = wire.ListLetters(after=found[-1].id if found else after, limit=some)
            page = (await self._ask(topic, "", list_letters=asked)).letters
            found += [Letter(one.id, one.letter) for one in page]
            if len(page) < some:
                break
        return found

    async def redrive(self, topic: str, letters: Sequence[Redriven]) -> list[str]:
        """See `Mail.redrive`."""
        moved: list[str] = []
        for some in _portions(letters, _redriven_size):
            named = [wire.Redriven(id=one.id, group=one.group, envelope=one.envelope) for one in some]
            moved += (await self._ask(topic, "", redrive=wire.Redrive(letters=named))).names
        return moved

    async def purge(self, topic: str, ids: Sequence[str]) -> int:
        """See `Mail.purge`."""
        deleted = 0
        for at in range(0, len(ids), contract.LIMIT_APPEND_EVENTS):
            some = ids[at : at + contract.LIMIT_APPEND_EVENTS]
            deleted += (await self._ask(topic, "", purge=wire.Purge(ids=some))).count
        return deleted

    async def parked(self, topic: str, group: str) -> list[Letter]:
        """See `Mail.parked`."""
        answer = await self._ask(topic, group, list_parked=wire.ListParked())
        return [Letter(one.id, one.letter) for one in answer.letters]

    async def unpark(self, topic: str, group: str, key: str, *, skip: bool) -> bool:
        """See `Mail.unpark`."""
        return (await self._ask(topic, group, unpark=wire.Unpark(key=key, skip=skip))).yes

    async def _ask(self, topic: str, group: str, **ask: Any) -> wire.MailResponse:
        """Ask the gateway; raises the error it said."""
        item = link_wire.ClientItem(mail=wire.MailRequest(topic=topic, group=group, **ask))
        try:
            answer: wire.MailResponse = await self._links.require().ask(item)
        except LinkBrokenError:
            raise _broken() from None
        if answer.HasField("error"):
            raise error_from_wire(answer.error)
        return answer


def _broken() -> TielineError:
    return UnavailableError("the link to the gateway broke before it answered; whether it was done is unknown")


def _check_size(drafts: Sequence[Draft]) -> None:
    size, most = sum(draft.size for draft in drafts), contract.LIMIT_APPEND_BYTES
    if size > most:
        message = f"{len(drafts)} events that are stored together take {size} bytes; over a gateway at most {most}"
        raise PayloadTooLargeError(message, details={"size": size, "limit": most})


def _portions(items: Sequence[T], size_of: Any) -> Iterator[Sequence[T]]:
    """In their order, so many at a time that they make about as large a frame as one should be."""
    first = size = 0
    for at, item in enumerate(items):
        size += size_of(item)
        if size > contract.LIMIT_FRAME_BYTES and at > first:
            yield items[first:at]
            first, size = at, size_of(item)
    if items:
        yield items[first:]


def _settlement_size(one: Settlement) -> int:
    return len(one.member) + len(one.argument) + _ROOM_EACH * (1 + len(one.entries))


def _redriven_size(one: Redriven) -> int:
    return len(one.envelope) + _ROOM_EACH


def _settlement(one: Settlement) -> wire.Settlement:
    member, token, verdict, argument, entries = one
    return wire.Settlement(member=member, token=token, verdict=verdict, argument=argument, entries=entries)


def _stored(one: wire.Stored) -> Appended:
    if one.taken:
        return NoStream(one.stream)
    return Stored(one.stream, one.entry, one.duplicate) if one.stream else None


def _member(one: wire.Member) -> Member:
    entries = [Entry(entry.id, entry.envelope, entry.group) for entry in one.entries]
    return Member(one.name, one.key, one.failures, entries)


def _figures(one: wire.GroupFigures) -> GroupFigures:
    oldest = one.oldest if one.HasField("oldest") else None
    return GroupFigures(one.group, one.since, one.keys, one.waiting, one.pending, one.parked, oldest)
