"""A task that has taken its first step when `start_now` returns, whatever the collector does meanwhile."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from typing import Any

import pytest

from tieline import eager
from tieline.eager import start_now

WHERE: ContextVar[str] = ContextVar("where", default="outside")


@pytest.fixture
def collector_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector runs whenever a task is made."""
    make = eager.Task

    def collect_and_make(*arguments: Any, **options: Any) -> asyncio.Task[Any]:
        gc.collect(0)
        return make(*arguments, **options)

    monkeypatch.setattr(eager, "Task", collect_and_make)


async def test_the_first_step_is_taken_at_once_in_a_context_of_its_own() -> None:
    seen: list[object] = []

    async def work() -> None:
        seen.append(asyncio.current_task())
        WHERE.set("inside")
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    outer = asyncio.current_task()
    task = start_now(asyncio.get_running_loop(), work())
    assert seen == [task]
    assert asyncio.current_task() is outer
    assert WHERE.get() == "outside"
    await task
    assert seen == [task, task]


async def test_what_ends_at_once_is_done_and_what_raises_has_failed() -> None:
    async def fail() -> None:
        raise KeyError("a")

    async def nothing() -> None:
        pass

    loop = asyncio.get_running_loop()
    assert start_now(loop, nothing()).done()
    assert isinstance(start_now(loop, fail()).exception(), KeyError)


async def test_finalizers_that_use_the_loop_meanwhile_disturb_nothing(collector_at_work: None) -> None:
    loop, finalized, called, ran = asyncio.get_running_loop(), 0, 0, 0

    def call() -> None:
        nonlocal called
        called += 1

    async def work() -> None:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)
        ran += 1

    class Litter:
        """Garbage in a cycle, which schedules something and starts something when it is collected."""

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            nonlocal finalized
            finalized += 1
            loop.call_soon(call)
            start_now(loop, work())

    tasks: list[asyncio.Task[None]] = []
    for _ in range(200):
        Litter()
        tasks.append(start_now(loop, work()))
    gc.collect()
    await asyncio.gather(*tasks)
    for _ in range(5):
        await asyncio.sleep(0)
    assert finalized == 200
    assert called == 200
    assert ran == 2 * (200 + 200)
