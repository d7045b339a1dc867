"""`example demo`: a program with plain stubs among services in Python and Node."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from examples.node_package import provide

from tests.gateway.up import Up, system
from tests.stacks.programs import ROOT, Program
from tests.suite.seen import Seen
from tests.support.processes import Peer

SERVICES = {"calculate.sum": ("python_service.py", [1]), "ai.request": ("node_service.mjs", {"query": "x"})}


class Played(NamedTuple):
    """What a demo printed, and what others heard."""

    printed: list[str]
    heard: list[Any]
    services: list[list[str]]

    def line(self, beginning: str) -> str:
        """The one line that begins so."""
        [found] = [line for line in self.printed if line.startswith(beginning)]
        return found


class Service(Peer):
    """One of the services in examples/: it announces nothing."""

    async def line(self, pattern: str, *, seconds: float = 20.0) -> str:
        """See `Peer.line`."""
        return "" if pattern == "^READY" else await super().line(pattern, seconds=seconds)


@pytest.fixture(scope="session")
def played(language: str) -> Played:
    """The demo, run once for each language."""
    return asyncio.run(play(language))


async def play(language: str) -> Played:
    """Start everybody, wait until the services answer, run the demo."""
    async with AsyncExitStack() as stack:
        up = await stack.enter_async_context(Up())
        services = [await stack.enter_async_context(start(name, up.url)) for name, _ in SERVICES.values()]
        events = await stack.enter_async_context(system(up))
        for topic, (_, data) in SERVICES.items():
            await events.publish_and_wait(topic, data, wait_for_responders=20.0)
        heard = Seen()
        await events.subscribe("user.created", heard.take).ready()
        async with Program(language, "demo", up.address) as demo:
            assert await demo.wait(seconds=30) == 0, demo.text
            await demo.close()
        await heard.reach(1)
        for service in services:
            await service.line("^user")
        return Played(demo.output, heard, [service.output for service in services])


def start(name: str, url: str) -> Service:
    """A service in Python or Node."""
    path = ROOT / "examples" / name
    if path.suffix == ".mjs":
        provide(path.parent)
    command: list[str | Path] = ["node", path] if path.suffix == ".mjs" else [sys.executable, path]
    return Service(*command, env={"TIELINE_URL": url, "TIELINE_SERVICE": "", "REDIS_URL": ""})


def test_what_it_publishes_reaches_python_and_node(played: Played) -> None:
    assert played.heard == [{"id": 456}]
    assert played.services == [["user.created: 456"], ["user.created: 456"]]


def test_it_hears_what_it_subscribed_to(played: Played) -> None:
    assert 'heard user.created {"id":456}' in played.printed


def test_it_calls_services_in_python_and_node(played: Played) -> None:
    assert "calculate.sum: 15" in played.printed
    assert 'ai.request: {"answer":"TIE LINE"}' in played.printed


def test_it_reads_the_code_outcome_and_retryable_of_an_error(played: Played) -> None:
    played.line("calculate.sum: INVALID_PAYLOAD, NOT_DELIVERED, retryable false: ")
    played.line("nobody.home: NO_RESPONDERS, NOT_DELIVERED, retryable true: ")


def test_it_calls_its_own_responder_through_the_gateway(played: Played, language: str) -> None:
    assert f"{language}.sum: 6" in played.printed
    failed = played.printed.index(f"{language}.fail: HANDLER_ERROR, RAN, retryable false: no lamp left")
    about = re.fullmatch(r"  it was OutOfStock (\{.*\})", played.printed[failed + 1])
    assert about
    assert '"item": "lamp"' in about[1]


def test_the_deadline_of_its_call_is_the_timeout(played: Played, language: str) -> None:
    played.line(f"{language}.slow: TIMEOUT, MAY_HAVE_RUN, retryable false: ")
