"""The tape in SQLite, in the database of durable events: what is written down is committed with what happened.

Rules: SPEC.md, section 17. One thread at a time uses it, inside of a transaction of the writer's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tieline._contract import contract
from tieline.clock import Clock
from tieline.history.tape import EVERYTHING, Kind, TapeFigures
from tieline.transports.sqlite_mail_schema import entry_of, entry_text, ms_of

SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS tape (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, data BLOB NOT NULL, stream TEXT NOT NULL, entry TEXT NOT NULL,
        reader TEXT NOT NULL DEFAULT '', since INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS recording (
        one INTEGER PRIMARY KEY, expires INTEGER NOT NULL, lost INTEGER NOT NULL, topics TEXT NOT NULL
    ) STRICT
    """,
)

_NOTE = "INSERT INTO tape (id, kind, data, stream, entry) VALUES (?, ?, ?, ?, ?)"
_WATCHED = (Kind.STORED, Kind.AGAIN)
_OVERHEAD = 64  # about what an entry takes besides its data
_OLDEST = "SELECT id, length(data), reader = '' FROM tape ORDER BY id"
_NEXT = """
SELECT id, kind, data, stream, entry FROM tape
WHERE reader = '' OR (? > 0 AND since <= ?) ORDER BY id LIMIT ?
"""
_REGISTER = """
INSERT INTO recording VALUES (1, ?1, 0, ?2) ON CONFLICT DO UPDATE SET expires = ?1, topics = iif(?3, ?2, topics)
"""

Row = tuple[int, str, bytes, str, str]


class State(NamedTuple):
    """Until when something is written down (ms), how many entries there are, and about how many bytes."""

    expires: int
    length: int
    bytes: int

    def without(self, entries: int, size: int) -> State:
        """After so many entries, with so many bytes of data, have gone."""
        length = max(0, self.length - entries)
        return State(self.expires, length, max(0, self.bytes - size - entries * _OVERHEAD) if length else 0)


class BookTape:
    """The tape of one open database."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock, next_id: Callable[[int], int]) -> None:
        self._execute = connection.execute
        self._many = connection.executemany
        self._clock = clock
        self._next_id = next_id
        self.asleep = False
        self.news = False
        self._watchers: list[Callable[[list[Row]], None]] = []
        self._heard: list[Row] = []
        for statement in SCHEMA:
            self._execute(statement)
        self._state = self._read()

    @property
    def on(self) -> bool:
        """Whether there is a recorder."""
        return self._state.expires > 0 and self._state.expires > self._clock.now()

    def undone(self) -> None:
        """The transaction was not committed."""
        self._state = self._read()
        self.asleep, self.news = True, False
        self._heard.clear()

    def committed(self) -> None:
        """The transaction was committed: whoever watches hears of it."""
        heard, self._heard = self._heard, []
        if heard:
            for tell in self._watchers:
                tell(heard)

    def watch(self, tell: Callable[[list[Row]], None], *, on: bool) -> None:
        """Tell of what is stored, or no more; that is called on the thread that commits."""
        if on:
            self._watchers.append(tell)
        else:
            self._watchers.remove(tell)

    def note(self, kind: Kind, data: bytes, stream: str = "", entry: str = "") -> None:
        """Write down what happened, if there is a recorder."""
        if self._watchers and kind in _WATCHED:
            self._heard.append((0, kind.value, data, stream, entry))
        if not self.on:
            return
        self._execute(_NOTE, (self._next_id(self._clock.now()), kind.value, data, stream, entry))
        expires, length, size = self._state
        self._state = State(expires, length + 1, size + len(data) + _OVERHEAD)
        most, most_bytes = contract.LIMIT_TAPE_EVENTS, contract.LIMIT_TAPE_BYTES
        if self._state.length - most > most // 64:
            self._cut(most, most_bytes)
        elif self._state.bytes > most_bytes:
            self._cut(most, most_bytes - most_bytes // 64)
        if self.asleep:
            self.asleep, self.news = False, True

    def _cut(self, most: int, most_bytes: int) -> None:
        """Until there are so many entries, of so many bytes, the oldest go; one stays."""
        gone, size, unread, last = 0, 0, 0, 0
        for number, length, is_unread in self._execute(_OLDEST):
            left = self._state.without(gone, size)
            if left.length <= 1 or (left.length <= most and left.bytes <= most_bytes):
                break
            gone, size, unread, last = gone + 1, size + length, unread + is_unread, number
        self._execute("DELETE FROM tape WHERE id <= ?", (last,))
        self._execute("UPDATE recording SET lost = lost + ?", (unread,))
        self._state = self._state.without(gone, size)

    def register(self, topics: Sequence[str]) -> tuple[str, ...]:
        """See `Tape.register`."""
        expires = self._clock.now() + contract.DEFAULT_RECORDING_MS
        self._execute(_REGISTER, (expires, "\0".join(topics or EVERYTHING), bool(topics)))
        self._state = self._state._replace(expires=expires)
        return self._topics()

    def read(self, recorder: str, idle_ms: int) -> list[Row]:
        """See `Tape.read`."""
        now, size, rows = self._clock.now(), 0, list[Row]()
        for row in self._execute(_NEXT, (idle_ms, now - idle_ms, contract.LIMIT_TAPE_READ)):
            rows.append(row)
            size += len(row[2])
            if size >= contract.LIMIT_TAPE_READ_BYTES:
                break
        self._many("UPDATE tape SET reader = ?, since = ? WHERE id = ?", [(recorder, now, row[0]) for row in rows])
        self.asleep = not rows
        return rows

    def acknowledge(self, entries: Sequence[str]) -> None:
        """See `Tape.acknowledge`."""
        gone, size = 0, 0
        for entry in entries:
            for (length,) in self._execute("DELETE FROM tape WHERE id = ? RETURNING length(data)", (entry_of(entry),)):
                gone, size = gone + 1, size + length
        self._state = self._state.without(gone, size)

    def there(self, places: Sequence[tuple[str, str]]) -> list[bool]:
        """See `Tape.there`."""
        find = "SELECT 1 FROM events WHERE id = ?"
        return [self._execute(find, (entry_of(entry),)).fetchone() is not None for _, entry in places]

    def figures(self) -> TapeFigures:
        """See `Tape.figures`."""
        (first,) = self._execute("SELECT min(id) FROM tape").fetchone()
        (lost,) = self._execute("SELECT coalesce(max(lost), 0) FROM recording").fetchone()
        return TapeFigures(self._state.length, None if first is None else ms_of(first), lost, self._topics())

    def _topics(self) -> tuple[str, ...]:
        row = self._execute("SELECT topics FROM recording").fetchone()
        return tuple(row[0].split("\0")) if row else ()

    def _read(self) -> State:
        (expires,) = self._execute("SELECT coalesce(max(expires), 0) FROM recording").fetchone()
        length, size = self._execute("SELECT count(*), coalesce(sum(length(data)), 0) FROM tape").fetchone()
        return State(expires, length, size + length * _OVERHEAD)


def entry_name(row: Row) -> str:
    """The id of an entry as others see it."""
    return entry_text(row[0])
