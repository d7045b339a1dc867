"""What carries envelopes: in-process, Redis, gRPC. Each is imported when its URL is used."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tieline.errors import InvalidArgumentError
from tieline.settings import Settings
from tieline.transport import Transport


def make_transport(url: str, namespace: str, settings: Settings, *, served: bool = False) -> Transport:
    """The transport for a URL; `served`: a broker in this process is reached from others, as that of a gateway.

    Raises:
        InvalidArgumentError: the scheme is unknown, or the URL cannot be read.

    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        from tieline.transports.memory import MemoryTransport

        return MemoryTransport(store=_store(url), settings=settings, served=served)
    if scheme in ("redis", "rediss", "unix"):
        from tieline.transports.redis import RedisTransport

        return RedisTransport(url, namespace=namespace, settings=settings)
    if scheme in ("grpc", "grpcs"):
        from tieline.transports.grpc import GrpcTransport

        return GrpcTransport(url, settings=settings)
    what = f"unknown scheme {scheme!r} in the broker's URL" if scheme else "the broker's URL does not say what it is"
    raise InvalidArgumentError(f"{what}; use memory://, redis://, rediss://, unix://, grpc:// or grpcs://")


def _store(url: str) -> Path | None:
    """The SQLite file of `memory:///path/of/file.db`."""
    parts = urlsplit(url)
    if parts.netloc or parts.query:
        raise InvalidArgumentError(f"{url!r}: a store is an absolute path, as in memory:///var/lib/my-service.db")
    return Path(unquote(parts.path)) if parts.path.strip("/") else None
