"""History in a SQLite file, on a thread of its own."""

# ruff: noqa: S608 - statements are put together from our own words; what comes from elsewhere is an argument
from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tieline import topics
from tieline.errors import InvalidArgumentError, InvalidPayloadError, UnavailableError
from tieline.history.sql_store import COLUMNS, LOOK, ON_CONFLICT, Dialect, SqlEventStore, schema, values_of
from tieline.history.store import RecordedEvent, Waiting
from tieline.sqlite_file import SqliteFile

_SCHEMA = ";\n".join(schema("TEXT", "INTEGER", "BLOB"))
_MOMENTARY = "locked"
_PUT = f"INSERT INTO events ({', '.join(COLUMNS)}, size) VALUES ({', '.join('?' * (len(COLUMNS) + 1))}) {ON_CONFLICT}"
_FINISH = "UPDATE events SET status = 'processed' WHERE id = ? AND revision = ? AND status = 'pending'"


class SqliteEventStore(SqlEventStore):
    """See `EventStore`.

    Args:
        path: the file; it is made if it does not exist.

    """

    dialect = Dialect("?", "tieline_matches({}, type)", "{} IN (SELECT value FROM json_each(?{}))", str, json.dumps)

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _SCHEMA)

    async def rows(self, statement: str, arguments: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """See `SqlEventStore.rows`."""

        def work(file: sqlite3.Connection) -> list[Any]:
            return _knowing(file).execute(statement, tuple(arguments)).fetchall()

        return await self._file.run(work)

    async def change(self, statement: str, arguments: Sequence[Any] = ()) -> int:
        """See `SqlEventStore.change`."""
        return await self._file.run(lambda file: _knowing(file).execute(statement, tuple(arguments)).rowcount)

    async def put(self, rows: Sequence[RecordedEvent]) -> None:
        """See `SqlEventStore.put`."""

        def work(file: sqlite3.Connection) -> None:
            try:
                file.executemany(_PUT, map(values_of, rows))
            except (OverflowError, ValueError, sqlite3.DataError, sqlite3.InterfaceError) as error:
                raise InvalidPayloadError(f"SQLite refuses an event: {error}") from None

        await self._file.run(work)

    async def finish(self, rows: Sequence[Waiting]) -> int:
        """See `EventStore.finish`."""
        seen = [(row.id, row.revision) for row in rows]
        return await self._file.run(lambda file: file.executemany(_FINISH, seen).rowcount)

    async def check(self) -> None:
        """See `EventStore.check`."""
        try:
            await self.rows(LOOK)
        except UnavailableError as error:
            if _MOMENTARY not in error.message:
                raise InvalidArgumentError(error.message.replace("the file", "the history file", 1)) from None

    async def aclose(self) -> None:
        """See `EventStore.aclose`."""
        await self._file.aclose()


def _knowing(file: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, which knows our patterns."""
    file.create_function("tieline_matches", 2, topics.matches, deterministic=True)
    return file
