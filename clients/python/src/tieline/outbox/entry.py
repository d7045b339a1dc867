"""What waits in an outbox."""

from __future__ import annotations

from typing import NamedTuple


class Waiting(NamedTuple):
    """An event that waits.

    Attributes:
        number: in the order in which they were published.
        together: number of the last one of those that are stored with it, all or none; 0 if it is by itself.
        topic: where it goes.
        most: bound of its stream; 0 for none.
        key: its ordering key; empty for none.
        priority: its lane, if it has no key.
        known_as: what the broker recognises it by.
        envelope: a serialized Envelope.

    """

    number: int
    together: int
    topic: str
    most: int
    key: str
    priority: int
    known_as: str
    envelope: bytes


class OutboxFigures(NamedTuple):
    """How many events wait for the broker, and how many bytes that is."""

    events: int
    bytes: int
