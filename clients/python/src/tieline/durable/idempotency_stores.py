"""Choosing an idempotency store by its address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tieline.durable.idempotency import DEFAULT_WINDOW, IdempotencyStore, MemoryIdempotencyStore
from tieline.errors import InvalidArgumentError


def idempotency_store(url: str, *, window: float = DEFAULT_WINDOW, namespace: str = "") -> IdempotencyStore:
    """A store that remembers which durable events were handled: `subscribe(…, durable=True, idempotency=store)`.

    Args:
        url: `memory://` (this process), `sqlite:///path/of/file.db` (this machine), or `redis://`, `rediss://`,
            `unix://` (everybody).
        window: seconds for which an event that was handled is remembered; a day unless given.
        namespace: separates installations that share one Redis.

    Raises:
        InvalidArgumentError: the address cannot be read.

    """
    parts = urlsplit(url if isinstance(url, str) else "")  # pyright: ignore[reportUnnecessaryIsInstance]
    if parts.scheme == "memory":
        return MemoryIdempotencyStore(window)
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.strip("/"):
        from tieline.durable.sqlite_idempotency import SqliteIdempotencyStore  # not every Python has SQLite

        return SqliteIdempotencyStore(Path(unquote(parts.path)), window)
    if parts.scheme in ("redis", "rediss", "unix"):
        from tieline.transports.redis_idempotency import RedisIdempotencyStore

        return RedisIdempotencyStore(url, window, namespace)
    raise InvalidArgumentError(
        f"{url!r:.80} is no idempotency store; use memory://, sqlite:///path/of/file.db, redis://, rediss:// or unix://"
    )
