"""The examples of docs/http.md, as they are written there."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from tests.gateway.up import Up, WebClient, system

GUIDE = Path(__file__).parents[3] / "docs" / "http.md"
BLOCK = re.compile(r"^<!-- run: curl -->\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = "localhost:8080"


def examples() -> list[tuple[str, str]]:
    """Each command, and what it answers."""
    text = "\n".join(BLOCK.findall(GUIDE.read_text()))
    commands = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command, answer.strip()) for command, _, answer in (each.partition("\n") for each in commands)]


async def curl(web: WebClient, command: str) -> str:
    """Do what curl would do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    for name in ("-X", "-d", "--json"):
        parser.add_argument(name)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-N", action="store_true")
    name, *words = shlex.split(command)
    assert name == "curl"
    asked = parser.parse_args(words)
    assert asked.url.startswith(PLACE)
    body = asked.json if asked.json is not None else asked.d
    headers = dict(each.split(": ") for each in asked.H) | ({"content-type": "application/json"} if asked.json else {})
    method = asked.X or ("GET" if body is None else "POST")
    answer = await web.request(method, asked.url.removeprefix(PLACE), content=body, headers=headers)
    return answer.text.strip()


def fits(said: str, wanted: str) -> bool:
    """Whether it says so; an ellipsis stands for anything."""
    return re.fullmatch(".*?".join(map(re.escape, wanted.split("…"))), said, re.DOTALL) is not None


async def count(start: int) -> AsyncIterator[int]:
    """A stream of replies."""
    for number in range(start, 0, -1):
        yield number


async def test_the_guide_is_true(stack: AsyncExitStack) -> None:
    up = await stack.enter_async_context(Up(http=True))
    web = await stack.enter_async_context(WebClient(up))
    events = await stack.enter_async_context(system(up, service="calculator"))
    await events.subscribe("calculate.sum", sum).ready()
    await events.subscribe("count.down", count).ready()
    assert len(examples()) > 12
    for command, wanted in examples():
        said = await curl(web, command)
        assert fits(said, wanted), (command, said)
