"""The two ends of a streaming reply, without input or output: what may be sent, what has arrived (SPEC.md, section 10).

responder                     reader
Outflow ── items, numbered ─► Inflow
        ◄─ credit, absolute ─
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope, Stream

_LEAST = 2


class Arrival(Enum):
    """What an item means to its reader."""

    NEW = 1
    SEEN = 2
    GAP = 3
    EXCESS = 4


class Inflow:
    """The reader's end: items in order, and the credit it grants. `most` is the largest window it may choose."""

    __slots__ = ("_allowed", "_bytes", "_granted", "_most", "consumed", "items", "received", "window")

    def __init__(self, most: int = contract.LIMIT_STREAM_WINDOW) -> None:
        self._most = most
        self.window = min(most, contract.DEFAULT_STREAM_FIRST_WINDOW)
        self.items: deque[Envelope] = deque()
        self.received = 0
        self.consumed = 0
        self._granted = 0
        self._allowed = self.window
        self._bytes = 0

    def add(self, item: Envelope) -> Arrival:
        """Take an item, if it is the next one."""
        number = item.stream.sequence
        if number <= self.received:
            return Arrival.SEEN
        if number > self.received + 1:
            return Arrival.GAP
        if number > self._allowed:
            return Arrival.EXCESS
        self.received = number
        self._bytes += len(item.data)
        self.items.append(item)
        return Arrival.NEW

    def take(self) -> Envelope:
        """The next item, which must be there."""
        self.consumed += 1
        return self.items.popleft()

    @property
    def credit_due(self) -> bool:
        """Whether the responder should hear how far the reader is."""
        return (self.consumed - self._granted) * 2 >= self.window

    def grant(self) -> Stream:
        """The credit to send now; the window follows the size of the items."""
        count = self.consumed - self._granted
        if count > 0:
            arrived = count + len(self.items)
            fitting = contract.LIMIT_STREAM_WINDOW_BYTES * arrived // max(1, self._bytes)
            self.window = min(self._most, max(_LEAST, fitting))
            self._bytes = self._bytes * len(self.items) // arrived
            self._granted = self.consumed
        self._allowed = max(self._allowed, self.consumed + self.window)
        return Stream(consumed=self.consumed, window=self.window)


class Outflow:
    """The responder's end: how many items were sent, and how many more the reader has room for.

    `heard` is when the reader gave its last sign of life (seconds of the local monotonic clock).
    """

    __slots__ = ("_allowed", "_consumed", "_waiter", "heard", "sent")

    def __init__(self, window: int, now: float) -> None:
        self.sent = 0
        self.heard = now
        self._consumed = 0
        self._allowed = min(window, contract.LIMIT_STREAM_WINDOW)
        self._waiter: asyncio.Future[None] | None = None

    @property
    def open(self) -> bool:
        """Whether the reader has room for one more."""
        return self.sent < self._allowed

    def next(self) -> int:
        """The number of the item that is sent now."""
        self.sent += 1
        return self.sent

    def credited(self, credit: Stream, now: float) -> None:
        """The reader said how far it is. What is older than known, or cannot be, changes nothing."""
        if not self._consumed <= credit.consumed <= self.sent:
            return
        self.heard = now
        self._consumed = credit.consumed
        self._allowed = credit.consumed + min(credit.window, contract.LIMIT_STREAM_WINDOW)
        if self.open and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def room(self) -> None:
        """Return when the reader has room."""
        while not self.open:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
