"""Bounded concurrency and a bounded queue for one subscription."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol


class Work(Protocol):
    """Something a mailbox runs: a delivery or a batch of them."""

    task: asyncio.Task[None] | None
    begun: bool
    is_event: bool

    def run(self) -> Coroutine[Any, Any, None]:
        """Do it. Must call `Mailbox.finished` when it ends, however it ends."""
        ...

    def interrupted(self) -> None:
        """It was cancelled before it began."""


def start_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task with a context of its own; on Python 3.12 and later it takes its first step at once."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)


class Mailbox:
    """At most `concurrency` pieces of work run, at most `capacity` wait, first come first served."""

    __slots__ = ("_idle", "_loop", "capacity", "concurrency", "dropped", "running", "waiting")

    def __init__(self, concurrency: int, capacity: int) -> None:
        self.concurrency = concurrency
        self.capacity = capacity
        self.running: dict[Work, None] = {}
        self.waiting: deque[Work] = deque()
        self.dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Event | None = None

    def has_room(self) -> bool:
        """Whether `offer` would take one more."""
        return len(self.running) < self.concurrency or len(self.waiting) < self.capacity

    def offer(self, work: Work) -> bool:
        """Run it now or later; false when there is no room."""
        if len(self.running) < self.concurrency:
            self._start(work)
        elif len(self.waiting) < self.capacity:
            self.waiting.append(work)
        else:
            return False
        return True

    def force(self, work: Work) -> Work | None:
        """Take an event even if there is no room; returns the oldest waiting event, which gave way, or `work` itself."""
        if self.offer(work):
            return None
        self.dropped += 1
        oldest = next((other for other in self.waiting if other.is_event), work)
        if oldest is not work:
            self.waiting.remove(oldest)
            self.waiting.append(work)
        return oldest

    def finished(self, work: Work) -> None:
        """A piece of work ended; the next one starts."""
        self.running.pop(work, None)
        if self.waiting and len(self.running) < self.concurrency:
            self._start(self.waiting.popleft())
        elif self._idle and not self.running:
            self._idle.set()

    def cancel(self, work: Work) -> None:
        """Cancel a piece of work, wherever it is."""
        if work.task is None:
            if work in self.waiting:
                self.waiting.remove(work)
                work.interrupted()
            return
        work.task.cancel()
        if not work.begun:  # a task cancelled before its first step never runs its own clean-up
            work.interrupted()
            self.finished(work)

    async def drain(self) -> None:
        """Return when nothing runs and nothing waits."""
        if self.running or self.waiting:
            self._idle = asyncio.Event()
            await self._idle.wait()

    def _start(self, work: Work) -> None:
        self.running[work] = None
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        work.task = start_task(self._loop, work.run())
