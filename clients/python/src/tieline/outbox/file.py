"""Events that wait in a SQLite file to be stored at the broker. One process uses a file at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tieline._contract import contract
from tieline.durable.mail import Draft
from tieline.errors import OverloadedError
from tieline.outbox.entry import OutboxFigures, Waiting
from tieline.sqlite_file import SqliteFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY, together INTEGER NOT NULL, topic TEXT NOT NULL, most INTEGER NOT NULL,
    key TEXT NOT NULL, priority INTEGER NOT NULL, known_as TEXT NOT NULL, envelope BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS totals (
    id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL, events INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO totals VALUES (1, 0, 0, 0);
"""
_TOTALS = "SELECT last, events, bytes FROM totals"
_ADD = "UPDATE totals SET last = last + ?1, events = events + ?1, bytes = bytes + ?2"
_TAKE = "UPDATE totals SET events = events - ?, bytes = bytes - ?"
_PUT = "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PAGE = "SELECT * FROM outbox WHERE number > ? ORDER BY number LIMIT ?"
_REST = "SELECT * FROM outbox WHERE number > ? AND number <= ? ORDER BY number"
_DELETE = "DELETE FROM outbox WHERE number = ?"
_TOGETHER = 500
_BYTES = 1_048_576
_RETRY_AFTER = 1.0


class OutboxFile:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _SCHEMA, alone=True)

    def put(self, topic: str, drafts: Sequence[Draft], most: int, *, together: bool) -> asyncio.Future[None]:
        """Keep events, in the order of the calls; done when that is committed.

        The future raises OverloadedError if there is no room, and UnavailableError if the file cannot be used.
        """
        return self._file.run(partial(_put, topic, drafts, most, together))

    def page(self, after: int) -> asyncio.Future[list[Waiting]]:
        """Some of what waits, in its order, after the one with this number; those of a batch are not parted."""
        return self._file.run(partial(_page, after))

    def remove(self, stored: Sequence[Waiting]) -> asyncio.Future[None]:
        """The broker has them."""
        return self._file.run(partial(_remove, stored))

    def figures(self) -> asyncio.Future[OutboxFigures]:
        """How many wait."""
        return self._file.run(lambda file: OutboxFigures(*file.execute(_TOTALS).fetchone()[1:]))

    async def aclose(self) -> None:
        """Close the file; another process may use it then."""
        await self._file.aclose()


def _put(topic: str, drafts: Sequence[Draft], most: int, together: bool, file: sqlite3.Connection) -> None:
    last, events, size = file.execute(_TOTALS).fetchone()
    more = sum(len(draft.envelope) for draft in drafts)
    if events + len(drafts) > contract.LIMIT_OUTBOX_EVENTS or size + more > contract.LIMIT_OUTBOX_BYTES:
        raise OverloadedError(
            "the outbox is full: too many events wait for the broker",
            retry_after=_RETRY_AFTER,
            details={"events": events, "bytes": size},
        )
    batch = last + len(drafts) if together else 0
    file.executemany(
        _PUT,
        (
            (number, batch, topic, most, draft.key, draft.priority, draft.known_as, draft.envelope)
            for number, draft in enumerate(drafts, last + 1)
        ),
    )
    file.execute(_ADD, (len(drafts), more))


def _page(after: int, file: sqlite3.Connection) -> list[Waiting]:
    found, size = list[Waiting](), 0
    for row in file.execute(_PAGE, (after, _TOGETHER)):
        found.append(Waiting(*row))
        size += len(row[-1])
        if size > _BYTES:
            break
    if found and found[-1].together > found[-1].number:
        rest = file.execute(_REST, (found[-1].number, found[-1].together))
        found += [Waiting(*row) for row in rest]
    return found


def _remove(stored: Sequence[Waiting], file: sqlite3.Connection) -> None:
    file.executemany(_DELETE, [(waiting.number,) for waiting in stored])
    file.execute(_TAKE, (len(stored), sum(len(waiting.envelope) for waiting in stored)))
