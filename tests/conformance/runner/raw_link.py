"""A Link of the runner's own, with generated messages and nothing else."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from typing import Any, Self

import grpc
import grpc.aio

from tests.conformance.runner.raw import Hear, Interest
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope, Error

_PING_SECONDS = 5.0


class RawLink:
    """One stream of frames."""

    def __init__(self, address: str, inbox: Hear) -> None:
        self.instance = ""
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._refs = itertools.count(1)
        self._done: dict[Any, asyncio.Future[Any]] = {}
        self._hearing: dict[Interest, list[Hear]] = defaultdict(list)
        self._inbox = inbox
        self._writing = asyncio.Lock()

    async def open(self) -> Self:
        """Connect and become an instance."""
        link: Any = self._channel.stream_stream("/tieline.v1.EventGateway/Link")
        self._call = link()
        self._done["welcome"] = asyncio.get_running_loop().create_future()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._ping())]
        await self._say(hello=wire.Hello(service="raw", client="runner/1"))
        self.instance = (await self._done["welcome"]).instance
        return self

    # --- Raw ----------------------------------------------------------------------------------------------------------

    async def listen(self, interest: Interest, hear: Hear) -> None:
        """See `Raw`."""
        self._hearing[interest].append(hear)
        wanted: Any = wire.Interest(route=interest.route, pattern=interest.topic, group=interest.group)  # type: ignore[arg-type]
        ref = next(self._refs)
        done = await self._ask(ref, register=wire.Register(ref=ref, interests=[wanted]))
        assert not done.HasField("error"), done

    async def publish(self, topic: str, envelope: bytes) -> Error | None:
        """See `Raw`."""
        ref = next(self._refs)
        return _error(await self._ask(ref, event=wire.SendEvent(ref=ref, envelope=envelope)))

    async def request(self, topic: str, envelope: bytes, call_id: bytes) -> Error | None:
        """See `Raw`."""
        dispatched = await self._ask(call_id, request=wire.SendRequest(envelope=envelope))
        if dispatched.HasField("error") or dispatched.instance:
            return _error(dispatched)
        return Error(code=2, message="nobody took it", outcome=1)  # type: ignore[arg-type]

    async def answer(self, to: str, envelope: bytes) -> None:
        """See `Raw`."""
        await self._say(answer=wire.SendAnswer(to=to, envelope=envelope))

    async def garbage(self, topic: str, data: bytes) -> None:
        """A gateway ends the Link of whoever sends that; no case for this suite."""
        raise NotImplementedError

    async def close(self) -> None:
        """See `Raw`."""
        self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _ask(self, ref: Any, **item: Any) -> Any:
        done = self._done[ref] = asyncio.get_running_loop().create_future()
        await self._say(**item)
        return await done

    async def _say(self, **item: Any) -> None:
        frame = wire.LinkRequest(items=[wire.ClientItem(**item)]).SerializeToString()
        async with self._writing:
            await self._call.write(frame)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(_PING_SECONDS)
            await self._say(ping=wire.Ping(ref=1))

    async def _read(self) -> None:
        while (frame := await self._call.read()) is not grpc.aio.EOF:
            for item in wire.LinkResponse.FromString(frame).items:
                self._take(item)

    def _take(self, item: wire.GatewayItem) -> None:
        kind = item.WhichOneof("item")
        if kind == "delivery":
            self._deliver(item.delivery)
        elif kind in ("welcome", "done", "dispatched"):
            content: Any = getattr(item, kind)
            ref = {"welcome": "welcome", "done": getattr(content, "ref", 0)}.get(kind)
            self._done.pop(content.call_id if kind == "dispatched" else ref).set_result(content)

    def _deliver(self, delivery: wire.Delivery) -> None:
        envelope = Envelope.FromString(delivery.envelope)
        interest = delivery.interest
        if interest.route == wire.ROUTE_INBOX:
            self._inbox(envelope)
        for hear in self._hearing.get(Interest(interest.route, interest.pattern, interest.group), []):
            hear(envelope)


def _error(answered: Any) -> Error | None:
    return answered.error if answered.HasField("error") else None
