"""A clock that stands still until a test turns it.

Deadlines, retries, batches, probes and leases wait by the broker's clock. With this one they happen when the test says
so: at once, in order, and each with everything it causes before the next one comes.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

from tieline.clock import Clock as RunningClock
from tieline.clock import Timer
from tieline.errors import InvalidArgumentError
from tieline.handler import working

_BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
_ORIGIN = 1_000.0
"""What the monotonic clock says at the start; none that runs says 0."""

PATIENCE = 5.0
"""Real seconds that synchronous handlers are waited for, at most, whenever the clock is turned."""

_NANO = 1_000_000_000
_MOST_TURNS = 10_000
_BLIND_TURNS = 100


class _HandTimer:
    """Something that happens when the clock is turned so far."""

    __slots__ = ("callback", "cancelled", "context", "moment")

    def __init__(self, moment: float, callback: Callable[[], Any]) -> None:
        self.moment = moment
        self.callback = callback
        self.context = copy_context()
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def run(self) -> None:
        if not self.cancelled:
            self.context.run(self.callback)


class Clock(RunningClock):
    """Time for tests: `await clock.advance(30)` lets 30 seconds pass.

    What the clocks of the machine do changes nothing. Handlers that sleep by it, `await clock.sleep(5)`, are woken by
    it; those that sleep by themselves are not.

    Args:
        start: what it says at first; 1 January 2030 (UTC) unless given.

    """

    __slots__ = ("_elapsed", "_heap", "_reading", "_sequence", "_start_ms")

    def __init__(self, start: datetime = _BEGINNING) -> None:
        self._elapsed = 0
        self._reading = _ORIGIN
        self._start_ms = int(start.timestamp() * 1000)
        self._heap: list[tuple[int, int, _HandTimer]] = []
        self._sequence = 0
        super().__init__(lambda: self._reading)

    # --- what tests do --------------------------------------------------------------------------------------------

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and all that is due meanwhile happen, in order; first what is due now.

        Synchronous handlers, which run in threads, are waited for too, for up to 5 real seconds in all.

        Raises:
            InvalidArgumentError: time does not go back.

        """
        if not 0 <= seconds < math.inf:
            raise InvalidArgumentError(f"a clock is advanced by seconds of at least 0, not {seconds!r}")
        end, patient_until = self._elapsed + round(seconds * _NANO), time.monotonic() + PATIENCE
        await _settle(patient_until)
        while (timer := self._next(end)) is not None:
            asyncio.get_running_loop().call_soon(timer.run)
            await _settle(patient_until)
        self._reach(end)

    async def settle(self) -> None:
        """Return when nothing more happens unless time passes or something comes from outside of the program.

        Synchronous handlers, which run in threads, are waited for too, for up to 5 real seconds.
        """
        await _settle(time.monotonic() + PATIENCE)

    # --- what event systems do ------------------------------------------------------------------------------------

    def now(self) -> int:
        """Milliseconds since 1970, by this clock."""
        return self._start_ms + self._elapsed // 1_000_000

    def at(self, moment: float) -> int:
        """See `tieline.clock.Clock.at`."""
        return self._start_ms + _since_origin(moment) // 1_000_000

    def local(self, broker_ms: int) -> float:
        """See `tieline.clock.Clock.local`."""
        return _ORIGIN + (broker_ms - self._start_ms) / 1000

    def call_at(self, moment: float, callback: Callable[[], Any]) -> Timer:
        """See `tieline.clock.Clock.call_at`."""
        timer = _HandTimer(moment, callback)
        if moment <= self._reading:
            asyncio.get_running_loop().call_soon(timer.run)
        elif moment < math.inf:
            self._sequence += 1
            heapq.heappush(self._heap, (_since_origin(moment), self._sequence, timer))
        return timer

    def call_later(self, seconds: float, callback: Callable[[], Any]) -> Timer:
        """See `tieline.clock.Clock.call_later`."""
        return self.call_at(self._reading + seconds, callback)

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been turned so far."""
        woken = asyncio.Event()
        timer = self.call_later(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[Any]:
        """End what is inside with a TimeoutError when the clock has been turned so far."""
        return self._timeout(seconds)

    def learn(self, broker_seconds: float, asked: float, answered: float) -> None:
        """Nobody tells this clock what time it is."""

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            timer = self.call_later(seconds, lambda: limit.reschedule(loop.time()))
            try:
                yield
            finally:
                timer.cancel()

    def _next(self, end: int) -> _HandTimer | None:
        """The next thing that happens until `end`; the clock says its moment when this returns."""
        while self._heap and self._heap[0][0] <= end:
            due, _, timer = heapq.heappop(self._heap)
            if not timer.cancelled:
                self._reach(due, timer.moment)
                return timer
        return None

    def _reach(self, elapsed: int, moment: float = 0.0) -> None:
        """Go on to a moment; who asks for the time must not be told that a deadline is a rounding error away."""
        self._elapsed = max(self._elapsed, elapsed)
        self._reading = max(self._reading, _ORIGIN + self._elapsed / _NANO, moment)


def _since_origin(moment: float) -> int:
    return round((moment - _ORIGIN) * _NANO)


class RealTime(RunningClock):
    """The clock of a test with `real_time=True`."""

    async def advance(self, seconds: float) -> None:
        """Not to be done here.

        Raises:
            InvalidArgumentError: always.

        """
        raise InvalidArgumentError(f"with real_time nobody turns the clock by {seconds!r} s; leave real_time out")

    async def settle(self) -> None:
        """See `Clock.settle`."""
        await _settle(time.monotonic() + PATIENCE)


async def _settle(patient_until: float) -> None:
    """Let the loop turn until it would sleep; loops that do not tell what is ready turn a hundred times."""
    ready, turns = getattr(asyncio.get_running_loop(), "_ready", None), 0
    while turns < (_BLIND_TURNS if ready is None else _MOST_TURNS):
        await asyncio.sleep(0)
        turns += 1
        if working() and time.monotonic() < patient_until:
            await asyncio.sleep(0.001)
            turns = 0
        elif ready is not None and not ready:
            return
