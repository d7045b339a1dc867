"""Load over HTTP/1.1: connections that are kept alive, each with one request at a time, from one process.

It reads no more of an answer than it must, so that what is measured is the server. The same for all servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple, cast
from urllib.parse import urlsplit

_LENGTH = b"content-length: "


class Load(NamedTuple):
    """What came of it: answers a second, and how many had another status than was wanted."""

    rate: float
    wrong: int


def request(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole request, to be sent as it is; underscores in names of headers are dashes."""
    given = {"host": urlsplit(url).netloc, "content-length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def load(url: str, make: Callable[[], bytes], seconds: float, connections: int = 64, wanted: int = 200) -> Load:
    """Put a server under load for so many seconds; `make` gives each request."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    shared = _Shared(make, b"HTTP/1.1 %d" % wanted)
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(shared), parts.hostname, parts.port)
    began = perf_counter()
    await asyncio.sleep(seconds)
    shared.over = True
    took = perf_counter() - began
    rate = shared.answers / took
    for connection in shared.connections:
        connection.close()
    return Load(rate, shared.wrong)


class _Shared:
    def __init__(self, make: Callable[[], bytes], status: bytes) -> None:
        self.make = make
        self.status = status
        self.answers = self.wrong = 0
        self.over = False
        self.connections: list[asyncio.Transport] = []


class _Connection(asyncio.Protocol):
    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._shared.connections.append(self._transport)
        self._transport.write(self._shared.make())

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _length(data, end):
            return
        self._data = b""
        shared = self._shared
        shared.answers += 1
        shared.wrong += not data.startswith(shared.status)
        if not shared.over:
            self._transport.write(shared.make())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._shared.over:
            self._shared.wrong += 1


def _length(data: bytes, end: int) -> int:
    at = data.find(_LENGTH, 0, end)
    return int(data[at + len(_LENGTH) : data.index(b"\r", at)]) if at >= 0 else 0
