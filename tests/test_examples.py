"""The programs in examples/, the demo, and the blocks of README.md that are marked with `<!-- run: NAME -->`."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.node_package import ROOT, provide

from tests.suite.gateways import GatewayProcess
from tests.support.processes import Peer

EXAMPLES = ROOT / "examples"
BLOCK = re.compile(r"^<!-- run: ([^>\n]+?) -->\n+```(python|js)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDINGS = {"python": "py", "js": "mjs"}


class Block(NamedTuple):
    """A piece of README.md that is a program."""

    name: str
    language: str
    code: str


class Program(Peer):
    """A program as a reader would start it: it announces nothing."""

    async def line(self, pattern: str, *, seconds: float = 20.0) -> str:
        """See `Peer.line`."""
        return "" if pattern == "^READY" else await super().line(pattern, seconds=seconds)


def program(path: Path, *, url: str, **environment: str) -> Program:
    """A Python or Node program that connects to `url`; in Python every warning is an error."""
    env = {"TIELINE_URL": url, "TIELINE_SERVICE": "", "REDIS_URL": "", **environment}
    command = ["node"] if path.suffix == ".mjs" else [sys.executable, "-W", "error"]
    if path.suffix == ".mjs":
        provide(path.parent)
    return Program(*command, path, env=env)


async def printed(running: Program) -> list[str]:
    """All that a program prints, once it has ended well."""
    async with running:
        code = await running.wait(seconds=30)
        await running.close()
        assert code == 0, running.text
    return running.output


@asynccontextmanager
async def services(url: str) -> AsyncIterator[tuple[Program, Program]]:
    """Both services, which must end well when they are asked to."""
    python, node = program(EXAMPLES / "python_service.py", url=url), program(EXAMPLES / "node_service.mjs", url=url)
    async with python, node:
        yield python, node
        for service in (python, node):
            service.terminate()
            assert await service.wait() == 0, service.text


async def test_clients_in_both_languages_call_services_in_both(redis_url: str) -> None:
    async with services(redis_url) as (python, node):
        expected = ["calculate.sum: 15", "nobody.home: NO_RESPONDERS, NOT_DELIVERED"]
        expected += ["calculate.sum: INVALID_PAYLOAD, NOT_DELIVERED"]
        by_python = await printed(program(EXAMPLES / "python_client.py", url=redis_url))
        by_node = await printed(program(EXAMPLES / "node_client.mjs", url=redis_url))
        assert by_python == [expected[0], "ai.request: {'answer': 'TIE LINE'}", *expected[1:]]
        assert by_node == [expected[0], "ai.request: TIE LINE", *expected[1:]]
        for service in (python, node):
            await service.line(r"^user\.created: 123$")


async def test_a_program_with_plain_stubs_calls_through_a_gateway(redis_url: str) -> None:
    with GatewayProcess("--url", redis_url) as gateway:
        async with services(redis_url) as (python, node):
            await printed(program(EXAMPLES / "python_client.py", url=redis_url))  # waits for the services
            address = gateway.url.removeprefix("grpc://")
            output = await printed(program(EXAMPLES / "grpc_client.py", url="", TIELINE_GATEWAY=address))
            assert output == ["calculate.sum: 6", "nobody.home: UNAVAILABLE"]
            for service in (python, node):
                await service.line(r"^user\.created: 456$")


async def test_the_demo_shows_what_it_should() -> None:
    demo = Program(sys.executable, "-m", "examples.demo", env={"PYTHONPATH": str(ROOT)})
    output = "\n".join(await printed(demo))
    assert output.count("heard by Python, Node, gRPC") == 2
    assert "FAILED" not in output
    assert "\x1b" not in output


async def test_an_interrupted_demo_leaves_nothing_behind() -> None:
    demo = Program(sys.executable, "-m", "examples.demo", env={"PYTHONPATH": str(ROOT)})
    async with demo:
        await demo.line("ai.request")
        started = children(demo.pid)
        demo.terminate()
        assert await demo.wait() == 130, demo.text
        assert len(started) >= 3
        await asyncio.sleep(0.2)
        assert not [pid for pid in started if alive(pid)]


def children(pid: int) -> list[int]:
    """The processes it started."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def blocks() -> list[Block]:
    """The marked blocks of README.md."""
    return [Block(*found) for found in BLOCK.findall((ROOT / "README.md").read_text())]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)
async def test_a_block_of_the_readme_runs(block: Block, redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / f"block.{ENDINGS[block.language]}"
    path.write_text(block.code)
    await printed(program(path, url=redis_url))


def test_the_readme_has_blocks_in_both_languages() -> None:
    assert {block.language for block in blocks()} == {"python", "js"}
