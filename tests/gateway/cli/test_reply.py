"""`tieline reply`: a program answers."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import pytest

from tests.gateway.cli.running import Running
from tests.gateway.commands import SECONDS, command
from tieline import EventSystem

ANSWERS = "^tieline: .* answers"


def replier(url: str, *arguments: str) -> Running:
    return Running("reply", *arguments, "--url", url, ready=ANSWERS)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def python(code: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


async def test_echo(url: str) -> None:
    async with replier(url, "ping", "--echo"):
        assert (await command("call", "ping", '{"a": ["ü", 1.5]}', "--url", url)).out == '{"a":["ü",1.5]}\n'


async def test_a_program_gets_json_and_prints_json(url: str) -> None:
    code = "import json, os, sys; print(json.dumps([json.load(sys.stdin), os.environ['TIELINE_TOPIC']]))"
    async with replier(url, "twice", "--command", python(code)):
        assert (await command("call", "twice", '"x"', "--url", url)).out == '["x","twice"]\n'


async def test_text_is_taken_as_it_is_if_asked_for(redis_url: str) -> None:
    async with replier(redis_url, "host", "--command", "echo 42", "--text"):
        assert (await command("call", "host", "--url", redis_url)).out == '"42"\n'


async def test_a_payload_never_becomes_a_command(redis_url: str, tmp_path: Path) -> None:
    evil = f"; touch {tmp_path}/owned; $(touch {tmp_path}/owned) `touch {tmp_path}/owned` ' \" \\n | cat"
    async with replier(redis_url, "cat", "--command", "cat"), EventSystem(redis_url) as events:
        assert await events.publish_and_wait("cat", evil) == evil
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--command", python("import sys; print('first', file=sys.stderr); sys.exit('no stock\\x1b')")), "no stock"),
        (("--command", "false"), "false ended with 1"),
        (("--command", "echo hello"), "echo printed no JSON; reply --text takes text"),
        (("--command", "sleep 60", "--timeout", "500ms"), "sleep took longer than 0.5 s"),
        (("--command", python("print('[' + '0,' * 1_000_000 + '0]')")), "it printed more than 1,048,576 bytes"),
    ],
)
async def test_a_program_that_fails_is_a_handler_error(redis_url: str, arguments: tuple[str, ...], says: str) -> None:
    async with replier(redis_url, "x", *arguments) as replying:
        printed = await command("call", "x", "1", "--ttl", "15", "--url", redis_url)
        assert (printed.code, f"HANDLER_ERROR: CommandFailed: {says}" in printed.err) == (5, True), printed.err
        assert "Traceback" not in replying.text
        assert "\x1b" not in replying.text


async def test_events_are_not_calls(redis_url: str, tmp_path: Path) -> None:
    async with replier(redis_url, "x", "--command", f"touch {tmp_path}/ran"), EventSystem(redis_url) as events:
        await events.publish("x", 1)
        assert await events.publish_and_wait("x") is None
    assert names(tmp_path) == ["ran"]


async def test_at_the_end_calls_under_way_finish(redis_url: str, tmp_path: Path) -> None:
    """The program begins the call, says so by touching a file, and ends it a moment later."""
    file = tmp_path / "begun"
    slow = python(f"import time; open({str(file)!r}, 'w').close(); time.sleep(1.5); print('1')")
    async with replier(redis_url, "slow", "--command", slow) as replying, EventSystem(redis_url) as events:
        call = asyncio.create_task(events.publish_and_wait("slow", 1))
        async with asyncio.timeout(SECONDS):
            while not file.exists():
                await asyncio.sleep(0.05)
        replying.interrupt()
        assert await call == 1
        assert await replying.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say how to reply"),
        (("--echo", "--command", "cat"), "say how to reply"),
        (("--echo", "--text"), "--text goes with --command"),
        (("--command", "no-such-program-here x"), "there is no program 'no-such-program-here' to run"),
        (("--command", "'unclosed"), "cannot be read: No closing quotation"),
    ],
)
async def test_what_cannot_be_meant(redis_url: str, arguments: tuple[str, ...], says: str) -> None:
    printed = await command("reply", "x", *arguments, "--url", redis_url)
    assert (printed.code, says in printed.err) == (2, True), printed.err


async def test_a_pattern_is_no_topic_of_calls(redis_url: str) -> None:
    printed = await command("reply", "x.*", "--echo", "--url", redis_url)
    assert (printed.code, "give a topic without wildcards" in printed.err) == (2, True)
