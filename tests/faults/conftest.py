"""A server of its own for each test, and event systems on it that hear quickly of what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from tests.support.proxy import FaultProxy
from tests.support.servers import RedisServer
from tieline import EventSystem, Settings

QUICK: dict[str, float] = {
    "ping_interval": 0.3,
    "pong_timeout": 0.7,
    "reconnect_max": 0.5,
    "lease": 3.0,
    "lease_refresh": 0.8,
    "patterns_refresh": 0.8,
}


class Bench:
    """What a fault is tried on."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._open = contextlib.AsyncExitStack()

    async def system(self, service: str, *, port: int = 0, **settings: Any) -> EventSystem:
        """A started event system, by the server's own port or a proxy's."""
        url = f"redis://127.0.0.1:{port or self.server.port}"
        made = EventSystem(url, service=service, settings=Settings(**{**QUICK, **settings}))
        self._open.push_async_callback(made.aclose, 0.0)
        return await made.start()

    async def proxy(self) -> FaultProxy:
        """A bad network to the server."""
        return await self._open.enter_async_context(FaultProxy("127.0.0.1", self.server.port))

    async def echo(self, topic: str, ran: list[Any], **options: Any) -> EventSystem:
        """A responder that returns what it gets."""

        async def handle(data: Any) -> Any:
            ran.append(data)
            return data

        made = await self.system("responder", **options)
        await made.subscribe(topic, handle).ready()
        return made

    async def ask(self, *command: Any) -> Any:
        """Send the server a command of another client's."""
        with redis.Redis(port=self.server.port) as client:
            return await asyncio.to_thread(client.execute_command, *command)

    async def connections(self, service: str) -> list[int]:
        """Client ids of the live links of a service."""
        with redis.Redis(port=self.server.port) as client:
            found = await asyncio.to_thread(client.client_list)
        return [int(each["id"]) for each in found if each["name"].startswith(f"tieline:{service}:")]

    async def close(self) -> None:
        """End everything but the server."""
        await self._open.aclose()


def link_of(system: EventSystem) -> Any:
    """Its connection, None while there is none; a reconnect may take so little time that only this tells."""
    transport: Any = system._instance._transport
    return transport.link


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
async def bench(server: RedisServer) -> AsyncIterator[Bench]:
    made = Bench(server)
    try:
        yield made
    finally:
        await made.close()
