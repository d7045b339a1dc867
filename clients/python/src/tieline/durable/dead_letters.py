"""What was not handled: dead letters, and keys that stopped. Rules: SPEC.md, section 14."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from tieline import codec, topics
from tieline._contract import durable_pb2
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.context import Event
from tieline.durable.mail import DEFAULT_GROUP, Letter, Mail, Redriven
from tieline.durable.steps import DurableSteps
from tieline.envelope import EVENT, error_from_wire
from tieline.errors import InvalidArgumentError, NotFoundError, TielineError
from tieline.outgoing import check_headers, check_key

_PAGE = 200
_MOST = 1_000
_REASONS = ("failed", "rejected", "expired")
_is_entry = re.compile(r"[0-9]{1,20}-[0-9]{1,20}", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A durable event that was given up.

    Attributes:
        id: of the letter; of a parked key, empty.
        topic: it was published on.
        group: the subscription group in which it failed.
        reason: "failed" (its attempts were used up), "rejected" or "expired".
        attempts: how often it was handled.
        redriven: how often it was put back before.
        error: the last one.
        time: when it was given up, by the broker's clock.
        event: as it was published; `event.data` decodes its payload, `event.key` is its key.

    """

    id: str
    topic: str
    group: str
    reason: str
    attempts: int
    redriven: int
    error: TielineError
    time: datetime
    event: Event


class House(Protocol):
    """Where the mail is."""

    async def start(self) -> None:
        """Connect if need be."""

    @property
    def mail(self) -> Mail:
        """Where durable events are."""
        ...

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    @property
    def steps(self) -> DurableSteps:
        """Where each step of an event is noted."""
        ...


class DeadLetters:
    """Lists, puts back and deletes dead letters: `events.dead_letters`.

    All methods raise UnavailableError while the broker is away. Filters name a group, a reason or a key; one that makes
    no sense is an InvalidArgumentError.
    """

    def __init__(self, house: House) -> None:
        self._house = house

    async def list(
        self,
        topic: str,
        *,
        group: str | None = None,
        reason: str | None = None,
        key: str | None = None,
        after: str = "",
        limit: int = 50,
    ) -> list[DeadLetter]:
        """Dead letters of a topic, oldest first; the next page begins `after` the id of the last one.

        Raises:
            NotFoundError: `after` is no id of a dead letter.

        """
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"limit is a whole number from 1 to {_MOST}, not {limit!r:.80}")
        if after:
            _check_id(after)
        found: list[DeadLetter] = []
        async for letter in self._all(topic, _that(group, reason, key), after):
            found.append(letter)
            if len(found) == limit:
                break
        return found

    async def get(self, topic: str, id: str) -> DeadLetter:
        """One dead letter.

        Raises:
            NotFoundError: there is none of this id, or no more.

        """
        async for letter in self._all(topic, lambda letter: True, id_before(id)):
            if letter.id == id:
                return letter
            break
        raise NotFoundError(f"{topic!r} has no dead letter {id!r}; it may have been put back or deleted")

    async def redrive(
        self,
        topic: str,
        ids: Sequence[str] | None = None,
        *,
        group: str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> int:
        """Put dead letters back: those of these ids (one, or several), else all that fit the filters.

        Each goes to the end of its key, or among the events without key, for the group it failed in alone; however many
        ask for it, once; it stays where it is if that group was removed. Returns how many were put back by this call.
        """
        moved = 0
        async for page in self._pages(topic, ids, _that(group, reason, key)):
            moved += await self._put_back(topic, page)
        return moved

    async def edit(self, topic: str, id: str, data: Any, *, headers: Mapping[str, str] | None = None) -> None:
        """Put a dead letter back with another payload, and other headers if they are given.

        Raises:
            NotFoundError: there is none of this id, or no more.
            InvalidPayloadError: the payload cannot travel.

        """
        letter = await self.get(topic, id)
        envelope = Envelope()
        envelope.CopyFrom(letter.event.envelope)
        envelope.data = codec.encode(data, envelope.content_type)
        if headers is not None:
            envelope.headers.clear()
            envelope.headers.update(check_headers(headers))
        if not await self._put_back(topic, [letter], envelope):
            raise NotFoundError(f"the dead letter {id!r} of {topic!r} was put back or deleted meanwhile")

    async def purge(
        self,
        topic: str,
        ids: Sequence[str] | None = None,
        *,
        group: str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> int:
        """Delete dead letters: those of these ids (one, or several), else all that fit; returns how many."""
        deleted = 0
        async for page in self._pages(topic, ids, _that(group, reason, key)):
            deleted += await self._house.mail.purge(topic, [letter.id for letter in page])
        return deleted

    async def _put_back(self, topic: str, letters: Sequence[DeadLetter], instead: Envelope | None = None) -> int:
        redriven = [put_back(letter, instead, expires=False) for letter in letters]  # it is wanted now
        entries = await self._house.mail.redrive(topic, redriven)
        return note_redriven(self._house.steps, letters, entries)

    async def _pages(
        self, topic: str, ids: Sequence[str] | None, that: Callable[[DeadLetter], bool]
    ) -> AsyncIterator[list[DeadLetter]]:
        """What was there when it began, a page at a time."""
        if ids is not None:
            found = [letter for each in _wanted(ids) async for letter in self._of(topic, each)]
            yield found
            return
        await self._house.start()
        now, page = self._house.clock.now(), list[DeadLetter]()
        async for letter in self._all(topic, that, ""):
            if letter.time.timestamp() * 1000 > now:
                break
            page.append(letter)
            if len(page) == _PAGE:
                yield page
                page = []
        yield page

    async def _of(self, topic: str, id: str) -> AsyncIterator[DeadLetter]:
        try:
            yield await self.get(topic, id)
        except NotFoundError:
            return

    async def _all(self, topic: str, that: Callable[[DeadLetter], bool], after: str) -> AsyncIterator[DeadLetter]:
        topics.check_topic(topic)
        await self._house.start()
        while page := await self._house.mail.letters(topic, after, _PAGE):
            for found in page:
                letter = read_letter(found, self._house.clock)
                if that(letter):
                    yield letter
            after = page[-1].id


class ParkedKeys:
    """Keys that stopped because their first event failed for the last time: `events.parked`.

    Their events wait until somebody lets the key go on. All methods raise UnavailableError while the broker is away.
    """

    def __init__(self, house: House) -> None:
        self._house = house

    async def list(self, topic: str, *, group: str = DEFAULT_GROUP) -> list[DeadLetter]:
        """What stopped keys of a topic; `event.key` is the key."""
        topics.check_topic(topic)
        await self._house.start()
        found = await self._house.mail.parked(topic, group)
        return [read_letter(Letter("", letter), self._house.clock, key) for key, letter in found]

    async def unpark(self, topic: str, key: str, *, group: str = DEFAULT_GROUP) -> None:
        """Let a key go on with the event that stopped it, which is handled as if for the first time.

        Raises:
            NotFoundError: the key is not parked.

        """
        await self._let_go(topic, key, group, skip=False)

    async def skip(self, topic: str, key: str, *, group: str = DEFAULT_GROUP) -> None:
        """Let a key go on past the event that stopped it, which becomes a dead letter.

        Raises:
            NotFoundError: the key is not parked.

        """
        await self._let_go(topic, key, group, skip=True)

    async def _let_go(self, topic: str, key: str, group: str, *, skip: bool) -> None:
        topics.check_topic(topic)
        check_key(key, "key")
        await self._house.start()
        if not await self._house.mail.unpark(topic, group, key, skip=skip):
            raise NotFoundError(f"the key {key!r} of {topic!r} is not parked in the group {group!r}")


def _that(group: str | None, reason: str | None, key: str | None) -> Callable[[DeadLetter], bool]:
    """A filter by what is given."""
    if reason is not None and reason not in _REASONS:
        raise InvalidArgumentError(f"reason is 'failed', 'rejected' or 'expired', not {reason!r:.80}")

    def fits(letter: DeadLetter) -> bool:
        wanted = ((group, letter.group), (reason, letter.reason), (key, letter.event.key))
        return all(want is None or want == has for want, has in wanted)

    return fits


def _check_id(id: str) -> None:
    if not isinstance(id, str) or not _is_entry(id):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise NotFoundError(f"{id!r:.80} is no id of a dead letter")


def _wanted(ids: Sequence[str]) -> Sequence[str]:
    wanted = [ids] if isinstance(ids, str) else ids
    if not isinstance(wanted, Collection) or not all(isinstance(each, str) for each in wanted):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"ids are texts, those of the dead letters that are listed, not {ids!r:.80}")
    return wanted


def id_before(id: str) -> str:
    """The id just before one, so that it is the next that is found.

    Raises:
        NotFoundError: no dead letter has such an id.

    """
    _check_id(id)
    ms, _, number = id.partition("-")
    return f"{ms}-{int(number) - 1}" if int(number) else f"{max(0, int(ms) - 1)}-{2**64 - 1}"


def put_back(letter: DeadLetter, instead: Envelope | None = None, *, expires: bool = True) -> Redriven:
    """What puts a dead letter back, its event or another one instead of it; that is counted in the event."""
    again = Envelope()
    again.CopyFrom(instead or letter.event.envelope)
    again.redriven = letter.redriven + 1
    if not expires:
        again.ttl_ms = again.expires_at = 0
    return Redriven(letter.id, letter.group, letter.event.key, letter.event.priority, again.SerializeToString())


def note_redriven(steps: DurableSteps, letters: Sequence[DeadLetter], entries: Sequence[str]) -> int:
    """Dead letters were put back, those that have a new entry; returns how many."""
    moved = [(letter, entry) for letter, entry in zip(letters, entries, strict=True) if entry]
    for letter, entry in moved:
        steps.redriven(letter.event.envelope, letter.id, letter.group, entry)
    return len(moved)


def read_letter(found: Letter, clock: Clock, key: str = "") -> DeadLetter:
    """A dead letter as people see it; of a parked key, that key, whatever can be read of its event."""
    letter = durable_pb2.DeadLetter.FromString(found.letter)
    envelope = _envelope_of(letter)
    envelope.key = key or envelope.key
    event = Event(envelope, clock)
    return DeadLetter(
        found.id,
        letter.topic,
        letter.group,
        letter.reason,
        letter.attempts,
        event.envelope.redriven,
        error_from_wire(letter.error),
        datetime.fromtimestamp(letter.time / 1000, UTC),
        event,
    )


def _envelope_of(letter: durable_pb2.DeadLetter) -> Envelope:
    """As it was published; what another program wrote and cannot be read is shown as the bytes it is."""
    try:
        return Envelope.FromString(letter.envelope)
    except DecodeError:
        return Envelope(kind=EVENT, topic=letter.topic, data=letter.envelope, content_type=codec.OCTETS)  # pyright: ignore[reportArgumentType]
