"""`python -m tieline run`, and `tieline run`: what is served, what is refused, and how it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.suite.seen import Watch
from tests.support.processes import Program
from tieline import EventSystem

SHOP = """
import asyncio
from tieline import EventSystem

events = EventSystem()

@events.subscribe("order.place")
async def place(seconds):
    print("BEGUN", flush=True)
    await asyncio.sleep(seconds)
    print("DONE", flush=True)
"""


def run(folder: Path, *words: str, module: str = "tieline", url: str = "memory://") -> Program:
    """The command, in a folder."""
    env = {"TIELINE_URL": url, "TIELINE_SERVICE": "", "REDIS_URL": ""}
    return Program("env", "-C", folder, sys.executable, "-m", module, "run", *words, env=env)


async def said(program: Program) -> tuple[int, str]:
    """How it ended, and all it printed."""
    async with program:
        code = await program.wait(seconds=20)
        await program.close()
    return code, program.text


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "give a module name: shop, not ''"),
        (":bus", "give a module name: shop, not ''"),
        ("./shop.py", "give a module name: shop, not './shop.py'"),
        ("shop.py", "give a module name: shop, not 'shop.py'"),
        ("./eu/shop.py:bus", "give a module name: eu.shop, not './eu/shop.py'"),
        (".shop", "give a module name: shop, not '.shop'"),
        ("nosuch", "there is no module 'nosuch' here"),
        ("shop.nosuch", "there is no module 'shop.nosuch' here"),
        ("nosuch.shop", "there is no module 'nosuch' here"),
        ("shop:bus", "module 'shop' has no EventSystem named bus"),
    ],
)
async def test_what_is_no_module_is_told_in_one_line(tmp_path: Path, target: str, says: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    code, text = await said(run(tmp_path, target))
    assert code == 2
    assert text.startswith(f"tieline: INVALID_ARGUMENT: {says}")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("module", ["tieline", "tieline_gateway"])
async def test_a_broker_that_is_away_has_an_exit_code_of_its_own(tmp_path: Path, module: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    code, text = await said(run(tmp_path, "shop", module=module, url="redis://127.0.0.1:1"))
    assert (code, text.splitlines()[-1].startswith("tieline: UNAVAILABLE: ")) == (6, True), text


async def test_a_module_that_imports_what_is_not_there_shows_where(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import nosuchpkg")
    code, text = await said(run(tmp_path, "shop"))
    assert code == 1
    assert "No module named 'nosuchpkg'" in text
    assert 'shop.py", line 1' in text


@pytest.mark.parametrize(
    ("module", "usage"),
    [
        ("tieline", "usage: python -m tieline run [-h] target"),
        ("tieline_gateway", "Usage: tieline run [OPTIONS] MODULE[:NAME]"),
    ],
)
async def test_the_help_names_the_command_that_was_typed(tmp_path: Path, module: str, usage: str) -> None:
    code, text = await said(run(tmp_path, "--help", module=module))
    assert code == 0
    assert text.startswith(usage)


async def test_a_stop_says_that_it_waits_for_handlers_of_stored_events(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP.replace('"order.place"', '"order.place", durable=True'))
    async with run(tmp_path, "shop", url=redis_url) as program, EventSystem(redis_url) as caller:
        await program.line("^tieline: shop/.* serves order.place")
        await caller.publish("order.place", 60, key="k")
        await program.line("^BEGUN")
        program.terminate()
        await program.line("stopping; 1 under way have up to 10 s; signal again to stop now")


@pytest.mark.parametrize("module", ["tieline", "tieline_gateway"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
async def test_a_stop_says_what_it_waits_for_and_a_second_signal_ends_it(
    tmp_path: Path, redis_url: str, module: str, number: int, code: int
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    async with run(tmp_path, "shop", module=module, url=redis_url) as program, EventSystem(redis_url) as caller:
        await program.line("^tieline: shop/.* serves order.place")
        await caller.publish("order.place", 60)
        await program.line("^BEGUN")
        os.kill(program.pid, number)
        await program.line("stopping; 1 under way have up to 10 s; signal again to stop now")
        await asyncio.sleep(0.7)  # sooner it would be the same request
        watch = Watch()
        os.kill(program.pid, number)
        assert await program.wait() == code, program.text
        assert watch.seconds < 4
        assert "Traceback" not in program.text


@pytest.mark.parametrize("module", ["tieline", "tieline_gateway"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_that_comes_twice_at_once_is_one_stop(
    tmp_path: Path, redis_url: str, module: str, number: int
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    async with run(tmp_path, "shop", module=module, url=redis_url) as program, EventSystem(redis_url) as caller:
        await program.line("^tieline: shop/.* serves order.place")
        await caller.publish("order.place", 2)
        await program.line("^BEGUN")
        os.kill(program.pid, number)
        await program.line("stopping; 1 under way")  # so that they are two, even to the operating system
        os.kill(program.pid, signal.SIGTERM)
        await program.line("^DONE")
        assert await program.wait() == 0, program.text
        assert "Traceback" not in program.text


async def test_a_signal_that_comes_twice_at_once_ends_an_idle_program_well(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    async with run(tmp_path, "shop", url=redis_url) as program:
        await program.line("^tieline: shop/.* serves order.place")
        os.kill(program.pid, signal.SIGINT)
        await program.line("stopping")
        os.kill(program.pid, signal.SIGINT)
        assert await program.wait() == 0, program.text
        assert "Traceback" not in program.text
