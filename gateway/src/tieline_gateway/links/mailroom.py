"""Durable events of one Link: what its client asks of them, asked of the port's mail. Rules: SPEC.md, section 14.

What is leased belongs to whoever has its token, so it outlives the Link; of principals with rules, to the one it was
given to, through whichever gateway.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from tieline._contract import durable_pb2 as wire
from tieline.durable.dead_letters import DeadLetter, id_before, read_letter
from tieline.durable.mail import Appended, Letter, Member, NoStream
from tieline.errors import Outcome, UnavailableError, UnsupportedError
from tieline.outgoing import check_key
from tieline.transport import Port
from tieline_gateway.access import rights
from tieline_gateway.links import mail_door
from tieline_gateway.links.door import Door
from tieline_gateway.links.downlink import Downlink
from tieline_gateway.links.leases import Leases, Place, place_of
from tieline_gateway.links.parts import Answer

_CLAIMS_AT_ONCE = 4
_LETTERS_AT_ONCE = 50
_OF_EVENTS = ("append", "enroll", "claim", "settle", "extend")


class MailAnswer(Answer[wire.MailResponse]):
    """What a client is told of durable events."""

    def __init__(self, ref: int, down: Downlink) -> None:
        super().__init__("mail", wire.MailResponse(ref=ref), down)

    async def letters(self, letters: Iterable[Letter]) -> None:
        """Tell of dead letters."""
        for letter in letters:
            await self.grow(len(letter.letter) + len(letter.id))
            self.message.letters.add(id=letter.id, letter=letter.letter)


Ask = Callable[[wire.MailRequest, Any, MailAnswer], Awaitable[None]]


class Mailroom:
    """Answers one client."""

    def __init__(self, port: Port, door: Door, down: Downlink, leases: Leases) -> None:
        self._port = port
        self._door = door
        self._down = down
        self._leases = leases
        self._meter = door.principal.meter
        self._claims = asyncio.Semaphore(_CLAIMS_AT_ONCE)
        self._appending = asyncio.Lock()
        self._asks: dict[str | None, Ask] = {
            "append": self._append,
            "enroll": self._enroll,
            "claim": self._claim,
            "settle": self._settle,
            "extend": self._extend,
            "list_topics": self._list_topics,
            "list_groups": self._list_groups,
            "dismiss": self._dismiss,
            "list_letters": self._list_letters,
            "redrive": self._redrive,
            "purge": self._purge,
            "list_parked": self._list_parked,
            "unpark": self._unpark,
        }

    async def answer(self, request: wire.MailRequest, answer: MailAnswer) -> None:
        """Ask the broker what a client asks.

        Appends are handed to it one after the other; small ones before this waits for anything. What is not part of an
        event's way counts as a question.

        Raises:
            TielineError: the request breaks a rule, or why there is no answer.

        """
        name = request.WhichOneof("ask")
        if name is None:
            raise UnsupportedError("this gateway does not know what is asked of durable events; it may be too old")
        mail_door.check_place(request, name)
        rights.check_mail(self._door.principal, name, request.topic)
        if name not in _OF_EVENTS:
            self._meter.spend(0)
        await self._asks[name](request, getattr(request, name), answer)

    async def _append(self, request: wire.MailRequest, ask: wire.Append, answer: MailAnswer) -> None:
        async with self._appending:  # they are stored in the order in which they came
            drafts = await mail_door.drafts(self._door, request.topic, ask, self._port.clock.now())
            self._meter.spend(sum(len(draft.envelope) for draft in drafts), len(drafts))
            storing = self._port.mail.append(request.topic, drafts, together=ask.together, most=ask.most)
        for one in await storing:
            await answer.grow(0)
            answer.message.stored.append(appended_to_wire(one))

    async def _enroll(self, request: wire.MailRequest, ask: wire.Enroll, answer: MailAnswer) -> None:
        topic, group, service = request.topic, request.group, self._door.service
        enrolled = await self._port.mail.enroll(topic, group, latest=ask.latest, again=ask.again, service=service)
        answer.message.yes, answer.message.other = enrolled

    async def _claim(self, request: wire.MailRequest, ask: wire.Claim, answer: MailAnswer) -> None:
        slots, entries, lease = mail_door.claim(ask)
        async with self._claims:
            await self._down.outbox.room()
            if not self._down.open:
                raise UnavailableError("the Link has ended", outcome=Outcome.NOT_DELIVERED)
            claimed = await self._port.mail.claim(
                request.topic, request.group, slots, entries, lease, holder=self._holder
            )
            if place := self._place(request):
                self._leases.given(place, claimed.token, claimed.members, lease)
            told = answer.message.claimed
            told.token, told.lost = claimed.token, claimed.lost
            if claimed.again is not None:
                told.again_ms = max(1, int(claimed.again * 1000)) if claimed.again else 0
            for member in claimed.members:
                one = _member(member)
                await answer.grow(one.ByteSize())
                answer.message.claimed.members.append(one)

    async def _settle(self, request: wire.MailRequest, ask: wire.Settle, answer: MailAnswer) -> None:
        topic, group, place = request.topic, request.group, self._place(request)
        settlements, lease = mail_door.settlements(topic, group, ask.settlements), mail_door.lease(ask.lease_ms)
        may = [place is None or self._leases.may_settle(place, each) for each in settlements]
        asked = [each for each, allowed in zip(settlements, may, strict=True) if allowed]
        mail, holder = self._port.mail, self._holder
        kept = await mail.settle(topic, group, asked, lease, claims=ask.claims, holder=holder) if asked else []
        if place:
            for each in itertools.compress(asked, kept):
                self._leases.settled(place, each, lease)
        answer.message.kept.extend(_spread(may, kept))

    async def _extend(self, request: wire.MailRequest, ask: wire.Extend, answer: MailAnswer) -> None:
        leases, lease, place = mail_door.leases(ask.leases), mail_door.lease(ask.lease_ms), self._place(request)
        kept = await self._port.mail.extend(request.topic, request.group, leases, lease, holder=self._holder)
        if place:
            for member, _ in itertools.compress(leases, kept):
                self._leases.extended(place, member, lease)
        answer.message.kept.extend(kept)

    @property
    def _holder(self) -> str:
        """Whose alone leases are; whoever may do everything needs their tokens only."""
        return self._door.principal.name if self._door.principal.restricted else ""

    def _place(self, request: wire.MailRequest) -> Place | None:
        return place_of(self._door.principal, request.topic, request.group)

    async def _list_topics(self, _request: wire.MailRequest, _ask: wire.ListTopics, answer: MailAnswer) -> None:
        for topic in await self._port.mail.topics():
            await answer.grow(len(topic))
            answer.message.names.append(topic)

    async def _list_groups(self, request: wire.MailRequest, _ask: wire.ListGroups, answer: MailAnswer) -> None:
        for one in await self._port.mail.groups(request.topic):
            await answer.grow(len(one.group))
            answer.message.groups.add(**one._asdict())

    async def _dismiss(self, request: wire.MailRequest, _ask: wire.Dismiss, answer: MailAnswer) -> None:
        answer.message.yes = await self._port.mail.dismiss(request.topic, request.group)

    async def _list_letters(self, request: wire.MailRequest, ask: wire.ListLetters, answer: MailAnswer) -> None:
        left, after = mail_door.letter_limit(ask.limit), mail_door.letter_id(ask.after) if ask.after else ""
        while left > 0:
            await self._down.outbox.room()
            some = min(left, _LETTERS_AT_ONCE)
            page = await self._port.mail.letters(request.topic, after, some)
            await answer.letters(page)
            if len(page) < some:
                return
            left, after = left - some, page[-1].id

    async def _redrive(self, request: wire.MailRequest, ask: wire.Redrive, answer: MailAnswer) -> None:
        letters, now = mail_door.redriven(request.topic, ask.letters), self._port.clock.now()
        kept = await self._kept(request.topic, {letter.id for letter in letters})
        back = [mail_door.put_back(self._door, letter, kept[letter.id], now) for letter in letters if letter.id in kept]
        moved = iter(await self._port.mail.redrive(request.topic, back))
        answer.message.names.extend(next(moved) if letter.id in kept else "" for letter in letters)

    async def _kept(self, topic: str, ids: Collection[str]) -> dict[str, DeadLetter]:
        """The dead letters of these ids that are there, whatever a client says of them."""
        kept, reached = dict[str, DeadLetter](), (-1, -1)
        for wanted in sorted(ids, key=_place):
            if _place(wanted) > reached:
                page = await self._port.mail.letters(topic, id_before(wanted), _LETTERS_AT_ONCE)
                kept |= {each.id: read_letter(each, self._port.clock) for each in page if each.id in ids}
                reached = _place(page[-1].id) if page else _place(wanted)
        return kept

    async def _purge(self, request: wire.MailRequest, ask: wire.Purge, answer: MailAnswer) -> None:
        answer.message.count = await self._port.mail.purge(request.topic, mail_door.letter_ids(ask.ids))

    async def _list_parked(self, request: wire.MailRequest, _ask: wire.ListParked, answer: MailAnswer) -> None:
        await answer.letters(await self._port.mail.parked(request.topic, request.group))

    async def _unpark(self, request: wire.MailRequest, ask: wire.Unpark, answer: MailAnswer) -> None:
        key = check_key(ask.key, "key")
        answer.message.yes = await self._port.mail.unpark(request.topic, request.group, key, skip=ask.skip)


def appended_to_wire(one: Appended) -> wire.Stored:
    """Put on the wire where an event is."""
    if one is None:
        return wire.Stored()
    if isinstance(one, NoStream):
        return wire.Stored(stream=one.stream, taken=True)
    return wire.Stored(stream=one.stream, entry=one.entry, duplicate=one.duplicate)


def _spread(may: Iterable[bool], kept: Iterable[bool]) -> list[bool]:
    """What became of each, where only some were asked for."""
    answers = iter(kept)
    return [allowed and next(answers) for allowed in may]


def _member(one: Member) -> wire.Member:
    told = wire.Member(name=one.name, key=one.key, failures=one.failures)
    for entry in one.entries:
        told.entries.add(id=entry.id, envelope=entry.envelope, group=entry.group)
    return told


def _place(id: str) -> tuple[int, int]:
    ms, _, number = id.partition("-")
    return int(ms), int(number)
