"""The seam to the SQL table that history is kept in: what a row is, what can be asked for. Rules: SPEC.md, section 18.

Moments are milliseconds since 1970, by the broker's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from tieline import topics
from tieline._contract import contract
from tieline.errors import InvalidArgumentError

STATUSES = ("pending", "processed", "failed")
"""What can have become of an event: stored and not handled by every group, done with, or a dead letter."""

_SEQUENCE_BITS = 20
_LONGEST_TEXT = 1_000
_LATEST = 2**62
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


# --- what is asked for ------------------------------------------------------------------------------------------------


def check_selection(
    types: object = (), start: object = None, end: object = None, status: object = "", source: object = ""
) -> Selection:
    """Read which events are meant, as it came from elsewhere.

    Raises:
        InvalidTopicError: a type is no topic and no pattern.
        InvalidArgumentError: something else is wrong; the message names it.

    """
    names: tuple[object, ...] = (types,) if isinstance(types, str) and types else tuple(_listed(types))
    checked = tuple(topics.check_pattern(name) for name in names)  # pyright: ignore[reportArgumentType]
    since, until = _moment("start", start), _moment("end", end)
    if since is not None and until is not None and since > until:
        raise InvalidArgumentError(f"start ({since}) is after end ({until}): there is nothing between them; swap them")
    if status is not None and status not in ("", *STATUSES):
        raise InvalidArgumentError(f"status is one of {', '.join(STATUSES)}, not {status!r:.80}")
    if source is not None and not isinstance(source, str):
        raise InvalidArgumentError(f"source is a service, or service/instance, not {source!r:.80}")
    return Selection(checked, since, until, str(status or ""), source or "")


def _listed(types: object) -> Sequence[object]:
    if not types:
        return ()
    if isinstance(types, (list, tuple)):
        return types  # pyright: ignore[reportUnknownVariableType]
    raise InvalidArgumentError(f"types is a list of topics or patterns, not {types!r:.80}")


def _moment(name: str, given: object) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= _LATEST:
        raise InvalidArgumentError(f"{name} is a moment in milliseconds since 1970, not {given!r:.80}")
    return given


def check_limit(given: object) -> int:
    """How many events are wanted at once.

    Raises:
        InvalidArgumentError: it is no number from 1 to 1,000.

    """
    if given is None:
        return contract.DEFAULT_PAGE
    most = contract.LIMIT_PAGE
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
        raise InvalidArgumentError(f"limit is a whole number from 1 to {most:,}, not {given!r:.80}")
    return given


def check_page(given: object) -> int:
    """Which page is wanted, from 1; 0 for none.

    Raises:
        InvalidArgumentError: it is no such number.

    """
    if given is None:
        return 0
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _LATEST >> 10:
        raise InvalidArgumentError(f"page is a whole number from 1, not {given!r:.80}")
    return given


def check_ids(given: object) -> list[str]:
    """Ids of events.

    Raises:
        InvalidArgumentError: they are none, or too many.

    """
    ids: list[object] = list(given) if isinstance(given, (list, tuple)) else [given]  # pyright: ignore[reportUnknownArgumentType]
    if not all(isinstance(each, str) and each for each in ids):
        raise InvalidArgumentError(f"an event's id is a text that is not empty, not {given!r:.80}")
    if len(ids) > contract.LIMIT_PAGE:
        raise InvalidArgumentError(f"at most {contract.LIMIT_PAGE:,} ids at once, not {len(ids):,}")
    return [str(each) for each in ids]


# --- places -----------------------------------------------------------------------------------------------------------


def cursor_of(row: RecordedEvent, order: Order) -> str:
    """Where to go on after an event."""
    return f"{row.position if order is Order.BROKER else row.time}-{row.id}"


def read_cursor(cursor: object) -> tuple[int, str]:
    """The number and the id of a cursor.

    Raises:
        InvalidArgumentError: it is none.

    """
    number, dash, event_id = cursor.partition("-") if isinstance(cursor, str) else ("", "", "")
    if not dash or not number.isascii() or not number.isdecimal() or int(number) > _LAST:
        raise InvalidArgumentError(f"{cursor!r:.80} is no cursor; take the one that came with the last page")
    return int(number), event_id


def position_of(entry: str) -> int:
    """The number for an id of an entry, as in 1767225600000-0."""
    milliseconds, _, sequence = entry.partition("-")
    count = min(int(sequence or "0"), (1 << _SEQUENCE_BITS) - 1)
    return min(int(milliseconds) << _SEQUENCE_BITS | count, _LAST)


def shortened(text: str) -> str:
    """A message as a row holds it."""
    return text[:_LONGEST_TEXT]
