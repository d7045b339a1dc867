"""Reading server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.gateway.up import WebClient

SECONDS = 30.0


class Told(NamedTuple):
    """One event of a stream."""

    name: str
    data: Any
    id: str = ""


class Stream:
    """What comes, event by event; comments are counted."""

    def __init__(self, lines: Any, headers: Any) -> None:
        self.headers = headers
        self.comments = 0
        self._lines = lines

    async def next(self) -> Told:
        """The next event, soon."""
        async with asyncio.timeout(SECONDS):
            return await anext(self)

    async def until(self, name: str) -> Told:
        """The next event of this name."""
        while (told := await self.next()).name != name:
            pass
        return told

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Told:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return Told(fields.get("event", ""), json.loads(fields["data"]), fields.get("id", ""))
            else:
                fields.clear()
        raise StopAsyncIteration


@asynccontextmanager
async def reading(web: WebClient, method: str, path: str, **options: Any) -> AsyncGenerator[Stream]:
    """Open a stream; leaving closes the connection."""
    async with web.stream(method, path, **options) as response:
        if response.status_code != 200:
            await response.aread()
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response.aiter_lines(), response.headers)
