"""The programs in examples/, the demo, and the blocks of README.md that are marked with `<!-- run: NAME -->`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from examples.node_package import ROOT, provide

from tests.suite.gateways import GatewayProcess
from tests.suite.seen import until
from tests.support.processes import Program, alive, children
from tieline import EventSystem

EXAMPLES = ROOT / "examples"
BLOCK = re.compile(r"^<!-- run: ([^>\n]+?) -->\n+```(python|js)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDINGS = {"python": "py", "js": "mjs"}


class Block(NamedTuple):
    """A piece of README.md that is a program."""

    name: str
    language: str
    code: str


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
        code = await running.wait(seconds=60)
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


@asynccontextmanager
async def flask(url: str) -> AsyncIterator[tuple[Program, str]]:
    """The web application under Flask's own server, and its address."""
    command = (sys.executable, "-W", "error", "-m", "flask", "--app", EXAMPLES / "flask_app.py", "run", "--port", "0")
    async with Program(*command, env={"TIELINE_URL": url, "REDIS_URL": ""}) as web:
        yield web, (await web.line("Running on http://")).split()[-1]


async def get(address: str) -> tuple[int, Any]:
    """What a web application answers: the status, and what its JSON says."""

    def fetch() -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return await asyncio.to_thread(fetch)


async def test_a_flask_application_calls_answers_and_hears(redis_url: str) -> None:
    async with flask(redis_url) as (web, address), services(redis_url):
        await printed(program(EXAMPLES / "python_client.py", url=redis_url))  # waits for the services
        assert await get(f"{address}/sum/1/2/3") == (200, {"sum": 6})
        async with EventSystem(redis_url) as system, asyncio.timeout(40):
            while await get(f"{address}/visits") == (200, {"visitors": []}):
                await system.publish("user.created", {"id": 123})
            assert 123 in await system.publish_and_wait("web.visitors", wait_for_responders=20)
        os.kill(web.pid, signal.SIGINT)
        assert await web.wait() == 0, web.text


async def test_a_flask_application_says_that_nobody_is_there(redis_url: str) -> None:
    async with flask(redis_url) as (_, address):
        assert await get(f"{address}/sum/1/2/3") == (503, {"error": "NO_RESPONDERS", "retryable": True})


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
        await until(lambda: not [pid for pid in started if alive(pid)])


def blocks() -> list[Block]:
    """The marked blocks of README.md."""
    return [Block(*found) for found in BLOCK.findall((ROOT / "README.md").read_text())]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)
async def test_a_block_of_the_readme_runs(block: Block, redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / f"block.{ENDINGS[block.language]}"
    path.write_text(block.code)
    await printed(program(path, url=redis_url))


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("inside", [True, False], ids=["in-process", "redis"])
async def test_the_same_service_prints_in_both_languages_what_the_readme_says(
    language: str, inside: bool, redis_url: str, tmp_path: Path
) -> None:
    (block,) = (block for block in blocks() if block.name == f"{language} the same service")
    shown = re.search(r"^Both print:\n\n```\n(.*?)```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    path = tmp_path / f"block.{ENDINGS[block.language]}"
    path.write_text(block.code)
    assert await printed(program(path, url="" if inside else redis_url)) == shown[1].splitlines()


def test_the_readme_has_blocks_in_both_languages() -> None:
    assert {block.language for block in blocks()} == {"python", "js"}
