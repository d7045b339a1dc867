"""One HTTP POST, and what was answered."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpcore

from tieline_gateway.webhooks.guard import ForbiddenAddressError, Guard

_MOST_READ = 65_536
_IDLE_SECONDS = 30.0


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: of HTTP.
        retry_after: seconds until it wants to hear of us again; None if it said nothing.

    """

    status: int
    retry_after: float | None


class NotSentError(Exception):
    """There is no answer; the message says why. Whether it was received is unknown, unless it was refused here."""


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Opens the connections of a pool: to addresses that were checked, and to nothing else."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._network: httpcore.AsyncNetworkBackend = httpcore.AnyIOBackend()  # pyright: ignore[reportAttributeAccessIssue]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - a name of httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """See `httpcore.AsyncNetworkBackend`."""
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Nobody sends there."""
        raise _NotAllowedError("a webhook goes to no socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """See `httpcore.AsyncNetworkBackend`."""
        await self._network.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return await self._guard.addresses(host, port)
        except ForbiddenAddressError as error:
            raise _NotAllowedError(str(error)) from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from None


class _NotAllowedError(httpcore.ConnectError):
    """The guard does not allow it."""


class Poster:
    """Posts to one URL.

    Args:
        url: http or https.
        guard: which addresses may be connected to.
        tls: whom to trust.
        connections: at once.
        seconds: for all of one POST, its look-up and its connection included.

    """

    def __init__(self, url: str, guard: Guard, tls: ssl.SSLContext, connections: int, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=GuardedNetwork(guard),
        )

    async def post(self, headers: Mapping[str, str], body: bytes, now: float) -> Answer:
        """Send it, once.

        Args:
            headers: of the request.
            body: of the request.
            now: seconds since 1970, for answers that name a moment.

        Raises:
            NotSentError: no answer came.

        """
        try:
            async with asyncio.timeout(self._seconds):
                async with self._pool.stream("POST", self._url, headers=[*headers.items()], content=body) as answer:
                    await _read_some(answer)
                    return Answer(answer.status, _retry_after(answer, now))
        except TimeoutError:
            raise NotSentError(f"no answer within {self._seconds:g} s") from None
        except _NotAllowedError as error:
            raise NotSentError(str(error)) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
            raise NotSentError(f"{type(error).__name__}: {error}".rstrip(": ")) from None

    async def aclose(self) -> None:
        """Close its connections."""
        await self._pool.aclose()


async def _read_some(answer: httpcore.Response) -> None:
    """Read what a connection needs to be used again, up to a bound; the rest is left, and the connection closed."""
    size = 0
    async for part in answer.aiter_stream():
        size += len(part)
        if size > _MOST_READ:
            return


def _retry_after(answer: httpcore.Response, now: float) -> float | None:
    said = next((value for name, value in answer.headers if name.lower() == b"retry-after"), b"").decode("latin-1")
    if said.isascii() and said.isdecimal():
        return float(said[:10])
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
