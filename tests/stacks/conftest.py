"""A gateway, and programs in other languages beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.up import Up, system
from tests.stacks.programs import Program, chosen
from tieline import EventSystem


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test once for each language."""
    if "language" in metafunc.fixturenames:
        metafunc.parametrize("language", chosen(), scope="session")


@pytest.fixture
async def up() -> AsyncIterator[Up]:
    """An embedded gateway."""
    async with Up() as gateway:
        yield gateway


@pytest.fixture
async def events(up: Up) -> AsyncIterator[EventSystem]:
    """A program in Python."""
    async with system(up) as ours:
        yield ours


@pytest.fixture
async def service(up: Up, language: str) -> AsyncIterator[Program]:
    """A responder in the language; it has registered."""
    async with Program(language, "serve", up.address) as program:
        yield program
