"""From a gateway that is about to stop to another one: two Links at a time, for a moment (SPEC.md, section 8)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.transport import Receiver, Route
from tieline.transports.grpc_frames import interest_from_wire
from tieline.transports.grpc_link import ClientLink, LinkBrokenError
from tieline.transports.grpc_overlap import Overlap

_LATE_SECONDS = 15.0
"""How long the same event may come again over a link that is slower than the one it came over first."""


@dataclass(slots=True)
class Beside:
    """A link that is not the one in use, but over which there are things to be said of calls.

    Attributes:
        link: it.
        calls: their ids; of a link that was left, those that were under way when the next one began.

    """

    link: ClientLink
    calls: set[bytes] = field(default_factory=set)


class Moves:
    """The links beside the one in use: the next one until it is used, and those that were left and have not ended."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._next: Beside | None = None
        self._left: dict[ClientLink, Beside] = {}
        self._seeing_off: set[asyncio.Task[None]] = set()
        self._overlap: Overlap | None = None
        self._closed = False

    # --- what is said over which link -------------------------------------------------------------------------------

    def link_of(self, call_id: bytes) -> ClientLink | None:
        """The link over which something is to be said of a call, if it is not the one in use."""
        for beside in self._beside():
            if call_id in beside.calls and not beside.link.broken:
                return beside.link
        return None

    def came(self, link: ClientLink, call_id: bytes) -> None:
        """A call came over this link, and is answered over it."""
        for beside in self._beside():
            if beside.link is link:
                beside.calls.add(call_id)

    def lets(self, link: ClientLink, interest: wire.Interest, envelope: Envelope) -> bool:
        """Whether a live event is to be handed on now.

        What links bring that were left before the last one came over that one, too.
        """
        overlap = self._overlap
        if link in self._left and (overlap is None or link is not overlap.old):
            return interest.route == Route.GROUP
        return overlap is None or overlap.lets(link, interest, envelope)

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
        """All that begins uses the next link; what is under way ends over the old one, or where it began before."""
        calls = self._receiver.under_way().difference(*(beside.calls for beside in self._beside()))
        self._left[old] = Beside(old, calls)
        task = asyncio.create_task(self._see_off(old))
        self._seeing_off.add(task)
        task.add_done_callback(self._seeing_off.discard)

    def end(self, old: ClientLink) -> None:
        """The attempt to move is over; unless the old link is being left, it is the only one, or gone."""
        if old not in self._left:
            self._end_overlap()

    async def aclose(self) -> None:
        """Close what was left."""
        self._closed = True
        for task in self._seeing_off:
            task.cancel()
        await asyncio.gather(*self._seeing_off, *(link.aclose() for link in self._left), return_exceptions=True)

    async def _see_off(self, old: ClientLink) -> None:
        try:
            with contextlib.suppress(LinkBrokenError):
                await old.ask(wire.ClientItem(drain=wire.Drain()))  # done: the old link has no more events
            self._end_overlap_with(old)
            await old.ended()
        finally:
            self._end_overlap_with(old)
            calls = self._left.pop(old).calls
            if not self._closed:
                self._receiver.on_left(calls)
            await old.aclose()

    def _beside(self) -> Iterator[Beside]:
        yield from self._left.values()
        if self._next is not None:
            yield self._next

    def _end_overlap_with(self, old: ClientLink) -> None:
        if self._overlap is not None and self._overlap.old is old:
            self._end_overlap()

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
