"""The seam to the SQL table that history is kept in: what a row is, what can be asked for. Rules: SPEC.md, section 17.

Moments are milliseconds since 1970, by the broker's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

STATUSES = ("pending", "processed", "failed")
"""What can have become of an event: stored and not handled by every group, done with, or a dead letter."""

_SEQUENCE_BITS = 20
_LONGEST_TEXT = 1_000
_LAST = 2**63 - 1


class RecordedEvent(NamedTuple):
    """One event as history has it: a row of the table `events`.

    Attributes:
        id: identity of the event; there is one row for each.
        type: its topic.
        time, expires_at: when it was published, and when it expires; 0 for never.
        status: see `STATUSES`.
        retry_count: how often its handling was tried again before it became a dead letter.
        error_msg: why it became one.
        headers: text by name.
        data: the payload as it travelled; empty of what the system publishes.
        stream, entry: where the broker stored it; empty for live events.
        recorded_at: when it was read from the tape.
        position: its place on the tape: events are in the order in which the broker had them.
        revision: place on the tape of what changed its status last; 0 if nothing did.

    """

    id: str
    type: str
    key: str
    source: str
    correlation_id: str
    causation_id: str
    time: int
    expires_at: int
    status: str
    retry_count: int
    error_msg: str
    content_type: str
    schema_version: str
    priority: int
    hops: int
    headers: dict[str, str]
    data: bytes
    stream: str
    entry: str
    recorded_at: int
    position: int
    revision: int = 0

    @property
    def size(self) -> int:
        """About how many bytes its row takes."""
        texts = (self.id, self.type, self.key, self.source, self.error_msg, self.stream)
        headers = sum(len(name) + len(value) for name, value in self.headers.items())
        return len(self.data) + headers + sum(map(len, texts)) + 200


class Order(StrEnum):
    """In which order events are read."""

    NEWEST = "newest"
    OLDEST = "oldest"
    BROKER = "broker"
    """As the broker had them, so that the events of a key are in their order."""


class Selection(NamedTuple):
    """Which events; what is empty or None selects all.

    Attributes:
        types: topics, or patterns with `*` and a final `>`.
        start, end: published at this moment or later, and before that one.
        status: one of `STATUSES`.
        source: a service, or `service/instance`.

    """

    types: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None
    status: str = ""
    source: str = ""


class Waiting(NamedTuple):
    """A row whose event was stored, and perhaps is not handled yet."""

    position: int
    id: str
    stream: str
    entry: str
    revision: int


class StoreFigures(NamedTuple):
    """What a store holds: rows, their bytes (about), and the moments of the first and the last event; 0 for none."""

    rows: int
    bytes: int
    oldest: int
    newest: int


class Retention(NamedTuple):
    """How much history is kept; 0 for no bound.

    Attributes:
        age_ms: events that were published longer ago go.
        rows: the oldest beyond so many go.
        bytes: the oldest beyond so many bytes go; about, and without what indexes take.

    """

    age_ms: int = 0
    rows: int = 0
    bytes: int = 0


class EventStore(Protocol):
    """A SQL table of events. Everything raises UnavailableError while the database cannot be used."""

    async def write(self, rows: Sequence[RecordedEvent]) -> None:
        """Have exactly one row for each id, in one transaction.

        What is there already stays, unless the new row has a greater revision: then its status, what belongs to that,
        and its place at the broker are taken over.

        Raises:
            InvalidPayloadError: the database refuses one of them for what it holds.

        """
        ...

    async def check(self) -> None:
        """Asked before the first event is recorded: can this ever work? Nothing is said while that is not known.

        Raises:
            InvalidArgumentError: it cannot: no folder, no database, a table of somebody else, no right to use it.

        """
        ...

    async def get(self, event_id: str) -> RecordedEvent | None:
        """The event with this id, if it is there."""
        ...

    async def select(
        self, selection: Selection, order: Order, *, after: str = "", skip: int = 0, limit: int
    ) -> list[RecordedEvent]:
        """Events in this order: those that come after a cursor (see `cursor_of`), without so many of them."""
        ...

    async def count(self, selection: Selection) -> int:
        """How many there are."""
        ...

    async def delete(self, ids: Sequence[str]) -> int:
        """Delete events by id; returns how many there were."""
        ...

    async def delete_selected(self, selection: Selection) -> int:
        """Delete all that are selected; returns how many."""
        ...

    async def waiting(self, after: tuple[int, str], limit: int) -> list[Waiting]:
        """Rows that are pending, in the order of their positions and ids, after these."""
        ...

    async def finish(self, rows: Sequence[Waiting]) -> int:
        """Rows that are still as they were read are processed; returns how many."""
        ...

    async def trim(self, retention: Retention, now: int) -> int:
        """Delete some of what is not to be kept; returns how many: ask again until that is 0."""
        ...

    async def figures(self) -> StoreFigures:
        """What it holds."""
        ...

    async def aclose(self) -> None:
        """Close the connections. Idempotent; the next use opens them again."""
        ...


def merged(rows: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    """One row for each id: the first one, with what the last change of its status says."""
    by_id: dict[str, RecordedEvent] = {}
    for row in rows:
        there = by_id.get(row.id)
        if there is None:
            by_id[row.id] = row
            continue
        first = there if there.position <= row.position else row
        by_id[row.id] = _changed(first, max(there, row, key=lambda one: one.revision))
    return list(by_id.values())


def _changed(row: RecordedEvent, change: RecordedEvent) -> RecordedEvent:
    failed = change.status == "failed"
    return row._replace(
        status=change.status,
        retry_count=change.retry_count if failed else max(row.retry_count, change.retry_count),
        error_msg=change.error_msg if failed else row.error_msg or change.error_msg,
        stream=change.stream or row.stream,
        entry=change.entry or row.entry,
        revision=change.revision,
    )


def cursor_of(row: RecordedEvent, order: Order) -> str:
    """Where to go on after an event."""
    return f"{row.position if order is Order.BROKER else row.time}-{row.id}"


def position_of(entry: str) -> int:
    """The number for an id of an entry, as in 1767225600000-0."""
    milliseconds, _, sequence = entry.partition("-")
    count = min(int(sequence or "0"), (1 << _SEQUENCE_BITS) - 1)
    return min(int(milliseconds) << _SEQUENCE_BITS | count, _LAST)


def shortened(text: str) -> str:
    """A message as a row holds it."""
    return text[:_LONGEST_TEXT]
