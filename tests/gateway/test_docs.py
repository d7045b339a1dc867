"""What the guides tell to type is understood, and the quickstart works as it is written."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import click
import pytest

from tests.gateway.commands import command
from tests.gateway.up import Up
from tests.support.processes import Program
from tieline_gateway.cli import cli

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def typed(page: str) -> list[str]:
    """The lines of a page that begin with our command, in blocks and in running text."""
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = [line.strip().removeprefix("$ ") for block in _BLOCK.findall(text) for line in block.splitlines()]
    inline = re.findall(r"`(tieline [^`]+)`", _BLOCK.sub("", text))
    return [line for line in (*lines, *inline) if re.match(r"([A-Z_]+=\S+ )*tieline ", line)]


PAGES = ("../README.md", "quickstart.md", "operations.md", "configuration.md")


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in typed(page)])
def test_commands_are_understood(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    words = [word for word in shlex.split(line, comments=True) if "=" not in word.split("-")[0]][1:]
    context, known = cli.make_context("tieline", [], resilient_parsing=True), cli
    found: click.Command = known
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        _name, subcommand, words = found.resolve_command(context, words)
        assert subcommand is not None, f"{page}: {line}"
        found = subcommand
    if words:
        found.make_context("tieline", words, parent=context)


async def test_the_quickstart(stack: AsyncExitStack, tmp_path: Path) -> None:
    text = (DOCS / "quickstart.md").read_text(encoding="utf-8")
    program = re.search(r"```python\n# shop.py\n(.*?)```", text, re.DOTALL)
    assert program is not None
    (tmp_path / "shop.py").write_text(program[1])
    up = await stack.enter_async_context(Up(http=True))
    env = {"TIELINE_URL": up.url, "PYTHONPATH": str(tmp_path)}
    service = await stack.enter_async_context(Program(sys.executable, "-m", "tieline", "run", "shop", env=env))
    await service.line("serves calculate.sum")
    call = next(line for line in typed("quickstart.md") if line.startswith("tieline call"))
    words = [word.replace("grpc://127.0.0.1:50051", up.url) for word in shlex.split(call)[1:]]
    printed = await command(*words)
    assert (printed.code, printed.out) == (0, "6\n")
    curl = re.search(r"\$ (curl .*)\n(.*)\n", text)
    assert curl is not None
    asked = [word.replace("http://127.0.0.1:8080", up.web) for word in shlex.split(curl[1])]
    process = await asyncio.create_subprocess_exec(*asked, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0].decode() == curl[2]
