"""`tieline run`: several processes, and starting anew when a file changes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.gateway.cli.running import Running
from tests.gateway.commands import SECONDS, command
from tests.support.processes import alive
from tieline import EventSystem, TielineError

PROGRAM = """
import asyncio, os
from tieline import EventSystem
events = EventSystem()

@events.subscribe("who")
async def who(data):
    return os.getpid()

@events.subscribe("die")
async def die(data):
    os._exit(9)

@events.subscribe("slow")
async def slow(data):
    await asyncio.sleep(1.5)
    return "done"
"""
SERVES = "^tieline: shop/.* serves"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a program in it."""
    (tmp_path / "shop.py").write_text(PROGRAM)
    return tmp_path


def running(folder: Path, url: str, *options: str) -> Running:
    return Running("run", "shop", *options, ready=SERVES, cwd=folder, TIELINE_URL=url, PYTHONDONTWRITEBYTECODE="1")


async def pids(events: EventSystem) -> set[int]:
    """The processes that answer."""
    try:
        return set((await events.publish_and_gather("who", every_instance=True)).values)
    except TielineError:
        return set()


async def until(events: EventSystem, number: int, without: set[int]) -> set[int]:
    """The processes that answer, once there are so many, and none of those."""
    async with asyncio.timeout(SECONDS):
        while len(found := await pids(events)) != number or found & without:
            await asyncio.sleep(0.1)
    return found


async def test_what_dies_is_started_again_and_all_end_together(folder: Path, redis_url: str) -> None:
    async with running(folder, redis_url, "--workers", "2") as run, EventSystem(redis_url) as events:
        before = await until(events, 2, set())
        with pytest.raises(TielineError):
            await events.publish_and_wait("die")
        after = await until(events, 2, set())
        assert len(before & after) == 1
        await run.line(r"tieline: worker \d ended with 9; it is started again in")
        call = asyncio.create_task(events.publish_and_wait("slow", idempotent=True))
        await asyncio.sleep(0.5)
        run.interrupt()
        assert await call == "done"
        assert await run.wait() == 0
        assert not [pid for pid in after if alive(pid)]


async def test_workers_do_not_outlive_whoever_looks_after_them(folder: Path, redis_url: str) -> None:
    async with running(folder, redis_url, "--workers", "2") as run, EventSystem(redis_url) as events:
        workers = await until(events, 2, set())
        os.kill(run.pid, signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            while any(map(alive, workers)):
                await asyncio.sleep(0.1)


async def test_a_changed_file_starts_it_anew_and_a_broken_one_waits(folder: Path, redis_url: str) -> None:
    async with running(folder, redis_url, "--reload") as run, EventSystem(redis_url) as events:
        first = await until(events, 1, set())
        (folder / "shop.py").write_text(PROGRAM + "\n# changed\n")
        second = await until(events, 1, first)
        (folder / "shop.py").write_text("this is no Python")
        await run.line("it is started again when a file changes", seconds=SECONDS)
        (folder / "shop.py").write_text(PROGRAM)
        await until(events, 1, second)
        run.terminate()
        assert await run.wait() == 0


async def test_what_never_starts_is_given_up(redis_url: str) -> None:
    printed = await command("run", "no.such.module", "--workers", "2", TIELINE_URL=redis_url)
    assert (printed.code, "there is no module 'no'" in printed.err) == (2, True)


async def test_one_process_is_that_process(folder: Path, redis_url: str) -> None:
    async with running(folder, redis_url) as run, EventSystem(redis_url) as events:
        assert await until(events, 1, set()) == {run.pid}
