"""HTTP by hand, for what no client would send."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

SECONDS = 60.0


class Answer(NamedTuple):
    """What came back; a status of 0 is nothing at all."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        """The body as a problem."""
        assert self.headers.get("content-type") == "application/problem+json", self
        return json.loads(self.body)


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes, every: float = 0.0) -> None:
        """Send it, at once, or a byte at a time for as long as the other side listens."""
        try:
            if not every:
                self._writer.write(data)
                await self._writer.drain()
                return
            for byte in data:
                self._writer.write(bytes([byte]))
                await self._writer.drain()
                await asyncio.sleep(every)
        except OSError:
            pass

    async def answer(self) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(SECONDS):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return Answer(0, {}, b"")
            first, *lines = head.decode("latin-1").splitlines()
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
            return Answer(int(first.split()[1]), headers, body)

    async def closed(self) -> None:
        """Return when the other side has closed; what it still says is not read."""
        async with asyncio.timeout(SECONDS):
            try:
                while await self._reader.read(65_536):
                    pass
            except ConnectionError:
                pass

    def close(self) -> None:
        """Leave."""
        self._writer.close()


async def connect(url: str) -> Raw:
    """Connect to a gateway."""
    parts = urlsplit(url)
    return Raw(*await asyncio.open_connection(parts.hostname, parts.port))


async def ask(url: str, data: bytes, every: float = 0.0) -> Answer:
    """Send something on a connection of its own; returns the answer."""
    raw = await connect(url)
    sending = asyncio.create_task(raw.send(data, every))
    try:
        return await raw.answer()
    finally:
        sending.cancel()
        raw.close()
