"""The broker's clock, kept as an offset to the local monotonic clock.

A wall clock that is set back or an hour wrong changes nothing: the local monotonic clock says how much time has passed,
the broker says what time it is.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

_DRIFT = 0.001
"""Seconds by which two clocks may part in a second; real ones part by less than a tenth of that."""

_SOONEST = 0.0005


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """It shall not happen. Idempotent."""


class Clock:
    """Milliseconds since 1970 by the broker's clock, and whatever shall happen later.

    An event system asks nothing else for the time, and waits for it nowhere else, so that a test can turn it by hand.
    Until a broker has been asked, the offset is that of this machine's wall clock when the clock was made.
    """

    __slots__ = ("_doubt", "_learned_at", "_offset", "monotonic")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._learned_at = monotonic()
        self._offset = time.time() - self._learned_at
        self._doubt = math.inf

    def now(self) -> int:
        """Milliseconds since 1970 by the broker's clock."""
        return int((self.monotonic() + self._offset) * 1000)

    def at(self, moment: float) -> int:
        """A moment of the local monotonic clock (seconds) as milliseconds since 1970 by the broker's clock."""
        return int((moment + self._offset) * 1000)

    def micros_at(self, moment: float) -> int:
        """The same as microseconds."""
        return int((moment + self._offset) * 1_000_000)

    def local(self, broker_ms: int) -> float:
        """Turn a moment of the broker's clock (ms) into seconds of the local monotonic clock."""
        return broker_ms / 1000 - self._offset

    def call_at(self, moment: float, callback: Callable[[], Any]) -> Timer:
        """Call back at a moment of the local monotonic clock (seconds)."""
        return self.call_later(max(_SOONEST, moment - self.monotonic()), callback)

    def call_later(self, seconds: float, callback: Callable[[], Any]) -> Timer:
        """Call back on the running loop when so much time has passed."""
        return asyncio.get_running_loop().call_later(seconds, callback)

    async def sleep(self, seconds: float) -> None:
        """Return when so much time has passed."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[Any]:
        """End what is inside with a TimeoutError when so much time has passed."""
        return asyncio.timeout(seconds)

    def learn(self, broker_seconds: float, asked: float, answered: float) -> None:
        """Take the broker's time, read between two moments of the local monotonic clock (seconds).

        Half the round trip is how wrong it may be. What may be more wrong than what is known is not taken (this process
        may have stood still meanwhile), unless both cannot be true: then the broker's clock was set.
        """
        offset, doubt = broker_seconds - (asked + answered) / 2, (answered - asked) / 2
        known = self._doubt + (answered - self._learned_at) * _DRIFT
        if doubt <= known or abs(offset - self._offset) > doubt + known:
            self._offset, self._doubt, self._learned_at = offset, doubt, answered
