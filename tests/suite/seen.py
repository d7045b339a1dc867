"""Handlers that remember, and waiting for what they remember."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

QUIET_SECONDS = 0.08
BUSY_SECONDS = 3.0
"""What a machine with other work may take longer. It is far less than the lease that ends things otherwise."""


class Seen(list[Any]):
    """What arrived, in order. `take` is a handler."""

    async def take(self, data: Any) -> None:
        self.append(data)

    async def reach(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so many have arrived."""
        await until(lambda: len(self) >= count, seconds, lambda: f"{len(self)} of {count}: {self[:20]}")

    async def stay(self, count: int) -> None:
        """So many arrive, and then no more."""
        await self.reach(count)
        await asyncio.sleep(QUIET_SECONDS)
        assert len(self) == count, self[:20]


async def until(true: Callable[[], object], seconds: float = 30.0, say: Callable[[], str] = lambda: "") -> None:
    """Wait for something to become true.

    Raises:
        AssertionError: it did not, in time.
    """
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {say()}"
        await asyncio.sleep(0.005)


async def settle(count: Callable[[], Awaitable[object]], seconds: float = 30.0) -> object:
    """Return a count that has stayed as it is for a second; whatever goes on by itself would change it.

    Raises:
        AssertionError: it never did, in time.
    """
    end = time.monotonic() + seconds
    before = await count()
    while True:
        await asyncio.sleep(1.0)
        now = await count()
        if now == before:
            return now
        assert time.monotonic() < end, f"it goes on: {before}, then {now}"
        before = now


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start
