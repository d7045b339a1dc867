"""What was handled, in a SQLite file that the processes of one machine may share."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from pathlib import Path

from tieline.durable.idempotency import DEFAULT_WINDOW, Handling, Standing, check_window
from tieline.sqlite_file import SqliteFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS handlings (
    subscription_group TEXT NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, ends INTEGER NOT NULL,
    PRIMARY KEY (subscription_group, topic, id)
) STRICT, WITHOUT ROWID
"""
_GET = "SELECT owner FROM handlings WHERE subscription_group = ? AND topic = ? AND id = ? AND ends > ?"
_PUT = "INSERT OR REPLACE INTO handlings VALUES (?, ?, ?, ?, ?)"
_FREE = "DELETE FROM handlings WHERE subscription_group = ? AND topic = ? AND id = ? AND owner = ?"
_FORGET = "DELETE FROM handlings WHERE ends <= ?"
_SWEEP_MS = 60_000


class SqliteIdempotencyStore:
    """Remembers in a SQLite file; `owner` is empty for what is done.

    Args:
        path: the file; it is made if it does not exist.
        window: seconds for which an event that was handled is remembered.

    """

    def __init__(self, path: Path, window: float = DEFAULT_WINDOW) -> None:
        self._window = check_window(window)
        self._file = SqliteFile(path, _SCHEMA)
        self._swept = 0

    async def begin(self, handling: Handling, owner: str, lease: float) -> Standing:
        """See `IdempotencyStore.begin`."""
        return await self._file.run(partial(self._begin, handling, owner, lease))

    async def done(self, handling: Handling) -> None:
        """See `IdempotencyStore.done`."""
        await self._file.run(lambda file: file.execute(_PUT, (*handling, "", _now() + int(self._window * 1000))))

    async def give_up(self, handling: Handling, owner: str) -> None:
        """See `IdempotencyStore.give_up`."""
        await self._file.run(lambda file: file.execute(_FREE, (*handling, owner)))

    async def aclose(self) -> None:
        """Close the file. Idempotent."""
        await self._file.aclose()

    def _begin(self, handling: Handling, owner: str, lease: float, file: sqlite3.Connection) -> Standing:
        now = _now()
        if now - self._swept > _SWEEP_MS:
            self._swept = now
            file.execute(_FORGET, (now,))
        row = file.execute(_GET, (*handling, now)).fetchone()
        if row is not None and row[0] != owner:
            return Standing.BUSY if row[0] else Standing.DONE
        file.execute(_PUT, (*handling, owner, now + int(lease * 1000)))
        return Standing.BEGUN


def _now() -> int:
    return time.time_ns() // 1_000_000
