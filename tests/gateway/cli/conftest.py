"""Brokers that commands go to, and services there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.gateway.up import Up
from tieline import EventSystem, HandlerError, Settings


@pytest.fixture(params=["redis", "gateway"])
async def url(request: pytest.FixtureRequest, stack: AsyncExitStack) -> str:
    """A broker: Redis itself, or an embedded gateway."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return (await stack.enter_async_context(Up())).url


@pytest.fixture
async def shop(url: str) -> AsyncIterator[EventSystem]:
    """A service that answers."""
    system = EventSystem(url, service="shop", settings=Settings(drain=0.1))

    async def add(numbers: list[int]) -> int:
        return sum(numbers)

    async def count(start: int) -> AsyncIterator[int]:
        for number in range(start, 0, -1):
            yield number

    async def fail(data: object) -> None:
        raise HandlerError("no such thing\x1b[2J", type="LookupError")

    async def hang(data: object) -> None:
        await system.clock.sleep(60)

    for topic, handler in (("sum", add), ("count", count), ("fail", fail), ("hang", hang)):
        system.subscribe(topic, handler)
    system.subscribe("echo", lambda data: data)
    await system.start()
    for subscription in system.subscriptions:
        await subscription.ready()
    yield system
    await system.aclose()
