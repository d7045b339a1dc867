"""Bounded concurrency and a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar, cast

import pytest

from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.context import CURRENT, Event
from tieline.mailbox import Mailbox


class Job:
    """Work that runs until it is let go, and notes what becomes of it."""

    def __init__(self, mailbox: Mailbox, log: list[str], name: str, *, is_event: bool = True) -> None:
        self.mailbox, self.log, self.name, self.is_event = mailbox, log, name, is_event
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.event = Event(Envelope(), Clock())
        self.gate = asyncio.Event()

    async def run(self) -> None:
        self.begun = True
        CURRENT.set(self.event)
        self.log.append(f"{self.name} runs")
        try:
            await self.work()
            self.log.append(f"{self.name} done")
        except asyncio.CancelledError:
            self.interrupted()
            raise
        finally:
            self.mailbox.finished(self)

    async def work(self) -> None:
        await self.gate.wait()

    def interrupted(self) -> None:
        self.log.append(f"{self.name} interrupted")


@pytest.fixture(autouse=True)
async def _nothing_is_left_running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    made = list[Job]()
    monkeypatch.setattr(Box, "made", made)
    yield
    here = asyncio.get_running_loop()
    tasks = [job.task for job in made if job.task is not None and job.task.get_loop() is here]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Box:
    """A mailbox and the jobs for it."""

    made: ClassVar[list[Job]] = []

    def __init__(self, concurrency: int, capacity: int) -> None:
        self.mailbox, self.log = Mailbox(concurrency, capacity), list[str]()

    def job(self, name: str, **options: Any) -> Job:
        self.made.append(Job(self.mailbox, self.log, name, **options))
        return self.made[-1]

    def jobs(self, names: str) -> list[Job]:
        return [self.job(name) for name in names]


async def test_so_many_run_so_many_wait_and_no_more_are_taken() -> None:
    box = Box(2, 1)
    jobs = box.jobs("abcd")
    assert [(box.mailbox.has_room(), box.mailbox.offer(job)) for job in jobs] == [(True, True)] * 3 + [(False, False)]
    await settle()
    assert box.log == ["a runs", "b runs"]


async def test_who_waits_runs_in_the_order_they_came() -> None:
    box = Box(1, 5)
    jobs = box.jobs("abc")
    for job in jobs:
        box.mailbox.offer(job)
        job.gate.set()
    await settle()
    await settle()
    assert box.log == ["a runs", "a done", "b runs", "b done", "c runs", "c done"]


async def test_the_oldest_waiting_event_gives_way() -> None:
    box = Box(1, 2)
    jobs = box.jobs("abcd")
    assert [box.mailbox.force(job) for job in jobs] == [None, None, None, jobs[1]]
    assert list(box.mailbox.waiting) == [jobs[2], jobs[3]]
    assert box.mailbox.dropped == 1


async def test_requests_do_not_give_way_to_events() -> None:
    box = Box(1, 1)
    running, request, event = box.job("a"), box.job("b", is_event=False), box.job("c")
    box.mailbox.offer(running)
    box.mailbox.offer(request)
    assert box.mailbox.force(event) is event
    assert list(box.mailbox.waiting) == [request]


async def test_without_a_queue_what_comes_gives_way_itself() -> None:
    box = Box(1, 0)
    first, second = box.jobs("ab")
    assert box.mailbox.force(first) is None
    assert box.mailbox.force(second) is second


async def test_cancelling_what_waits_takes_it_out() -> None:
    box = Box(1, 2)
    first, second = box.jobs("ab")
    box.mailbox.offer(first)
    box.mailbox.offer(second)
    box.mailbox.cancel(second)
    first.gate.set()
    await settle()
    assert box.log == ["a runs", "b interrupted", "a done"] or box.log == ["b interrupted", "a runs", "a done"]


async def test_cancelling_what_runs_interrupts_it_and_lets_the_next_run() -> None:
    box = Box(1, 2)
    first, second = box.jobs("ab")
    box.mailbox.offer(first)
    box.mailbox.offer(second)
    await settle()
    box.mailbox.cancel(first)
    await settle()
    assert box.log == ["a runs", "a interrupted", "b runs"]


async def test_cancelling_at_once_what_was_just_taken_ends_it_once() -> None:
    box = Box(1, 2)
    first, second = box.jobs("ab")
    box.mailbox.offer(first)
    box.mailbox.cancel(first)
    box.mailbox.offer(second)
    await settle()
    assert box.log.count("a interrupted") == 1
    assert "a done" not in box.log
    assert list(box.mailbox.running) == [second]


async def test_cancelling_what_is_done_changes_nothing() -> None:
    box = Box(1, 0)
    job = box.job("a")
    job.gate.set()
    box.mailbox.offer(job)
    await settle()
    box.mailbox.cancel(job)
    await settle()
    assert box.log == ["a runs", "a done"]


async def test_draining_waits_for_all_and_any_number_may_wait() -> None:
    box = Box(1, 2)
    jobs = box.jobs("ab")
    for job in jobs:
        box.mailbox.offer(job)
    drains = [asyncio.create_task(box.mailbox.drain()) for _ in range(3)]
    for job in jobs:
        await settle()
        assert not any(drain.done() for drain in drains)
        job.gate.set()
    async with asyncio.timeout(20):
        await asyncio.gather(*drains, box.mailbox.drain())
    assert box.log[-1] == "b done"


async def test_an_empty_mailbox_is_drained_at_once() -> None:
    await Mailbox(1, 1).drain()


async def test_a_job_that_drains_its_own_mailbox_does_not_wait_for_itself() -> None:
    box = Box(1, 1)

    class Drains(Job):
        async def work(self) -> None:
            await asyncio.gather(self.mailbox.drain())

    box.mailbox.offer(Drains(box.mailbox, box.log, "a"))
    async with asyncio.timeout(20):
        await box.mailbox.drain()
    assert box.log == ["a runs", "a done"]


async def test_what_comes_last_is_admitted_beyond_the_bound() -> None:
    box = Box(1, 0)
    first, last = box.jobs("ab")
    box.mailbox.offer(first)
    box.mailbox.admit(last)
    first.gate.set()
    last.gate.set()
    await box.mailbox.drain()
    assert box.log[-1] == "b done"


def test_in_a_new_loop_it_begins_anew() -> None:
    box = Box(1, 1)

    async def fill() -> None:
        for name in "ab":
            box.mailbox.offer(box.job(name))
        await settle()

    async def again() -> list[str]:
        box.mailbox.begin_anew()
        job = box.job("c")
        job.gate.set()
        assert box.mailbox.offer(job)
        await settle()
        return box.log

    asyncio.run(fill())
    assert asyncio.run(again())[-1] == "c done"


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_never_more_than_allowed_run_at_once(size: int) -> None:
    mailbox, running, most = Mailbox(size, 1_000), list[int](), list[int]()

    class Counted(Job):
        async def work(self) -> None:
            running.append(1)
            most.append(len(running))
            await asyncio.sleep(0)
            running.pop()

    for number in range(500):
        assert mailbox.offer(cast(Any, Counted(mailbox, [], str(number))))
    await mailbox.drain()
    assert max(most) <= size
    assert len(most) == 500
