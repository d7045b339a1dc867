"""Events that wait for the broker to come back, bounded in bytes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.errors import Outcome, OverloadedError, UnavailableError


class Time(Protocol):
    """Who has the clock."""

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...


class LinkWait:
    """Knows whether the broker is there, and lets publishers wait for it."""

    def __init__(self, most_bytes: int, time: Time) -> None:
        self._most_bytes = most_bytes
        self._time = time
        self._bytes = 0
        self._linked = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether the broker is there."""
        return self._linked.is_set()

    def begin(self) -> None:
        """The instance begins on the loop that runs; the broker is not there yet."""
        self._linked = asyncio.Event()

    def up(self) -> None:
        """The broker is there."""
        self._linked.set()

    def down(self) -> None:
        """The broker is away."""
        self._linked.clear()

    async def wait(self, envelope: Envelope, seconds: float) -> None:
        """Wait for the broker, if the publisher allowed it and not too much waits already.

        Raises:
            UnavailableError: it did not come back in time.
            OverloadedError: too much waits.

        """
        size = envelope.ByteSize()
        if seconds > 0 and self._bytes + size > self._most_bytes:
            raise OverloadedError("too much is waiting for the broker", details={"bytes": self._bytes})
        self._bytes += size
        try:
            async with self._time.clock.timeout(seconds):
                await self._linked.wait()
        except TimeoutError:
            message = "the broker cannot be reached now; reconnecting. Try again, or allow wait_for_connection"
            raise UnavailableError(message, outcome=Outcome.NOT_DELIVERED) from None
        finally:
            self._bytes -= size
