"""Calls without end, and what became of each: the load under which things are broken."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from types import TracebackType
from typing import Any, NamedTuple, Self

from tieline import EventSystem, Outcome, TielineError

GRACE_SECONDS = 0.25
"""How much later than its deadline a call may end: the promise."""


class Ended(NamedTuple):
    """One call: when it ended (seconds of the monotonic clock), how long it took, and its error."""

    number: int
    at: float
    took: float
    error: TielineError | None


class Load:
    """So many callers, each calling again as soon as its last call ended. The handler is `ran.append` and an echo.

    A task measures how late this process's own loop is: that much a call may be late too.
    """

    def __init__(self, caller: EventSystem, topic: str, *, callers: int = 20, ttl: float = 2.0, **options: Any) -> None:
        self.ended = list[Ended]()
        self.worst_lag = 0.0
        self.ttl = ttl
        self._caller, self._topic, self._options = caller, topic, options
        self._numbers = itertools.count()
        self._callers = callers
        self._tasks = list[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call_on()) for _ in range(self._callers)]
        self._tasks.append(asyncio.create_task(self._measure_lag()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        failures = [f for f in await asyncio.gather(*self._tasks, return_exceptions=True) if isinstance(f, Exception)]
        if error is None:
            assert failures == [], "a call ended with an error that is not typed"

    async def success_after(self, moment: float, seconds: float) -> float:
        """Seconds until a call that began after the moment succeeded."""
        while time.monotonic() < moment + seconds:
            found = next((e for e in self.ended if e.error is None and e.at - e.took > moment), None)
            if found is not None:
                return found.at - moment
            await asyncio.sleep(0.02)
        raise AssertionError(f"no call succeeded within {seconds} s: {self.codes()}")

    def failed(self) -> list[TielineError]:
        """The errors so far."""
        return [each.error for each in self.ended if each.error is not None]

    def codes(self) -> Counter[str]:
        """How many calls ended how."""
        return Counter(each.error.code if each.error else "ok" for each in self.ended)

    def check(self, ran: list[int]) -> None:
        """All ended in time, and none that says it was not delivered did run."""
        assert self.ended
        late = max(each.took for each in self.ended) - self.ttl
        print(f"  {dict(self.codes())}, the latest {late:+.3f} s from its deadline, loop lag {self.worst_lag:.3f} s")
        assert late <= GRACE_SECONDS + 2 * self.worst_lag  # the deadline comes late, and then the caller's turn
        known = set(ran)
        for each in self.ended:
            if each.error is not None and each.error.outcome is Outcome.NOT_DELIVERED:
                assert each.number not in known, f"{each.error!r}, but it ran"
        assert {each.number for each in self.ended if each.error is None} <= known

    async def _call_on(self) -> None:
        while True:
            number, began = next(self._numbers), time.monotonic()
            error: TielineError | None = None
            try:
                answer = await self._caller.publish_and_wait(self._topic, number, ttl=self.ttl, **self._options)
                assert answer == number
            except TielineError as raised:
                error = raised
            ended = time.monotonic()
            self.ended.append(Ended(number, ended, ended - began, error))
            await asyncio.sleep(0.005 if error is None else 0.05)

    async def _measure_lag(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(0.01)
            self.worst_lag = max(self.worst_lag, time.monotonic() - asked - 0.01)
