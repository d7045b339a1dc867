"""One suite for every transport.

The tests are in `tests/suite/`, by subject. Each is made for every transport that has the features it needs; what a
transport lacks is declared in `tests/suite/world.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import pytest

from tests.suite.world import KINDS, Place, World, new_topic

SUBJECTS = (
    "broadcast", "groups", "calls", "failing_calls", "overload", "lost_responders", "local_first", "observers",
    "payloads", "handlers", "inheritance", "subscriptions", "middleware", "streams", "gather",
    "idempotency", "retries", "inside", "figures", "system_events", "schedules", "cron",
    "durable", "durable_retries", "durable_groups", "durable_plain", "durable_letters", "durable_redrive",
    "durable_many", "durable_batches", "durable_once", "durable_outbox", "durable_explained",
)  # fmt: skip


def _take_tests(module: ModuleType) -> None:
    """Make the module's tests this module's own."""
    for name, value in vars(module).items():
        if name.startswith("test_") and value.__module__ == module.__name__:
            assert name not in globals(), f"two tests are called {name}"
            value.needs = getattr(value, "needs", frozenset()) | getattr(module, "NEEDS", frozenset())
            globals()[name] = value


for _subject in SUBJECTS:
    _take_tests(importlib.import_module(f"tests.suite.{_subject}"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each transport that has the features it needs."""
    if "world" in metafunc.fixturenames:
        needed = getattr(metafunc.function, "needs", frozenset())
        kinds = [name for name, kind in KINDS.items() if needed <= kind.features]
        metafunc.parametrize("place", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A broker of the kind asked for; one for all tests, which do not stop it."""
    with KINDS[request.param].open() as opened:
        yield opened


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    """Where a test makes its event systems and peers."""
    made = World(place)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def topic() -> str:
    """A topic that no other test has."""
    return new_topic()
