"""Gateways for tests."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.gateway.raw_link import RawLink
from tests.gateway.up import Client, Up, WebClient, system
from tieline import EventSystem

_numbers = itertools.count(1)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test enters."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
async def up(stack: AsyncExitStack) -> Up:
    """An embedded gateway."""
    return await stack.enter_async_context(Up())


@pytest.fixture
async def web(stack: AsyncExitStack) -> WebClient:
    """An HTTP client of an embedded gateway, `web.up`."""
    up = await stack.enter_async_context(Up(http=True))
    return await stack.enter_async_context(WebClient(up))


@pytest.fixture
async def client(stack: AsyncExitStack, up: Up) -> Client:
    """A program with plain stubs."""
    return await stack.enter_async_context(Client(up.address))


@pytest.fixture
async def events(stack: AsyncExitStack, up: Up) -> EventSystem:
    """One of our clients, over a Link."""
    return await stack.enter_async_context(system(up))


@pytest.fixture
async def new_system(stack: AsyncExitStack) -> Callable[..., Any]:
    """Makes more of our clients."""

    async def make(up: Up, **options: Any) -> EventSystem:
        return await stack.enter_async_context(system(up, **options))

    return make


@pytest.fixture
async def new_link(stack: AsyncExitStack, up: Up) -> Callable[..., Any]:
    """Makes raw Links that have said hello."""

    async def make(service: str = "raw") -> tuple[RawLink, str]:
        link = await stack.enter_async_context(RawLink(up.address))
        return link, (await link.hello(service)).instance

    return make


@pytest.fixture
def topic() -> str:
    """A topic no other test has."""
    return f"gateway.t{next(_numbers)}"
