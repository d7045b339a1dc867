"""Results of idempotency keys in a SQLite file, for programs and gateways without Redis (SPEC.md, section 12).

One thread writes: whatever waits is committed together. What is asked for is read by whoever asks, from an index.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tieline.calls.ledger import Key, Stored
from tieline.clock import Clock
from tieline.errors import Outcome, UnavailableError
from tieline.sqlite_file import why_not

log = logging.getLogger("tieline")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
    topic TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL, reply BLOB NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (topic, key)
) STRICT, WITHOUT ROWID
"""
_GET = "SELECT fingerprint, reply FROM results WHERE topic = ? AND key = ? AND expires > ?"
_PUT = "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM results WHERE expires <= ?"
_TOGETHER = 1_000
_SWEEP_MS = 60_000
_CLOSE_SECONDS = 5.0


class _Put(NamedTuple):
    row: tuple[str, str, bytes, bytes, int]
    loop: asyncio.AbstractEventLoop
    then: Callable[[], None]


class SqliteResults:
    """Results that outlive the process.

    Args:
        path: the file; it is made if it does not exist.
        clock: the broker's, which says what has expired.

    Raises:
        UnavailableError: the file cannot be opened; the message says why.

    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._reader = self._open()
        self._queue: queue.SimpleQueue[_Put | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, args=(self._open(),), name="tieline-results", daemon=True)
        self._writer.start()

    def get(self, key: Key, now: int) -> Stored | None:
        """See `Results.get`."""
        try:
            row = self._reader.execute(_GET, (*key, now)).fetchone()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return Stored(*row) if row else None

    def put(self, key: Key, result: Stored, expires: int, then: Callable[[], None]) -> None:
        """See `Results.put`; `then` is called on the running loop when the result is committed."""
        row = (*key, result.fingerprint, result.reply, expires)
        self._queue.put(_Put(row, asyncio.get_running_loop(), then))

    async def aclose(self) -> None:
        """See `Results.aclose`: what waits is written, within 5 s or behind our back."""
        self.abandon()
        await asyncio.to_thread(self._writer.join, _CLOSE_SECONDS)
        if self._writer.is_alive():
            log.warning("the store %s is still being written to; what holds it up?", self._path)

    def abandon(self) -> None:
        """See `Results.abandon`: the thread ends when it has written what waits."""
        self._queue.put(None)
        self._reader.close()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, check_same_thread=False, timeout=5.0)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return connection

    def _unusable(self, error: sqlite3.Error) -> UnavailableError:
        message = f"the store {self._path} cannot be used: {why_not(self._path, error)}"
        return UnavailableError(message, outcome=Outcome.NOT_DELIVERED)

    def _write(self, connection: sqlite3.Connection) -> None:
        swept = 0
        with contextlib.closing(connection):
            while puts := self._waiting():
                try:
                    with connection:
                        connection.executemany(_PUT, [put.row for put in puts])
                        if (now := self._clock.now()) - swept > _SWEEP_MS:
                            connection.execute(_FORGET, (now,))
                            swept = now
                except sqlite3.Error as error:  # the callers shall have their replies all the same
                    log.error("%d results were not stored in %s: %s", len(puts), self._path, error)
                for put in puts:
                    with contextlib.suppress(RuntimeError):  # the loop is gone
                        put.loop.call_soon_threadsafe(put.then)

    def _waiting(self) -> list[_Put]:
        """Wait for the next result; returns it with all that wait; nothing at the end."""
        first = self._queue.get()
        if first is None:
            return []
        puts = [first]
        with contextlib.suppress(queue.Empty):
            while len(puts) < _TOGETHER and (following := self._queue.get_nowait()) is not None:
                puts.append(following)
            if len(puts) < _TOGETHER:
                self._queue.put(None)  # it was the end
        return puts
