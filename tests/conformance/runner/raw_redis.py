"""A Redis connection of the runner's own."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict, deque
from typing import Any, Self

import hiredis

from tests.conformance.runner.raw import Hear, Interest
from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Error, Frame
from tieline._contract.gateway_pb2 import ROUTE_EVENT, ROUTE_GROUP, ROUTE_OBSERVER, ROUTE_REQUEST

_PREFIX = "tl:"
_LEASE_MS = 600_000
_FIELD_ENVELOPES = b"\x0a"


class RawRedis:
    """Speaks RESP3: subscriptions and commands on one connection."""

    def __init__(self, port: int, inbox: Hear) -> None:
        self.instance = secrets.token_hex(8)
        self._port = port
        self._replies: deque[asyncio.Future[Any]] = deque()
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._hearing: dict[bytes, list[Hear]] = defaultdict(list)
        self._inbox = inbox

    async def open(self) -> Self:
        """Connect and become an instance."""
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._reading = asyncio.create_task(self._read(reader))
        await self._ask("HELLO", "3")
        await self._subscribe("SSUBSCRIBE", contract.inbox_channel(_PREFIX, self.instance), self._inbox)
        await self._ask("SET", contract.lease_key(_PREFIX, self.instance), "raw", "PX", str(_LEASE_MS))
        return self

    # --- Raw ----------------------------------------------------------------------------------------------------------

    async def listen(self, interest: Interest, hear: Hear) -> None:
        """See `Raw`: channels first, then the membership."""
        route, topic, group = interest
        wild = topic.endswith(">") or "*" in topic
        if route == ROUTE_REQUEST:
            await self._subscribe("SSUBSCRIBE", contract.request_channel(_PREFIX, topic, self.instance), hear)
            await self._register(topic, "1")
        elif route == ROUTE_GROUP:
            await self._subscribe("SSUBSCRIBE", contract.group_channel(_PREFIX, topic, self.instance, group), hear)
            await self._register(topic, "0", group)
            if wild:
                await self._announce(f"g\0{topic}\0{group}")
        else:
            channel_of = contract.event_channel if route == ROUTE_EVENT else contract.observed_channel
            channel = channel_of(_PREFIX, f"{topic[:-1]}*" if topic.endswith(">") else topic)
            await self._subscribe("PSUBSCRIBE" if wild else "SUBSCRIBE", channel, hear)
            if route == ROUTE_OBSERVER:
                await self._announce(f"o\0{topic}")

    async def publish(self, topic: str, envelope: bytes) -> None:
        """See `Raw`: broadcast, and the groups on the topic itself."""
        names = scripts.publish_names(_PREFIX, topic)
        await self._eval(scripts.PUBLISH, names, contract.event_channel(_PREFIX, topic), _frame(envelope))

    async def request(self, topic: str, envelope: bytes, call_id: bytes) -> Error | None:
        """See `Raw`."""
        taken = await self._eval(scripts.DISPATCH, scripts.dispatch_names(_PREFIX, topic), "", _frame(envelope))
        return None if taken[0] else Error(code=2, message="nobody took it", outcome=1)  # type: ignore[arg-type]

    async def answer(self, to: str, envelope: bytes) -> None:
        """See `Raw`."""
        await self._ask("SPUBLISH", contract.inbox_channel(_PREFIX, to), _frame(envelope))

    async def garbage(self, topic: str, data: bytes) -> None:
        """See `Raw`."""
        await self._ask("PUBLISH", contract.event_channel(_PREFIX, topic), data)

    async def close(self) -> None:
        """See `Raw`."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _register(self, topic: str, responder: str, *groups: str) -> None:
        names = scripts.register_names(_PREFIX, topic)
        await self._eval(scripts.REGISTER, names, str(_LEASE_MS), self.instance, responder, *groups)

    async def _announce(self, entry: str) -> None:
        await self._eval(scripts.ANNOUNCE, scripts.announce_names(_PREFIX), str(_LEASE_MS), entry)

    async def _eval(self, script: scripts.Script, names: tuple[str, ...], *arguments: str | bytes) -> Any:
        return await self._ask("EVAL", script.source, str(script.names), *names, *arguments)

    async def _subscribe(self, verb: str, channel: str, hear: Hear) -> None:
        name = channel.encode()
        self._hearing[name].append(hear)
        self._confirmed[name] = asyncio.get_running_loop().create_future()
        self._write(verb, channel)
        await self._confirmed[name]

    async def _ask(self, *parts: str | bytes) -> Any:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.append(reply)
        self._write(*parts)
        return await reply

    def _write(self, *parts: str | bytes) -> None:
        self._writer.write(hiredis.pack_command(tuple(parts)))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65_536):
            parser.feed(data)
            while (item := parser.gets()) is not False:
                if isinstance(item, hiredis.PushNotification):
                    self._pushed(item)
                elif isinstance(item, Exception):
                    self._replies.popleft().set_exception(item)
                else:
                    self._replies.popleft().set_result(item)

    def _pushed(self, item: list[Any]) -> None:
        kind = item[0]
        if kind.endswith(b"subscribe"):
            self._confirmed[item[1]].set_result(None)
            return
        for hear in self._hearing[item[1]]:
            for envelope in Frame.FromString(item[-1]).envelopes:
                hear(envelope)


def _frame(envelope: bytes) -> bytes:
    size, length = len(envelope), b""
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return _FIELD_ENVELOPES + length + bytes([size]) + envelope
