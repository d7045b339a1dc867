"""History in PostgreSQL, by asyncpg (the extra `tieline[postgres]`)."""

# ruff: noqa: S608 - statements are put together from our own words; what comes from elsewhere is an argument
from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from tieline.errors import InvalidArgumentError, InvalidPayloadError, TielineError, UnavailableError
from tieline.history.sql_store import COLUMNS, LOOK, ON_CONFLICT, Dialect, SqlEventStore, schema, values_of
from tieline.history.store import RecordedEvent, Waiting

_POOL = 4
_CONNECT_SECONDS, _COMMAND_SECONDS = 10.0, 60.0
_LOCK = 7_464_696_561  # nobody else makes the table at the same time
_TEXT = 'TEXT COLLATE "C"'  # texts compare as their bytes do, as in SQLite
_NUMBERS = {"time", "expires_at", "recorded_at", "position", "revision"}
_SMALL = {"retry_count", "priority", "hops", "size"}

_KINDS = {"data": "bytea"} | dict.fromkeys(_NUMBERS, "bigint") | dict.fromkeys(_SMALL, "int")
_ARRAYS = ", ".join(f"${at}::{_KINDS.get(name, 'text')}[]" for at, name in enumerate((*COLUMNS, "size"), 1))
_PUT = f"INSERT INTO events ({', '.join(COLUMNS)}, size) SELECT * FROM unnest({_ARRAYS}) {ON_CONFLICT}"
_FINISH = """
UPDATE events SET status = 'processed' FROM unnest($1::text[], $2::bigint[]) AS seen (id, revision)
WHERE events.id = seen.id AND events.revision = seen.revision AND status = 'pending'
"""


def _regular(pattern: str) -> str:
    """A pattern as a regular expression."""
    tokens = {"*": "[^.]+", ">": ".+"}
    return f"^{'[.]'.join(tokens.get(token) or re.escape(token) for token in pattern.split('.'))}$"


class PostgresEventStore(SqlEventStore):
    """See `EventStore`.

    Args:
        url: `postgresql://user:password@host:port/database`; other parameters are settings of the session, as in
            `?search_path=history`.

    """

    dialect = Dialect("$", "type ~ {}", "{} = ANY(${}::text[])", _regular, list)

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def rows(self, statement: str, arguments: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """See `SqlEventStore.rows`."""
        async with self._connection() as connection:
            return await connection.fetch(statement, *arguments)

    async def change(self, statement: str, arguments: Sequence[Any] = ()) -> int:
        """See `SqlEventStore.change`."""
        async with self._connection() as connection:
            told: str = await connection.execute(statement, *arguments)
            return int(told.rpartition(" ")[2])

    async def put(self, rows: Sequence[RecordedEvent]) -> None:
        """See `SqlEventStore.put`. Texts without NUL: PostgreSQL has none in them."""
        stored = sorted(rows, key=lambda row: row.id)  # in one order, lest two recorders wait for each other
        columns = [list(map(_without_nul, column)) for column in zip(*map(values_of, stored), strict=True)]
        async with self._connection() as connection:
            await connection.execute(_PUT, *columns)

    async def finish(self, rows: Sequence[Waiting]) -> int:
        """See `EventStore.finish`."""
        seen = sorted((row.id, row.revision) for row in rows)
        return await self.change(_FINISH, [[each[0] for each in seen], [each[1] for each in seen]])

    async def check(self) -> None:
        """See `EventStore.check`."""
        try:
            await self._look()
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
            return  # it may come
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise InvalidArgumentError(f"PostgreSQL at {self._shown} cannot keep history: {error}") from None

    async def _look(self) -> None:
        pool = self._pool or await self._open()
        async with pool.acquire(timeout=_CONNECT_SECONDS) as connection:
            await connection.execute(LOOK)

    async def aclose(self) -> None:
        """See `EventStore.aclose`."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await pool.close()
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pool.terminate()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Any]:
        try:
            async with asyncio.timeout(_COMMAND_SECONDS + _CONNECT_SECONDS):
                pool = self._pool or await self._open()
                async with pool.acquire(timeout=_CONNECT_SECONDS) as connection:
                    yield connection
        except TimeoutError:
            raise UnavailableError(f"PostgreSQL at {self._shown} does not answer") from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise self._meaning(error) from None

    async def _open(self) -> Any:
        """The pool; the table is made with it."""
        async with self._opening:
            if self._pool is None:
                pool: Any = await asyncpg.create_pool(
                    self._url, min_size=0, max_size=_POOL, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS
                )
                try:
                    async with pool.acquire() as connection, connection.transaction():
                        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                        for statement in schema(_TEXT, "BIGINT", "BYTEA"):
                            await connection.execute(statement)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool = pool
            return self._pool

    @property
    def _shown(self) -> str:
        """The address without a password."""
        return re.sub(r"//[^@/]*@", "//", self._url).partition("?")[0]

    def _meaning(self, error: Exception) -> TielineError:
        if isinstance(error, (asyncpg.DataError, asyncpg.ProgramLimitExceededError)):  # also of an index
            return InvalidPayloadError(f"PostgreSQL refuses an event: {error}")
        why = str(error) or type(error).__name__
        return UnavailableError(f"PostgreSQL at {self._shown} cannot be used: {why}")


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and "\0" in value else value
