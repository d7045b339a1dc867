"""From a gateway that is about to stop to another one: two Links at a time, for a moment (SPEC.md, section 8)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.transport import Receiver
from tieline.transports.grpc_frames import interest_from_wire
from tieline.transports.grpc_link import ClientLink, LinkBrokenError
from tieline.transports.grpc_overlap import Overlap

_LATE_SECONDS = 15.0
"""How long the same event may come again over a link that is slower than the one it came over first."""


@dataclass(slots=True)
class Beside:
    """A link on which calls have to be answered though it is not the one in use.

    Attributes:
        link: it.
        calls: their ids.

    """

    link: ClientLink
    calls: set[bytes] = field(default_factory=set)

    def takes(self, call_id: bytes) -> bool:
        """Whether what is said of this call has to be said here."""
        return call_id in self.calls and not self.link.broken


@dataclass(slots=True)
class Leaving(Beside):
    """A link whose gateway is about to stop: calls that were under way when the next one began end here.

    Attributes:
        since: when the next link began (seconds, of the port's clock).
        task: waits for the end.

    """

    since: float = 0.0
    task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Wait no longer."""
        if self.task is not None:
            self.task.cancel()


class Moves:
    """The links beside the one in use: the next one until it is used, and the one that was left."""

    def __init__(self, clock: Clock, receiver: Receiver) -> None:
        self._clock = clock
        self._receiver = receiver
        self._next: Beside | None = None
        self._leaving: Leaving | None = None
        self._overlap: Overlap | None = None
        self._closed = False

    # --- what is said over which link -------------------------------------------------------------------------------

    def link_of(self, call_id: bytes) -> ClientLink | None:
        """The link over which something is to be said of a call, if it is not the one in use."""
        for beside in (self._leaving, self._next):
            if beside is not None and beside.takes(call_id):
                return beside.link
        return None

    def came(self, link: ClientLink, call_id: bytes) -> None:
        """A call came over this link, and is answered over it."""
        for beside in (self._leaving, self._next):
            if beside is not None and beside.link is link:
                beside.calls.add(call_id)

    def lets(self, link: ClientLink, interest: wire.Interest, envelope: Envelope) -> bool:
        """Whether a live event is to be handed on now."""
        return self._overlap is None or self._overlap.lets(link, interest, envelope)

    # --- the course of a move ---------------------------------------------------------------------------------------

    def prepare(self, link: ClientLink) -> None:
        """This link will be the next one in use."""
        self._next = Beside(link)

    def settle(self) -> None:
        """The next link is the one in use now, or came to nothing."""
        self._next = None

    def begin(self, old: ClientLink) -> None:
        """From now on there may be two links that bring live events."""
        self._end_overlap()
        self._overlap = Overlap(old, self._overlap)

    def leave(self, old: ClientLink) -> None:
        """All that begins uses the next link; what is under way ends over the old one."""
        if self._leaving is not None:
            self._leaving.end()
        calls = self._receiver.under_way() - (self._next.calls if self._next is not None else set())
        leaving = self._leaving = Leaving(old, calls, self._clock.monotonic())
        leaving.task = asyncio.create_task(self._see_off(leaving))

    def end(self, old: ClientLink) -> None:
        """The attempt to move is over; unless the old link is being left, it is the only one, or gone."""
        if self._leaving is None or self._leaving.link is not old:
            self._end_overlap()

    async def aclose(self) -> None:
        """Close what was left."""
        self._closed = True
        if self._leaving is not None and self._leaving.task is not None:
            self._leaving.task.cancel()
            await asyncio.gather(self._leaving.task, return_exceptions=True)

    async def _see_off(self, leaving: Leaving) -> None:
        try:
            with contextlib.suppress(LinkBrokenError):
                await leaving.link.ask(wire.ClientItem(drain=wire.Drain()))  # done: the old link has no more events
            if self._leaving is leaving:
                self._end_overlap()
            await leaving.link.ended()
        finally:
            if self._leaving is leaving:
                self._leaving = None
                self._end_overlap()
            if not self._closed:
                self._receiver.on_left(leaving.since)
            await leaving.link.aclose()

    def _end_overlap(self) -> None:
        """The new link alone is registered: what came over it only is handed on."""
        overlap = self._overlap
        if overlap is not None:
            for interest, envelope in overlap.end():
                self._receiver.on_event(interest_from_wire(interest), envelope)
            asyncio.get_running_loop().call_later(_LATE_SECONDS, self._forget_overlap, overlap)

    def _forget_overlap(self, overlap: Overlap) -> None:
        if self._overlap is overlap:
            self._overlap = None
