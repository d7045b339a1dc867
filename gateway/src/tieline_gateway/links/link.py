"""One Link: a client's instance for as long as its stream lives. Rules: SPEC.md, section 8.

Frames are read, and what they say is done item by item (`Uplink`). One writer sends everything that waits on the way
down (`Downlink`) as one frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline.errors import OverloadedError, UnavailableError
from tieline_gateway.access.principal import ANYBODY, Principal
from tieline_gateway.links import door
from tieline_gateway.links.door import Door, UnreadableError
from tieline_gateway.links.downlink import OUTBOX_BYTES, Downlink
from tieline_gateway.links.flight import Flight
from tieline_gateway.links.uplink import House, Uplink

_log = logging.getLogger("tieline.gateway")
_LEASE_SECONDS = contract.DEFAULT_LINK_LEASE_MS / 1000
_FLUSH_SECONDS = 1.0
_MOST_UNREAD_BYTES = 8 * OUTBOX_BYTES
_MOST_BEFORE = 10_000

Write = Callable[[bytes], Awaitable[Any]]


class Link:
    """Carries one client's frames to its port, and back."""

    def __init__(self, house: House, principal: Principal = ANYBODY) -> None:
        self._before = house.calls_of(principal.name)
        self.down = Downlink(Flight(house.traffic, principal.meter, self._before))
        self._house = house
        self._principal = principal
        self._ending = asyncio.Event()
        self._up: Uplink | None = None
        self._moves = False

    @property
    def moving(self) -> bool:
        """Whether its client will go on at another gateway, and has not left this one."""
        return self._moves and self._up is not None and not self._up.left

    async def serve(self, frames: AsyncIterator[bytes], write: Write) -> None:
        """Live until the client ends the stream, goes silent, breaks a rule, or `end` is called.

        Raises:
            UnreadableError: the client sent what cannot be read.
            UnavailableError: the client was silent for too long, or the broker is away.
            TielineError: the client may not be an instance under that name.

        """
        steps: list[asyncio.Task[Any]] = []
        try:
            up = await self._greet(frames)
            begun = (self._read(frames, up), self._write(write), self._ending.wait(), up.change_interests())
            steps = [asyncio.create_task(step) for step in begun]
            done, _ = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
            self.down.open = False
            await self._finish(steps[1])
            for step in done:
                step.result()
        finally:
            self.down.open = False
            self._part()
            leaving = self._house.spawn(self._leave(steps))
        await asyncio.wait([leaving], timeout=_FLUSH_SECONDS)  # who has closed is a responder of nothing any more

    def end(self) -> None:
        """Write what waits, then end the stream."""
        self._ending.set()

    def tell_drain(self) -> None:
        """Tell the client that the gateway is about to stop."""
        if self._up is not None:
            self.down.put(wire.GatewayItem(drain=wire.Drain()))

    def leave(self) -> None:
        """Give up what the client is registered for: others take over."""
        if self._up is not None:
            self._up.leave(0)

    def _part(self) -> None:
        """What is still to be answered may be answered over the client's next Link, for a while."""
        self.down.flight.close()
        self._before.update(self.down.flight.given_calls)
        while len(self._before) > _MOST_BEFORE:
            del self._before[next(iter(self._before))]

    async def _leave(self, steps: list[asyncio.Task[Any]]) -> None:
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
        if self._up is not None:
            await self._up.close()

    async def _greet(self, frames: AsyncIterator[bytes]) -> Uplink:
        try:
            async with asyncio.timeout(_LEASE_SECONDS):
                items = _items(await anext(frames, b""))
        except TimeoutError:
            raise UnavailableError("nobody said hello") from None
        if not items or items[0].WhichOneof("item") != "hello":
            raise UnreadableError("the first item of a Link must be Hello")
        if self._house.draining:
            raise UnavailableError("the gateway is about to stop; link elsewhere")
        if not self._house.ready:
            raise UnavailableError("its broker cannot be reached now; /readyz and the gateway's log tell more")
        self._moves = items[0].hello.moves
        service = door.check_service(items[0].hello.service)
        self._principal.check_service(service)
        port = await self._house.transport.open(service, self.down)
        up = self._up = Uplink(self._house, port, Door(service, port.instance, self._principal), self.down)
        self.down.attach(port, up.door.source)
        _log.debug("%s is here (%r)", up.door.source, items[0].hello.client[:80])
        up.take(items[1:])
        return up

    async def _read(self, frames: AsyncIterator[bytes], up: Uplink) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LEASE_SECONDS) as lease:
                async for frame in frames:
                    lease.reschedule(loop.time() + _LEASE_SECONDS)
                    up.take(_items(frame))
                    if self.down.outbox.size > _MOST_UNREAD_BYTES:
                        raise OverloadedError("the client does not read what it is sent")
        except TimeoutError:
            raise UnavailableError(f"the Link was silent for {_LEASE_SECONDS:.0f} s") from None

    async def _write(self, write: Write) -> None:
        while frame := await self.down.frame():
            await write(frame)

    async def _finish(self, writing: asyncio.Task[Any]) -> None:
        """Let what was begun reach the broker and the client, but not for long."""
        if self._up is not None:
            await self._up.settle(_FLUSH_SECONDS)
        self.down.outbox.close()
        await asyncio.wait([writing], timeout=_FLUSH_SECONDS)


def _items(frame: bytes) -> Sequence[wire.ClientItem]:
    try:
        return wire.LinkRequest.FromString(frame).items
    except DecodeError:
        raise UnreadableError(f"{len(frame)} bytes are no LinkRequest") from None
