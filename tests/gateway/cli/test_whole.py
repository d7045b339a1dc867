"""What is so of all commands; completion; bench; the demo."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.gateway.commands import SECONDS, command, on_terminal
from tests.gateway.up import Up
from tests.support.processes import alive, children
from tieline import EventSystem
from tieline._contract.contract import ERRORS
from tieline.errors import error_class
from tieline_gateway.cli import cli
from tieline_gateway.cli.exit_codes import ExitCode, exit_code


def all_commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield " ".join((*names, name)), found
        if isinstance(found, click.Group):
            yield from all_commands(found, *names, name)


def test_every_command_says_what_it_does_how_it_is_used_and_what_its_options_mean() -> None:
    for name, found in all_commands(cli):
        assert found.help, name
        ours = name.split()[0] not in ("version", "config", "webhook", "token")
        assert not ours or len(found.get_short_help_str(200)) <= 66, f"{name}: {found.get_short_help_str(200)}"
        for option in found.params:
            assert not isinstance(option, click.Option) or option.help, f"{name} {option.name}"
        if ours:
            assert found.epilog, name
            examples = [line.strip() for line in str(found.epilog).splitlines() if line.startswith("  ")]
            assert any(f"tieline {name.split()[0]}" in example for example in examples), name


def test_every_error_has_an_exit_code_and_the_help_says_all_of_them() -> None:
    codes = {code: exit_code(error_class(code)("")) for code in ERRORS}
    assert {code for code, given in codes.items() if given is ExitCode.FAILED} == {
        "INTERNAL", "UNSUPPORTED", "LOOP_DETECTED", "CANCELLED",
    }  # fmt: skip
    assert len({code.value for code in ExitCode}) == len(list(ExitCode))


async def test_the_help_lists_the_exit_codes() -> None:
    printed = await command("--help")
    for code in ExitCode:
        assert re.search(rf"^ +{code.value} +{re.escape(code.meaning[:40])}", printed.out, re.MULTILINE)


@pytest.mark.parametrize("arguments", [("nonsense",), ("call",), ("dlq", "nonsense"), ("call", "x", "--nonsense")])
async def test_what_there_is_not_is_told_in_two_lines(arguments: tuple[str, ...]) -> None:
    printed = await command(*arguments)
    assert (printed.code, printed.err.startswith("Usage: tieline")) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion(shell: str) -> None:
    printed = await command("completion", shell)
    assert (printed.code, "_TIELINE_COMPLETE" in printed.out) == (0, True)


async def test_words_are_completed() -> None:
    words = {"COMP_WORDS": "tieline dlq re", "COMP_CWORD": "2", "_TIELINE_COMPLETE": "bash_complete"}
    assert (await command(**words)).out == "plain,redrive\n"


async def test_a_bench_of_no_time_is_refused() -> None:
    printed = await command("bench", "--seconds", "0", "--url", "grpc://127.0.0.1:1")
    assert (printed.code, "at least 0.1" in printed.err) == (2, True), printed.err


async def test_bench_measures_calls_and_events(redis_url: str) -> None:
    printed = await command("bench", "--seconds", "300ms", "--concurrency", "10", "--json", "--url", redis_url)
    one, many, events = json.loads(printed.out)["items"]
    assert all(row["done"] > 0 and row["per_second"] > 0 for row in (one, many, events))
    assert 0 < one["p50_ms"] <= one["p99_ms"]
    shown = await on_terminal(80, "bench", "--seconds", "300ms", "--url", redis_url)
    assert "live events" in shown.out
    assert "cores" in shown.lines[-1]


async def test_the_demo_shows_a_bit_of_everything_and_ends_with_the_gateway() -> None:
    async with Up("--demo") as up, EventSystem(up.url) as events:
        await up.line("A small shop is open", seconds=SECONDS)
        assert {"shop", "stock", "billing", "web"} <= {each.name for each in await events.services()}
        assert await events.publish_and_wait("shop.price", "mug") == 9.0
        async with asyncio.timeout(SECONDS):
            while not await events.dead_letters.list("order.placed"):
                await asyncio.sleep(0.2)
            while (await events.history.list("order.*", page=1)).total == 0:
                await asyncio.sleep(0.2)
        assert [job.name for job in (await events.cron.list()).items] == ["stock-count"]
        assert (await events.schedules.figures()).pending > 0
        demo = children(up.pid)
        assert demo
        up.terminate()
        assert await up.wait() == 0
        async with asyncio.timeout(SECONDS):
            while any(map(alive, demo)):
                await asyncio.sleep(0.1)


async def test_the_demo_meets_nobodys_events(redis_url: str, tmp_path: Path) -> None:
    for options in (("--url", redis_url), ("--store", str(tmp_path / "x.db"))):
        up = Up("--demo", *options)
        assert await up.refuses() == 2
        assert "--demo is for trying" in up.text
