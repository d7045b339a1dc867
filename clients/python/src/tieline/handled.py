"""Waiting for the handlers of one event in this process."""

from __future__ import annotations

import asyncio

from tieline.delivery import Delivery


class Handled:
    """Counts the local handlers of one event that its publisher waits for."""

    __slots__ = ("_done", "_left")

    def __init__(self) -> None:
        self._left = 1  # the publisher itself, until all are counted
        self._done = asyncio.Event()

    def expect(self, count: int) -> None:
        """So many handlers were given the event."""
        self._left += count

    def one(self, delivery: Delivery | None) -> None:
        """One of them is done."""
        self._left -= 1
        if self._left == 0:
            self._done.set()

    async def all(self) -> None:
        """Return when all are done."""
        self.one(None)
        await self._done.wait()
