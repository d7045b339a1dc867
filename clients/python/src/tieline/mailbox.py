"""Bounded concurrency and a bounded queue for one subscription."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol

from tieline.context import CURRENT, Event
from tieline.eager import start_now, start_soon


class Work(Protocol):
    """Something a mailbox runs: a delivery or a batch of them."""

    task: asyncio.Task[None] | None
    begun: bool
    late: bool
    stopped: bool

    @property
    def is_event(self) -> bool:
        """Whether nobody waits for it, so that it may give way."""
        ...

    @property
    def event(self) -> Event:
        """What its handler knows as the current event."""
        ...

    def run(self) -> Coroutine[Any, Any, None]:
        """Do it. Must call `Mailbox.finished` when it ends, however it ends."""
        ...

    def interrupted(self) -> None:
        """It was cancelled before it began."""

    def give_way(self) -> None:
        """It was pushed out before it began."""


class Mailbox:
    """At most `concurrency` pieces of work run, at most `capacity` wait, first come first served."""

    __slots__ = ("_ended", "capacity", "concurrency", "dropped", "running", "waiting")

    def __init__(self, concurrency: int, capacity: int) -> None:
        self.concurrency = concurrency
        self.capacity = capacity
        self.running: dict[Work, None] = {}
        self.waiting: deque[Work] = deque()
        self.dropped = 0
        self._ended: asyncio.Event | None = None

    def has_room(self) -> bool:
        """Whether `offer` would take one more."""
        return len(self.running) < self.concurrency or len(self.waiting) < self.capacity

    @property
    def is_caller(self) -> bool:
        """Whether whoever asks is a handler that runs here."""
        own = CURRENT.get()
        return own is not None and any(work.event is own for work in self.running)

    def at_work(self) -> Iterator[tuple[Work, bool]]:
        """What runs, and what waits (true)."""
        yield from zip(self.running, itertools.repeat(False), strict=False)
        yield from zip(self.waiting, itertools.repeat(True), strict=False)

    def offer(self, work: Work) -> bool:
        """Run it now or later; false when there is no room."""
        if len(self.running) < self.concurrency:
            self._start(work)
        elif len(self.waiting) < self.capacity:
            self._queue(work)
        else:
            return False
        return True

    def force(self, work: Work) -> Work | None:
        """Take an event even if there is no room; returns what gave way: the oldest waiting event, or `work` itself."""
        if self.offer(work):
            return None
        self.dropped += 1
        oldest = next((other for other in self.waiting if other.is_event), work)
        if oldest is not work:
            self.waiting.remove(oldest)
            self._queue(work)
        return oldest

    def admit(self, work: Work) -> None:
        """Take what comes last, even beyond the capacity."""
        if not self.offer(work):
            self._queue(work)

    def finished(self, work: Work) -> None:
        """A piece of work ended; the next one starts."""
        self.running.pop(work, None)
        work.task = None  # no cycle for the collector
        if self.waiting and len(self.running) < self.concurrency:
            following = self.waiting.popleft()
            self.running[following] = None
            following.task = start_soon(asyncio.get_running_loop(), following.run())  # not at once: it could go deep
        elif self._ended and not self.running:
            self._ended.set()

    def cancel(self, work: Work) -> None:
        """Cancel a piece of work, wherever it is."""
        work.stopped = True
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
        """Return when nothing runs and nothing waits; at once inside a handler of its own."""
        if self.is_caller:
            return
        while self.running or self.waiting:
            if self._ended is None or self._ended.is_set():
                self._ended = asyncio.Event()
            await self._ended.wait()

    def begin_anew(self) -> None:
        """Forget what ran and waited in a loop that is gone."""
        self.running.clear()
        self.waiting.clear()
        self._ended = None

    def _queue(self, work: Work) -> None:
        work.late = True
        self.waiting.append(work)

    def _start(self, work: Work) -> None:
        """Begin at once."""
        self.running[work] = None
        task = start_now(asyncio.get_running_loop(), work.run())
        if not task.done():
            work.task = task
