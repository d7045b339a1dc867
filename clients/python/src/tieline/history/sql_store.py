"""What the stores of history have in common: the table `events`, and the statements on it."""

# ruff: noqa: S608 - statements are put together from our own words; what comes from elsewhere is an argument
from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from tieline import topics
from tieline._contract.contract import TOPICS_APART
from tieline.history.questions import read_cursor
from tieline.history.store import Order, RecordedEvent, Retention, Selection, StoreFigures, Waiting, merged

COLUMNS = RecordedEvent._fields
_ALL = ", ".join(COLUMNS)
_HEADERS, _DATA = COLUMNS.index("headers"), COLUMNS.index("data")
_TOGETHER = 5_000
LOOK = f"SELECT {_ALL}, size FROM events LIMIT 0"
"""Asks for nothing, of the table as it must be."""

ON_CONFLICT = """
ON CONFLICT (id) DO UPDATE SET
    status = CASE WHEN {newer} THEN excluded.status ELSE events.status END,
    retry_count = CASE WHEN {newer} AND excluded.status = 'failed' THEN excluded.retry_count
        ELSE events.retry_count END,
    error_msg = CASE WHEN {newer} AND excluded.status = 'failed' THEN excluded.error_msg ELSE events.error_msg END,
    stream = CASE WHEN events.stream = '' OR ({newer} AND excluded.stream <> '') THEN excluded.stream
        ELSE events.stream END,
    entry = CASE WHEN events.entry = '' OR ({newer} AND excluded.entry <> '') THEN excluded.entry ELSE events.entry END,
    position = CASE WHEN excluded.position < events.position THEN excluded.position ELSE events.position END,
    revision = CASE WHEN {newer} THEN excluded.revision ELSE events.revision END
WHERE {newer} OR excluded.position < events.position
""".format(newer="excluded.revision > events.revision")


class Dialect(NamedTuple):
    """How a database spells what they spell differently.

    Attributes:
        mark: what comes before the number of an argument.
        matches: whether the type matches the pattern with this mark.
        among: whether an id is in the list with this mark.
        pattern, array: a pattern, and a list of ids, as an argument.

    """

    mark: str
    matches: str
    among: str
    pattern: Any
    array: Any


def schema(text: str, number: str, data: str) -> list[str]:
    """The statements that make the table, if it is not there; types of columns as the database calls them."""
    kinds = {"data": data} | dict.fromkeys(("time", "expires_at", "recorded_at", "position", "revision"), number)
    kinds |= dict.fromkeys(("retry_count", "priority", "hops"), "INTEGER")
    columns = [f"{name} {kinds.get(name, text)} NOT NULL" for name in COLUMNS if name != "id"]
    return [
        f"CREATE TABLE IF NOT EXISTS events (id {text} PRIMARY KEY, {', '.join(columns)}, size INTEGER NOT NULL)",
        "CREATE INDEX IF NOT EXISTS events_type_time ON events (type, time)",
        "CREATE INDEX IF NOT EXISTS events_time ON events (time, id)",
        "CREATE INDEX IF NOT EXISTS events_position ON events (position, id)",
        "CREATE INDEX IF NOT EXISTS events_pending ON events (position, id) WHERE status = 'pending'",
    ]


class SqlEventStore(ABC):
    """See `EventStore`; a database says how its statements are run."""

    dialect: Dialect

    @abstractmethod
    async def rows(self, statement: str, arguments: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """Run a query."""

    @abstractmethod
    async def change(self, statement: str, arguments: Sequence[Any] = ()) -> int:
        """Run something else; returns how many rows it changed."""

    @abstractmethod
    async def put(self, rows: Sequence[RecordedEvent]) -> None:
        """Insert rows of different ids, or update them, in one transaction."""

    async def write(self, rows: Sequence[RecordedEvent]) -> None:
        """See `EventStore.write`."""
        if rows:
            await self.put(merged(rows))

    async def get(self, event_id: str) -> RecordedEvent | None:
        """See `EventStore.get`."""
        found = await self.rows(f"SELECT {_ALL} FROM events WHERE id = {self.dialect.mark}1", [event_id])
        return row_of(found[0]) if found else None

    async def select(
        self, selection: Selection, order: Order, *, after: str = "", skip: int = 0, limit: int
    ) -> list[RecordedEvent]:
        """See `EventStore.select`."""
        query = self._where(selection)
        column = "position" if order is Order.BROKER else "time"
        way, sign = ("DESC", "<") if order is Order.NEWEST else ("ASC", ">")
        if after:
            number, event_id = read_cursor(after)
            query.add(f"({column}, id) {sign} ({query.mark(number)}, {query.mark(event_id)})")
        tail = f"ORDER BY {column} {way}, id {way} LIMIT {query.mark(limit)} OFFSET {query.mark(skip)}"
        return list(map(row_of, await self.rows(f"SELECT {_ALL} FROM events {query} {tail}", query.arguments)))

    async def count(self, selection: Selection) -> int:
        """See `EventStore.count`."""
        query = self._where(selection)
        return int((await self.rows(f"SELECT count(*) FROM events {query}", query.arguments))[0][0])

    async def delete(self, ids: Sequence[str]) -> int:
        """See `EventStore.delete`."""
        wanted = self.dialect.array(list(ids))
        return await self.change(f"DELETE FROM events WHERE {self.dialect.among.format('id', 1)}", [wanted])

    async def delete_selected(self, selection: Selection) -> int:
        """See `EventStore.delete_selected`."""
        query = self._where(selection)
        return await self.change(f"DELETE FROM events {query}", query.arguments)

    async def waiting(self, after: tuple[int, str], limit: int) -> list[Waiting]:
        """See `EventStore.waiting`."""
        mark = self.dialect.mark
        found = await self.rows(
            "SELECT position, id, stream, entry, revision FROM events WHERE status = 'pending' "
            f"AND (position, id) > ({mark}1, {mark}2) ORDER BY position, id LIMIT {mark}3",
            [*after, limit],
        )
        return [Waiting(*row) for row in found]

    @abstractmethod
    async def finish(self, rows: Sequence[Waiting]) -> int:
        """See `EventStore.finish`."""

    async def trim(self, retention: Retention, now: int) -> int:
        """See `EventStore.trim`."""
        age, most_rows, most_bytes = retention
        if age:
            old = await self._oldest(Selection(end=max(0, now - age)))
            if old:
                return await self.delete([event_id for event_id, _ in old])
        if not (most_rows or most_bytes):
            return 0
        held = await self.figures()
        rows = held.rows - most_rows if most_rows else 0
        size = held.bytes - most_bytes if most_bytes else 0
        if rows <= 0 and size <= 0:
            return 0
        victims: list[str] = []
        for event_id, each in await self._oldest(Selection()):
            if rows <= 0 and size <= 0:
                break
            victims.append(event_id)
            rows, size = rows - 1, size - each
        return await self.delete(victims)

    async def figures(self) -> StoreFigures:
        """See `EventStore.figures`."""
        sums = "count(*), coalesce(sum(size), 0), coalesce(min(time), 0), coalesce(max(time), 0)"
        count, size, oldest, newest = (await self.rows(f"SELECT {sums} FROM events"))[0]
        return StoreFigures(int(count), int(size), int(oldest), int(newest))

    @abstractmethod
    async def aclose(self) -> None:
        """See `EventStore.aclose`."""

    async def _oldest(self, selection: Selection) -> Sequence[Sequence[Any]]:
        query = self._where(selection)
        tail = f"ORDER BY time, id LIMIT {query.mark(_TOGETHER)}"
        return await self.rows(f"SELECT id, size FROM events {query} {tail}", query.arguments)

    def _where(self, selection: Selection) -> _Where:
        types, start, end, status, source = selection
        query = _Where(self.dialect.mark)
        if types:
            query.add(" OR ".join(self._of_type(query, each) for each in types))
        if start is not None:
            query.add(f"time >= {query.mark(start)}")
        if end is not None:
            query.add(f"time < {query.mark(end)}")
        if status:
            query.add(f"status = {query.mark(status)}")
        if source:
            within = f"source >= {query.mark(source + '/')} AND source < {query.mark(source + '0')}"
            query.add(f"source = {query.mark(source)} OR ({within})")
        return query

    def _of_type(self, query: _Where, name: str) -> str:
        if not topics.is_pattern(name):
            return f"type = {query.mark(name)}"
        match = self.dialect.matches.format(query.mark(self.dialect.pattern(name)))
        literal = name.split("*", maxsplit=1)[0].split(">", maxsplit=1)[0]
        if not literal:  # as everywhere, what the system says of itself must be asked for by its name
            apart = f"type >= {query.mark(TOPICS_APART)} AND type < {query.mark(TOPICS_APART[:-1] + '/')}"
            return f"({match} AND NOT ({apart}))"
        within = f"type >= {query.mark(literal)} AND type < {query.mark(literal[:-1] + '/')}"  # "/" is after "."
        return f"({within} AND {match})"


class _Where:
    """Conditions that all hold, and the arguments of a statement."""

    def __init__(self, mark: str) -> None:
        self.arguments: list[Any] = []
        self._mark = mark
        self._conditions: list[str] = []

    def mark(self, argument: Any) -> str:
        self.arguments.append(argument)
        return f"{self._mark}{len(self.arguments)}"

    def add(self, condition: str) -> None:
        self._conditions.append(f"({condition})")

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""


def values_of(row: RecordedEvent) -> list[Any]:
    """What is stored of a row, in the order of the columns; the size comes last."""
    values: list[Any] = [*row, row.size]
    values[_HEADERS] = json.dumps(row.headers, ensure_ascii=True, separators=(",", ":")) if row.headers else ""
    return values


def row_of(values: Sequence[Any]) -> RecordedEvent:
    """A row as the database has it."""
    stored = list(values)
    stored[_HEADERS] = json.loads(stored[_HEADERS]) if stored[_HEADERS] else {}
    stored[_DATA] = bytes(stored[_DATA])
    return RecordedEvent(*stored)
