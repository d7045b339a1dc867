"""What commands say when something is wrong: in words that people type, not in those of programs."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.gateway.access.people import Town, token_of
from tests.gateway.commands import command, environment
from tests.gateway.up import Up
from tieline import EventSystem

_OF_PROGRAMS = re.compile(r"\w+_\w+|\b[a-z]+=|publishAnd\w+|waitFor\w+")


async def shell(line: str) -> tuple[int, str]:
    """A line in a shell, and in a process that has loaded nothing yet: its exit code, and what it wrote to stderr."""
    words = ("bash", "-c", f"{sys.executable} -m tieline_gateway {line}")
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE, env=environment({}))
    _, told = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("call count 3", 1, "'count' streams its reply; call it with --stream"),
        ("call nobody.here 1", 4, "nobody answers 'nobody.here': start a subscriber of it, or give --wait"),
        ("call sum [] --ttl 25h", 2, "--ttl is in seconds, from 0.001 to 86400, not 90000.0"),
        ("pub a.b 1 --priority 5", 2, "--priority and --dedupe are for what is stored: add --key or --durable"),
        ("pub a.b 1 --dedupe x --delay 5", 2, "--dedupe is for what is stored: add --key or --durable"),
        ("pub a.b 1 --delay 5 --at 2h", 2, "--delay and --at are two ways to say when: give one of them"),
        ("cron create x @hourly a.b --priority 5", 2, "--priority is for what is stored: add --durable"),
    ],
)
async def test_errors_name_options(shop: EventSystem, url: str, words: str, code: int, says: str) -> None:
    printed = await command(*words.split(), "--url", url)
    assert (printed.code, printed.out) == (code, "")
    name, _, told = printed.err.removeprefix("tieline: ").strip().partition(": ")
    assert (name.isupper(), told.partition(" (tieline explain")[0]) == (True, says)
    assert not _OF_PROGRAMS.search(told), told


async def test_a_handshake_that_fails_is_one_line(stack: AsyncExitStack) -> None:
    up = await stack.enter_async_context(Up())
    code, told = await shell(f"pub a.b --url {up.url.replace('grpc://', 'grpcs://')}")
    assert (code, told.count("\n")) == (6, 1), told
    assert told.endswith("it serves without TLS: use grpc://\n")


async def test_who_may_not_subscribe_is_told_once(stack: AsyncExitStack, tmp_path: Path) -> None:
    town = await Town(stack, tmp_path, {"joe": 'publish = ["a.>"]'}).open()
    (tmp_path / "token").write_text(token_of("joe"))
    printed = await command("sub", "x.y", "--url", town.up.url, "--token-file", str(tmp_path / "token"))
    assert (printed.code, printed.out) == (7, "")
    assert printed.err == "tieline: PERMISSION_DENIED: joe may not subscribe 'x.y'\n"


async def test_a_gather_that_meets_a_stream_names_the_option(shop: EventSystem, url: str) -> None:
    printed = await command("call", "count", "3", "--gather", "--url", url)
    assert "call it with --stream" in printed.out


async def test_words_of_a_handler_are_its_own(shop: EventSystem, url: str) -> None:
    async def refuse(data: str) -> None:
        raise ValueError(data)

    await shop.subscribe("refuse", refuse).ready()
    printed = await command("call", "refuse", '"give key= or publish_and_stream"', "--url", url)
    assert (printed.code, "ValueError: give key= or publish_and_stream" in printed.err) == (5, True)


async def test_a_misspelled_command_is_told_with_the_nearest() -> None:
    printed = await command("cal", "sum")
    assert (printed.code, "No such command 'cal'. Did you mean call?" in printed.err) == (2, True)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("call sum [1] > /dev/full", 1, "tieline: the output cannot be written: No space left on device\n"),
        ("services > /dev/full", 1, "tieline: the output cannot be written: No space left on device\n"),
        ("call sum [1] >&-", 0, ""),
        ("services | (exec <&-; sleep 20); exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
async def test_an_output_that_takes_nothing(shop: EventSystem, url: str, line: str, code: int, says: str) -> None:
    words, redirection = re.fullmatch(r"([^|>]+)(.*)", line).groups()  # pyright: ignore[reportOptionalMemberAccess]
    assert await shell(f"{words} --url {url} {redirection}") == (code, says)
