"""The broker's clock, kept as an offset to the local monotonic clock.

A wall clock that is set back or an hour wrong changes nothing: the local monotonic clock says how much time has passed,
the broker says what time it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Milliseconds since 1970 by the broker's clock.

    Until a broker has been asked, the offset is that of this machine's wall clock when the clock was made.
    """

    __slots__ = ("_offset", "monotonic")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._offset = time.time() - monotonic()

    def now(self) -> int:
        """Milliseconds since 1970 by the broker's clock."""
        return int((self.monotonic() + self._offset) * 1000)

    def local(self, broker_ms: int) -> float:
        """Turn a moment of the broker's clock (ms) into seconds of the local monotonic clock."""
        return broker_ms / 1000 - self._offset

    def learn(self, broker_seconds: float, asked: float, answered: float) -> None:
        """Take the broker's time, read between two moments of the local monotonic clock (seconds)."""
        self._offset = broker_seconds - (asked + answered) / 2
