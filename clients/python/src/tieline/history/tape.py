"""The seam for recorders: what a broker writes down of all events, until it is in history. Rules: SPEC.md, section 17.

While there is a recorder, everything that is published or stored goes on the tape as well, whoever does it, and what
becomes of stored events. Recorders read it, each entry one of them, and acknowledge what they have written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from tieline._contract.durable_pb2 import DeadLetter
from tieline._contract.envelope_pb2 import Envelope
from tieline.errors import UnsupportedError

EVERYTHING = (">", "system.>")
"""The patterns of all topics: what the system says of itself is covered by no wildcard that comes first."""


class Kind(StrEnum):
    """What happened to an event."""

    LIVE = "live"
    """It was published."""
    STORED = "stored"
    """It was stored, by us or, when it was given out for the first time, by a plain producer."""
    DEAD = "dead"
    """It became a dead letter, or stopped its key."""
    AGAIN = "again"
    """Its dead letter was put back."""
    UNPARKED = "unparked"
    """Its key goes on with it."""


class TapeEntry(NamedTuple):
    """One thing that happened.

    Attributes:
        id: where it is on the tape, as in 1767225600000-0.
        kind: what happened.
        envelope: the event.
        letter: why it is a dead letter, where it is one.
        stream, entry: where the broker has stored it; empty if it has not, or that is not told.

    """

    id: str
    kind: Kind
    envelope: Envelope
    letter: DeadLetter | None = None
    stream: str = ""
    entry: str = ""


class TapeFigures(NamedTuple):
    """How far the recorders are.

    Attributes:
        waiting: entries that are not in history yet.
        oldest: when the first of them happened (ms since 1970, broker clock); None if there is none.
        lost: entries that were cut off before a recorder read them, since the first recorder.
        topics: patterns of what is recorded.

    """

    waiting: int
    oldest: int | None
    lost: int
    topics: tuple[str, ...]


class Tape(Protocol):
    """What a port offers to recorders. Everything raises UnavailableError while the broker is away."""

    async def register(self, topics: Sequence[str] = ()) -> tuple[str, ...]:
        """Say that there is a recorder, and what is recorded, if that is to change; returns what is recorded.

        It is true for a day; say it again before.
        """
        ...

    async def read(self, recorder: str, *, wait: float, idle: float = 0.0) -> list[TapeEntry]:
        """The next entries, or none after so many seconds; nobody else gets them.

        With `idle` also those that another recorder has had for so many seconds without acknowledging them.
        """
        ...

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """They are in history, and go."""
        ...

    async def there(self, places: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether stored events (stream, entry) are still there: every group has handled what is not."""
        ...

    async def figures(self) -> TapeFigures:
        """How far the recorders are."""
        ...

    async def watch(self, told: Callable[[TapeEntry], None], began: Callable[[], None]) -> None:
        """Tell of each event that is stored or put back, until this is cancelled; recorders have nothing to do with it.

        `began` is called when nothing is missed from then on, again after the broker was away. What a plain producer
        stored is told when it is given out for the first time.
        """
        ...

    async def replay(self, topic: str, group: str, envelopes: Sequence[Envelope]) -> int:
        """Store events of one topic for one subscription group alone; returns how many, or -1: there is no such group.

        What comes after one that cannot be stored is not stored either.
        """
        ...

    async def hand(self, group: str, envelope: Envelope) -> bool:
        """Give a live event to the next member of one group; returns whether there is one."""
        ...


class NoTape:
    """`Tape` where nothing can be recorded: everything is an UnsupportedError."""

    def _unsupported(self) -> UnsupportedError:
        return UnsupportedError(
            "a recorder stands beside the broker: record with redis:// or memory://, or have the gateway do it "
            "(tieline up --history)"
        )

    async def register(self, topics: Sequence[str] = ()) -> tuple[str, ...]:
        """See `Tape.register`."""
        raise self._unsupported()

    async def read(self, recorder: str, *, wait: float, idle: float = 0.0) -> list[TapeEntry]:
        """See `Tape.read`."""
        raise self._unsupported()

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """See `Tape.acknowledge`."""
        raise self._unsupported()

    async def there(self, places: Sequence[tuple[str, str]]) -> list[bool]:
        """See `Tape.there`."""
        raise self._unsupported()

    async def figures(self) -> TapeFigures:
        """See `Tape.figures`."""
        raise self._unsupported()

    async def watch(self, told: Callable[[TapeEntry], None], began: Callable[[], None]) -> None:
        """See `Tape.watch`."""
        raise self._unsupported()

    async def replay(self, topic: str, group: str, envelopes: Sequence[Envelope]) -> int:
        """See `Tape.replay`."""
        raise self._unsupported()

    async def hand(self, group: str, envelope: Envelope) -> bool:
        """See `Tape.hand`."""
        raise self._unsupported()


def letter_entry(entry_id: str, kind: Kind, data: bytes) -> TapeEntry:
    """An entry that was written down as a serialized DeadLetter."""
    letter = DeadLetter.FromString(data)
    return TapeEntry(entry_id, kind, Envelope.FromString(letter.envelope), letter)
