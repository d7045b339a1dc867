"""A Link without a client library behind it: it says exactly what a test wants said."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import grpc
import grpc.aio

from tests.gateway.up import Client, bearer
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import EVENT, REQUEST, new_call_id, new_id


class RawLink(Client):
    """One stream of frames; leaving `async with` breaks it off."""

    def __init__(self, address: str, token: str = "") -> None:
        super().__init__(address)
        call: Any = self.channel.stream_stream("/tieline.v1.EventGateway/Link")
        self.call = call(metadata=bearer(token))
        self._items: list[wire.GatewayItem] = []
        self._pending: asyncio.Future[None] | None = None

    async def hello(self, service: str = "raw") -> wire.Welcome:
        """Become an instance."""
        await self.say(hello=wire.Hello(service=service, client="test/1"))
        return await self.hear("welcome")

    async def say(self, **item: Any) -> None:
        """Send one item."""
        await self.send(wire.LinkRequest(items=[wire.ClientItem(**item)]).SerializeToString())

    async def send(self, frame: bytes) -> None:
        """Send a frame, whatever is in it."""
        await self.call.write(frame)

    async def hear(self, name: str, seconds: float = 20.0) -> Any:
        """The next item of this name; others before it are forgotten."""
        async with asyncio.timeout(seconds):
            while True:
                while self._items:
                    item = self._items.pop(0)
                    if item.WhichOneof("item") == name:
                        return getattr(item, name)
                await asyncio.shield(self._reading())

    async def rest(self, quiet: float = 1.0) -> list[wire.GatewayItem]:
        """All that comes until it is quiet for a while."""
        while True:
            before = len(self._items)
            try:
                async with asyncio.timeout(quiet):
                    await asyncio.shield(self._reading())
            except TimeoutError:
                if len(self._items) == before:
                    return self._items

    async def end(self, seconds: float = 20.0) -> tuple[grpc.StatusCode, str]:
        """The status the gateway ended it with."""
        async with asyncio.timeout(seconds):
            return await self.call.code(), await self.call.details()

    async def __aexit__(self, *exc_info: object) -> None:
        self.call.cancel()
        if self._pending is not None:
            await asyncio.wait([self._pending])
            self._pending.cancelled() or self._pending.exception()
        await super().__aexit__(*exc_info)

    async def __aenter__(self) -> Self:
        return self

    def _reading(self) -> asyncio.Future[None]:
        """One read at a time, which outlives those who wait for it: a cancelled read would end the stream."""
        if self._pending is None or self._pending.done():
            self._pending = asyncio.ensure_future(self._read())
        return self._pending

    async def _read(self) -> None:
        frame = await self.call.read()
        assert frame is not grpc.aio.EOF, "the gateway ended the Link"
        self._items += wire.LinkResponse.FromString(frame).items


def event(topic: str, data: bytes = b"\xc0", **fields: Any) -> Envelope:
    """An event as a client would send it."""
    return Envelope(**{"id": new_id(), "kind": EVENT, "topic": topic, "ttl_ms": 10_000, "data": data, **fields})


def request(topic: str, data: bytes = b"\xc0", **fields: Any) -> Envelope:
    """A request as a client would send it."""
    return event(topic, data, **{"kind": REQUEST, "call_id": new_call_id(), **fields})
