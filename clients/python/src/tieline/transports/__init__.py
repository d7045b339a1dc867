"""What carries envelopes: in-process, Redis, gRPC. Each is imported when its URL is used."""

from __future__ import annotations

from urllib.parse import urlsplit

from tieline.errors import InvalidArgumentError
from tieline.settings import Settings
from tieline.transport import Transport


def make_transport(url: str, namespace: str, settings: Settings) -> Transport:
    """The transport for a URL.

    Raises:
        InvalidArgumentError: the scheme is unknown, or the URL cannot be read.

    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        from tieline.transports.memory import MemoryTransport

        return MemoryTransport()
    if scheme in ("redis", "rediss", "unix"):
        from tieline.transports.redis import RedisTransport

        return RedisTransport(url, namespace=namespace, settings=settings)
    if scheme in ("grpc", "grpcs"):
        from tieline.transports.grpc import GrpcTransport

        return GrpcTransport(url, settings=settings)
    raise InvalidArgumentError(
        f"unknown scheme {scheme!r} in the broker's URL; "
        "use memory://, redis://, rediss://, unix://, grpc:// or grpcs://"
    )
