"""What every test may ask for."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.binaries import ServerNotFound, find_server, server_version
from tests.support.nursery import open_nursery
from tests.support.other_server import may_talk_to_a_server
from tests.support.servers import RedisServer


def pytest_configure() -> None:
    """SIGINT interrupts, also where a shell runs us in the background, which has it ignored by us and our children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    open_nursery()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--other-server`: for a second run, against another server; what never talks to one is left out."""
    parser.addoption("--other-server", action="store_true", help="only tests that may talk to Redis or PostgreSQL")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `--other-server` does not want."""
    if config.getoption("other_server"):
        left_out = [item for item in items if not may_talk_to_a_server(item)]
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def pytest_report_header() -> str:
    """Say once which server the tests run against."""
    try:
        binary = find_server()
    except ServerNotFound as error:
        return f"redis server: none ({error})"
    return f"redis server: {server_version(binary)} ({binary})"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One private server for the whole run; do not stop or pause it, make your own for that."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of the shared server, emptied for this test."""
    redis_server.flush()
    return redis_server.url
