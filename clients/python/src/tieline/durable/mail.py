"""The seam for durable events: what a port stores, leases and settles. Rules: SPEC.md, section 14.

Names of members, ids of entries and tokens are the broker's own; whoever gets them gives them back as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from tieline.errors import ConflictError, NotFoundError, UnsupportedError

DEFAULT_GROUP = "default"
"""The subscription group of whoever names none: one, shared by all of them."""

_ROOM_EACH = 128


class Draft(NamedTuple):
    """An event to be stored.

    Attributes:
        key: its ordering key; empty for an event without.
        priority: its lane, if it has no key.
        known_as: what it is recognised by within the window; empty for nothing.
        window: how long (ms).
        envelope: a serialized Envelope.

    """

    key: str
    priority: int
    known_as: str
    window: int
    envelope: bytes

    @property
    def size(self) -> int:
        """How many bytes it takes on its way, about."""
        return len(self.envelope) + len(self.known_as) + _ROOM_EACH


class Stored(NamedTuple):
    """Where an event was stored.

    Attributes:
        stream: name of its stream at the broker.
        entry: its entry there; empty if it was stored by an earlier try whose answer was lost.
        duplicate: an event was known under its id before, and that one's entry is told.

    """

    stream: str
    entry: str
    duplicate: bool = False


class NoStream(NamedTuple):
    """An event was not stored: the broker has something under the name of its stream that is none."""

    stream: str


Appended = Stored | NoStream | None
"""Where an event was stored, or why it was not; None: there is no room."""


class Enrolled(NamedTuple):
    """A subscription group is registered.

    Attributes:
        new: it was not before.
        other: another service that has subscribed to it; empty if none is known.

    """

    new: bool
    other: str = ""


class Entry(NamedTuple):
    """A stored event: a serialized Envelope, and the only group it is for, if it is not for all."""

    id: bytes
    envelope: bytes
    group: str = ""


class Member(NamedTuple):
    """What a claim leased: a key with the entries at its head, or one event without key.

    Attributes:
        name: the broker's name for it.
        key: the key; empty for an event without.
        failures: how often the handling of its first entry failed before.
        entries: in their order.

    """

    name: bytes
    key: str
    failures: int
    entries: Sequence[Entry]


class Claimed(NamedTuple):
    """What a claim got.

    Attributes:
        token: of the lease of all its members; later leases of a member have greater ones.
        again: when to look again, in seconds; 0: there is more now; None: when told so.
        lost: entries that were deleted while somebody had them.
        members: in the order in which they are to be begun.

    """

    token: bytes
    again: float | None
    lost: int
    members: Sequence[Member]


class Verdict(StrEnum):
    """What is to become of a leased member."""

    DONE = "done"
    KEEP = "keep"
    BEGIN = "begin"
    FREE = "free"
    RETRY = "retry"
    PARK = "park"
    DEAD = "dead"


class Settlement(NamedTuple):
    """What was handled of a member, in order, and what is to become of the rest.

    Attributes:
        member: as claimed.
        token: of its lease.
        verdict: see `Verdict`.
        argument: RETRY: milliseconds to wait, as digits; PARK, DEAD: a serialized DeadLetter.
        entries: ids of what is acknowledged; with DEAD the last one is what failed.

    """

    member: bytes
    token: bytes
    verdict: Verdict
    argument: bytes
    entries: Sequence[bytes]


class GroupFigures(NamedTuple):
    """A subscription group, and how far it is.

    Attributes:
        group: its name.
        since: what was stored before this moment (ms since 1970, broker clock) is not for it; 0: everything is.
        keys: keys that have something for it.
        waiting: events it has not handled; those under way are among them.
        pending: events that were given out and are not acknowledged yet.
        parked: keys that stopped.
        oldest: when the oldest of what waits was stored (ms since 1970); None if nothing does.

    """

    group: str
    since: int
    keys: int
    waiting: int
    pending: int
    parked: int
    oldest: int | None


class Letter(NamedTuple):
    """A dead letter, or what stopped a key: its id (or the key), and a serialized DeadLetter."""

    id: str
    letter: bytes


class Redriven(NamedTuple):
    """A dead letter that is to be put back, for the group it failed in."""

    id: str
    group: str
    key: str
    priority: int
    envelope: bytes


class Mail(Protocol):
    """What a port offers for durable events.

    All methods raise UnavailableError while the broker is away, and UnsupportedError where there are no durable events.
    """

    def append(
        self, topic: str, drafts: Sequence[Draft], *, together: bool = False, most: int = 0
    ) -> Awaitable[list[Appended]]:
        """Store events of a topic, in this order; returns where, or None for what finds no room.

        Together: all or none. `most` bounds the events of a stream; 0 does not. If the broker goes away before it has
        answered, they are sent again as soon as it is back, and stored once.
        """
        ...

    async def append_to_replicas(
        self, topic: str, drafts: Sequence[Draft], replicas: int, *, most: int = 0
    ) -> list[Appended]:
        """As `append`, and return when so many replicas of the broker have it too.

        Raises:
            UnavailableError: it is stored, but not so many replicas have it after 2.5 s; or the connection broke.
            UnsupportedError: this broker has no replicas.

        """
        ...

    async def enroll(self, topic: str, group: str, *, latest: bool, again: bool = False, service: str = "") -> Enrolled:
        """Make sure that a subscription group is registered.

        A new one gets what is stored already, unless `latest`. Who registered it before says so (`again`). `service` is
        that of the subscriber, empty for none; a gateway knows that of its client.

        Raises:
            NotFoundError: it was removed since it was registered before.

        """
        ...

    async def claim(
        self, topic: str, group: str, slots: int, entries: int, lease: float, *, holder: str = ""
    ) -> Claimed:
        """Lease up to so many members with up to so many entries in all, for so many seconds.

        With a `holder` the leases are only of who names the same one to `settle` and `extend`, whatever else they know.
        """
        ...

    async def settle(
        self, topic: str, group: str, settlements: Sequence[Settlement], lease: float, *, claims: bool, holder: str = ""
    ) -> list[bool]:
        """End leases, or parts of them; returns for each whether its lease still was ours.

        With `claims` the caller claims next, and nobody else is woken for what becomes ready.
        """
        ...

    async def extend(
        self, topic: str, group: str, leases: Sequence[tuple[bytes, bytes]], lease: float, *, holder: str = ""
    ) -> list[bool]:
        """Begin leases (member, token) anew; returns for each whether it still was ours."""
        ...

    async def topics(self) -> list[str]:
        """Topics that have, or had, durable events."""
        ...

    async def groups(self, topic: str) -> list[GroupFigures]:
        """The subscription groups of a topic."""
        ...

    async def dismiss(self, topic: str, group: str) -> bool:
        """Remove a subscription group, with what waits for it; returns whether there was one."""
        ...

    async def letters(self, topic: str, after: str, limit: int) -> list[Letter]:
        """Dead letters of a topic, oldest first, after the one with this id ("" for the first)."""
        ...

    async def redrive(self, topic: str, letters: Sequence[Redriven]) -> list[str]:
        """Put dead letters back, each once however many ask; returns their new entries.

        Nothing for one that is gone, or whose group is.
        """
        ...

    async def purge(self, topic: str, ids: Sequence[str]) -> int:
        """Delete dead letters; returns how many there were."""
        ...

    async def parked(self, topic: str, group: str) -> list[Letter]:
        """Keys that stopped, and what stopped them."""
        ...

    async def unpark(self, topic: str, group: str, key: str, *, skip: bool) -> bool:
        """Let a parked key go on: with what stopped it, or past it; returns whether it was parked."""
        ...


def group_removed(topic: str, group: str) -> NotFoundError:
    """What a consumer is told whose group somebody removed."""
    return NotFoundError(f"the subscription group {group!r} of {topic!r} was removed")


def no_stream(name: str) -> ConflictError:
    """What a publisher is told whose stream's name something else has at the broker."""
    return ConflictError(
        f"nothing was stored: the broker has something under the name {name!r} that is no stream; remove that, or "
        "choose another key"
    )


def no_replicas() -> UnsupportedError:
    """What a publisher is told who waits for replicas where the client does not see them."""
    return UnsupportedError("wait_replicas= needs a connection to Redis itself: use redis://")


class NoMail:
    """`Mail` where there are no durable events: everything is an UnsupportedError."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def _unsupported(self) -> UnsupportedError:
        return UnsupportedError(f"durable events cannot be kept here; {self._hint}")

    def append(
        self, topic: str, drafts: Sequence[Draft], *, together: bool = False, most: int = 0
    ) -> Awaitable[list[Appended]]:
        """See `Mail.append`."""
        raise self._unsupported()

    async def append_to_replicas(
        self, topic: str, drafts: Sequence[Draft], replicas: int, *, most: int = 0
    ) -> list[Appended]:
        """See `Mail.append_to_replicas`."""
        raise self._unsupported()

    async def enroll(self, topic: str, group: str, *, latest: bool, again: bool = False, service: str = "") -> Enrolled:
        """See `Mail.enroll`."""
        raise self._unsupported()

    async def claim(
        self, topic: str, group: str, slots: int, entries: int, lease: float, *, holder: str = ""
    ) -> Claimed:
        """See `Mail.claim`."""
        raise self._unsupported()

    async def settle(
        self, topic: str, group: str, settlements: Sequence[Settlement], lease: float, *, claims: bool, holder: str = ""
    ) -> list[bool]:
        """See `Mail.settle`."""
        raise self._unsupported()

    async def extend(
        self, topic: str, group: str, leases: Sequence[tuple[bytes, bytes]], lease: float, *, holder: str = ""
    ) -> list[bool]:
        """See `Mail.extend`."""
        raise self._unsupported()

    async def topics(self) -> list[str]:
        """See `Mail.topics`."""
        raise self._unsupported()

    async def groups(self, topic: str) -> list[GroupFigures]:
        """See `Mail.groups`."""
        raise self._unsupported()

    async def dismiss(self, topic: str, group: str) -> bool:
        """See `Mail.dismiss`."""
        raise self._unsupported()

    async def letters(self, topic: str, after: str, limit: int) -> list[Letter]:
        """See `Mail.letters`."""
        raise self._unsupported()

    async def redrive(self, topic: str, letters: Sequence[Redriven]) -> list[str]:
        """See `Mail.redrive`."""
        raise self._unsupported()

    async def purge(self, topic: str, ids: Sequence[str]) -> int:
        """See `Mail.purge`."""
        raise self._unsupported()

    async def parked(self, topic: str, group: str) -> list[Letter]:
        """See `Mail.parked`."""
        raise self._unsupported()

    async def unpark(self, topic: str, group: str, key: str, *, skip: bool) -> bool:
        """See `Mail.unpark`."""
        raise self._unsupported()
