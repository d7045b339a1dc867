"""The transports under test, what each can do, and everything a test makes on one of them."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.suite.gateways import GatewayProcess
from tests.suite.raw import Raw
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import EventSystem, Settings
from tieline.transport import Transport
from tieline.transports import make_transport
from tieline.transports.memory import MemoryBroker, MemoryTransport

RESPONDER = Path(__file__).parents[1] / "peers/responder.py"
F = TypeVar("F", bound=Callable[..., Any])
_numbers = itertools.count(1)


class Feature(StrEnum):
    """What not every transport has. A test that needs one is made only for the transports that have it."""

    PROCESSES = "instances live in processes of their own, which can be killed and frozen"
    OWN_LEASE = "a client's Settings decide how long its lease is"
    OWN_WINDOW = "a client's Settings decide how long results of its handlers stay"
    DURABLE = "events can be stored"
    REDIS = "a test can speak to the broker as any Redis client would"


def needs(*features: Feature) -> Callable[[F], F]:
    """Make a test for those transports only that have the features."""

    def mark(function: F) -> F:
        function.needs = frozenset(features)  # type: ignore[attr-defined]
        return function

    return mark


class Place(NamedTuple):
    """A broker that runs: its address (memory has none) and, where there is one, the Redis server behind it."""

    url: str
    redis: RedisServer | None = None


@contextlib.contextmanager
def _memory() -> Iterator[Place]:
    yield Place("")


@contextlib.contextmanager
def _redis() -> Iterator[Place]:
    with RedisServer() as server:
        yield Place(server.url, server)


@contextlib.contextmanager
def _gateway() -> Iterator[Place]:
    with GatewayProcess() as gateway:
        yield Place(gateway.url)


@contextlib.contextmanager
def _gateway_redis() -> Iterator[Place]:
    with RedisServer() as server, GatewayProcess("--redis-url", server.url) as gateway:
        yield Place(gateway.url)


class Kind(NamedTuple):
    """A transport under test."""

    open: Callable[[], contextlib.AbstractContextManager[Place]]
    features: frozenset[Feature]


KINDS = {
    "memory": Kind(_memory, frozenset({Feature.OWN_WINDOW, Feature.DURABLE})),
    "redis": Kind(_redis, frozenset(Feature)),
    "gateway": Kind(_gateway, frozenset({Feature.PROCESSES, Feature.DURABLE})),
    "gateway+redis": Kind(_gateway_redis, frozenset({Feature.PROCESSES, Feature.DURABLE})),
}


class World:
    """Event systems, raw instances and peers on one broker, all gone at the end of the test."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._broker = MemoryBroker()
        self._open = contextlib.AsyncExitStack()

    def make(self, **options: Any) -> EventSystem:
        """An event system that has not started."""
        options.setdefault("service", "test")
        system = EventSystem(transport=self.transport(options.get("settings")), **options)
        self._open.push_async_callback(system.aclose, 0.0)
        return system

    async def system(self, **options: Any) -> EventSystem:
        """An event system that has started."""
        return await self.make(**options).start()

    async def raw(self) -> Raw:
        """An instance that does only what it is told."""
        transport = self.transport()
        self._open.push_async_callback(transport.aclose)
        return await Raw(transport).open()

    async def peer(self, topic: str, **options: Any) -> Peer:
        """A responder in a process of its own; see `tests/peers/responder.py`."""
        told = json.dumps({"url": self.place.url, "topic": topic, **options})
        return await self._open.enter_async_context(Peer.python(RESPONDER, told))

    def transport(self, settings: Settings | None = None) -> Transport:
        """One more way to the broker."""
        if not self.place.url:
            return MemoryTransport(self._broker, settings=settings)
        return make_transport(self.place.url, "", settings or Settings())

    async def close(self) -> None:
        """End everything."""
        await self._open.aclose()


def new_topic() -> str:
    """A topic that no other test has."""
    return f"t{next(_numbers)}"


async def in_step(system: EventSystem) -> None:
    """Return when the system knows of every observer and wildcard group that is registered now.

    Notices of them travel ahead of the answer to whatever is asked later.
    """
    await system.publish(f"in-step.{next(_numbers)}")
