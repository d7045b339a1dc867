"""A call whose reply is a stream: what each arrival means to it (SPEC.md, section 10)."""

from __future__ import annotations

import asyncio
import math
from enum import Enum
from typing import Any

from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import NO_MOMENT, Call, State
from tieline.calls.call_errors import gap
from tieline.calls.streams import Arrival, Inflow
from tieline.envelope import REPLY, STREAM_END, STREAM_ITEM, error_from_wire
from tieline.errors import TielineError


class Progress(Enum):
    """What an arrival changed."""

    NOTHING = 1
    ITEM = 2
    LAST_ITEM = 3
    END = 4


class StreamCall(Call):
    """One such call. `idle` is the longest time between two items, `limit` the end of it all, `total` seconds away.

    Whoever reads takes items from `flow`, waits with `change`, and finds `error` when the call is done.
    """

    __slots__ = ("error", "flow", "idle", "limit", "tend_at", "total", "waiting")

    def __init__(
        self, envelope: Envelope, now: float, *, limit: float = math.inf, window: int = 0, **more: Any
    ) -> None:
        self.idle = envelope.ttl_ms / 1000
        super().__init__(envelope, min(limit, now + self.idle), **more)
        self.limit = limit
        self.total = limit - now
        self.tend_at = NO_MOMENT
        self.waiting = False
        self.flow = self.inflow = Inflow(window) if window else Inflow()
        self.error: TielineError | None = None
        envelope.stream.window = self.flow.window

    def rest(self, now: float) -> None:
        """From now on the responder's time runs anew."""
        self.deadline = min(self.limit, now + self.idle)

    def flowed(self, envelope: Envelope) -> Progress | TielineError:
        """Something arrived: what it changed, or the error that it is, or that ends the stream here."""
        self.accepted = True
        kind = envelope.kind
        if kind == STREAM_ITEM:
            return self._item(envelope)
        if kind == REPLY:
            if envelope.HasField("error"):
                return error_from_wire(envelope.error)
            envelope.stream.sequence = self.flow.received + 1  # a stream of one item
            item = self._item(envelope)
            return Progress.LAST_ITEM if item is Progress.ITEM else item
        if kind != STREAM_END:
            return Progress.NOTHING
        if envelope.stream.sequence > self.flow.received:
            return gap(self, envelope)
        return error_from_wire(envelope.error) if envelope.HasField("error") else Progress.END

    def _item(self, item: Envelope) -> Progress | TielineError:
        arrival = self.flow.add(item)
        if arrival is Arrival.NEW:
            if self.state is State.SENT:  # before the broker said who has it
                self.state, self.instance = State.HELD, item.source.rpartition("/")[2]
            return Progress.ITEM
        return Progress.NOTHING if arrival is Arrival.SEEN else gap(self, item)

    def wake(self) -> None:
        """Something changed for whoever reads."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def change(self, now: float) -> None:
        """Return when something has changed: items are there, or the call is done. The time that this takes counts."""
        self.waiter = asyncio.get_running_loop().create_future()
        self.waiting = True
        self.rest(now)
        try:
            await self.waiter
        finally:
            self.waiting = False
