"""Choosing where history is kept by its address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tieline.errors import InvalidArgumentError, UnsupportedError
from tieline.history.store import EventStore


def event_store(url: str) -> EventStore:
    """A store of history: what `EventSystem.record` takes, for those who want to use it themselves.

    Args:
        url: `sqlite:///path/of/file.db`, where the path begins at the root, or
            `postgresql://user:password@host:port/database` (also `postgres://`), which needs the extra
            `tieline[postgres]`.

    Raises:
        InvalidArgumentError: the address cannot be read.
        UnsupportedError: asyncpg is not installed.

    """
    parts = urlsplit(url if isinstance(url, str) else "")  # pyright: ignore[reportUnnecessaryIsInstance]
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.strip("/"):
        from tieline.history.sqlite_store import SqliteEventStore  # not every Python has SQLite

        return SqliteEventStore(Path(unquote(parts.path)))
    if parts.scheme in ("postgresql", "postgres"):
        try:
            from tieline.history.postgres_store import PostgresEventStore
        except ImportError as error:
            raise UnsupportedError(
                f"history in PostgreSQL needs asyncpg ({error}): pip install 'tieline[postgres]'"
            ) from None
        return PostgresEventStore(url)
    raise InvalidArgumentError(
        f"{url!r:.80} is no store of history; use sqlite:///path/of/file.db or postgresql://user@host/database"
    )
