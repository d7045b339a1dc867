"""How much one principal may ask for, whatever it shows to be let in, and through however many connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated

import msgspec

from tieline.errors import OverloadedError

_BURST_SECONDS = 1.0
_IN_FLIGHT_RETRY_SECONDS = 0.1
_STREAM_RETRY_SECONDS = 5.0

_Some = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of one principal at one gateway; None for no bound."""

    rate: _Some | None = None
    """Events, calls and questions a second."""
    bytes: _Some | None = None
    """Bytes of payloads and bodies a second, on their way in."""
    in_flight: _Some | None = None
    """Calls that wait for their reply."""
    streams: _Some | None = None
    """Links, subscriptions and event streams that are open."""


NO_LIMITS = Limits()


class Bucket:
    """So many a second, and a second's worth at once. What is larger is let through, and paid for afterwards."""

    __slots__ = ("_at", "_clock", "_level", "_rate")

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._level = rate * _BURST_SECONDS
        self._at = clock()

    def wait(self) -> float:
        """How many seconds there is nothing left; 0 if there is."""
        now = self._clock()
        self._level = min(self._rate * _BURST_SECONDS, self._level + (now - self._at) * self._rate)
        self._at = now
        least = min(1.0, self._rate * _BURST_SECONDS)
        return max(0.0, (least - self._level) / self._rate)

    def take(self, amount: float) -> None:
        """Take so much."""
        self._level -= amount


class Meter:
    """What one principal uses now."""

    __slots__ = ("__weakref__", "_bytes", "_rate", "in_flight", "limits", "streams")

    def __init__(self, limits: Limits = NO_LIMITS, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.in_flight = 0
        self.streams = 0
        self._rate = Bucket(limits.rate, clock) if limits.rate else None
        self._bytes = Bucket(limits.bytes, clock) if limits.bytes else None

    def spend(self, size: int, count: int = 1) -> None:
        """So many events or calls come in, of so many bytes in all.

        Raises:
            OverloadedError: that is more than is allowed now; it says when to come again.

        """
        if self._rate is None and self._bytes is None:
            return
        for bucket, limit, what in (
            (self._rate, self.limits.rate, "events and calls"),
            (self._bytes, self.limits.bytes, "bytes"),
        ):
            if bucket is not None and (wait := bucket.wait()):
                raise OverloadedError(f"you may send {limit} {what} a second", retry_after=wait)
        if self._rate is not None:
            self._rate.take(count)
        if self._bytes is not None:
            self._bytes.take(size)

    def owe(self, count: int) -> None:
        """What was let in as one turned out to be so many more: it is paid for afterwards."""
        if self._rate is not None:
            self._rate.take(max(0, count))

    def check_room(self) -> None:
        """Return if there is room for another call.

        Raises:
            OverloadedError: too many are under way.

        """
        most = self.limits.in_flight
        if most is not None and self.in_flight >= most:
            told = f"you may have {most} calls under way at a time"
            raise OverloadedError(told, retry_after=_IN_FLIGHT_RETRY_SECONDS)

    @contextmanager
    def call(self) -> Generator[None]:
        """Count a call for as long as it lasts; raises as `check_room`."""
        self.check_room()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def stream(self) -> Generator[None]:
        """Count a stream for as long as it is open.

        Raises:
            OverloadedError: too many are.

        """
        most = self.limits.streams
        if most is not None and self.streams >= most:
            told = f"you may have {most} links, subscriptions and event streams open at a time"
            raise OverloadedError(told, retry_after=_STREAM_RETRY_SECONDS)
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1
