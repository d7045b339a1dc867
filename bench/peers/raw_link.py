"""The yardstick: the project's own link to Redis and nothing above it.

Encode (Envelope and MessagePack), dispatch through the same script, echo, decode. No timers, no context, no validation,
no task per call at the responder. What the client costs on top of this is the price of its promises.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgpack

from bench.peers.load import PAYLOAD, TOPIC, measure, play, report, serve_forever
from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope, Frame
from tieline.envelope import REPLY, REQUEST, frame, new_call_id, new_id, new_instance
from tieline.transports.redis_link import RedisLink, bulk, pack_script
from tieline.transports.redis_outbox import RedisOutbox

TTL_MS = 30_000
BUFFER = 8 << 20
HOUR_MS = "3600000"


class RawLink:
    """A greeted link, which hands over the envelopes it receives; a command for each thing it sends."""

    prefix = "tl:"

    def __init__(self, take: Callable[[Envelope], None]) -> None:
        self._take = take
        self.outbox = RedisOutbox(self)  # type: ignore[arg-type]
        self.link: RedisLink
        self._head = pack_script(scripts.DISPATCH, scripts.dispatch_names(self.prefix, TOPIC), 2) + bulk(b"")

    def dispatch(self, call_id: bytes, data: bytes) -> None:
        """Send a request."""
        self.link.send(self._head + bulk(frame(data)), partial(self._taken, call_id))

    def answer(self, to: str, data: bytes) -> None:
        """Send a reply."""
        self.link.send(self.outbox.packed_answer(to, frame(data)))

    def keep(self, packed: bytes) -> None:
        """The link is gone, and so is the measurement."""

    def _taken(self, call_id: bytes, reply: Any) -> None:
        if not isinstance(reply, list) or not reply[0]:
            raise SystemExit(f"nobody took {call_id.hex()}: {reply}")

    async def open(self, url: str) -> None:
        """Connect and load the scripts."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        made = lambda: RedisLink(self._on_push, self._on_lost, BUFFER, self.outbox.write)  # noqa: E731
        _, self.link = await loop.create_connection(made, parts.hostname, parts.port)
        await self.link.call("HELLO", 3)
        self.link.learn_to_skip()
        for script in scripts.SCRIPTS:
            await self.link.call("SCRIPT", "LOAD", script.source)

    def _on_push(self, push: list[Any]) -> None:
        for envelope in Frame.FromString(push[2]).envelopes:
            self._take(envelope)

    def _on_lost(self, why: str) -> None:
        if why != "closed":
            raise SystemExit(why)


class FramedLink(RawLink):
    """The same, with the requests and replies of one loop turn put into frames, as the client does."""

    def dispatch(self, call_id: bytes, data: bytes) -> None:
        """Send a request with the others of this turn."""
        self.outbox.dispatch(self.link, TOPIC, "", call_id, data, self._told)

    def answer(self, to: str, data: bytes) -> None:
        """Send a reply with the others of this turn."""
        self.outbox.answer(self.link, to, data)

    def _told(self, call_id: bytes, instance: str, _: object) -> None:
        self._taken(call_id, [instance])


async def serve(url: str, kind: type[RawLink] = RawLink) -> None:
    """Echo, right where the message was read."""
    me = new_instance()
    source = f"echo/{me}"

    def answer(request: Envelope) -> None:
        data = msgpack.packb(msgpack.unpackb(request.data))
        reply = Envelope(kind=REPLY, source=source, call_id=request.call_id, data=data)
        raw.answer(request.reply_to, reply.SerializeToString())

    raw = kind(answer)
    await raw.open(url)
    await raw.link.subscribe("SSUBSCRIBE", [contract.request_channel(raw.prefix, TOPIC, me)])
    head = pack_script(scripts.REGISTER, scripts.register_names(raw.prefix, TOPIC), 3)
    await raw.link.ask(head + bulk(HOUR_MS.encode()) + bulk(me.encode()) + bulk(b"1"))
    await serve_forever()


async def call(url: str, seconds: str, kind: type[RawLink] = RawLink) -> None:
    """Dispatch, and wait for the reply on a future."""
    me = new_instance()
    waiting: dict[bytes, asyncio.Future[Any]] = {}
    create_future = asyncio.get_running_loop().create_future

    def take(reply: Envelope) -> None:
        waiting.pop(reply.call_id).set_result(msgpack.unpackb(reply.data))

    def request() -> asyncio.Future[Any]:
        call_id = new_call_id()
        waiting[call_id] = future = create_future()
        raw.dispatch(call_id, _request(me, call_id).SerializeToString())
        return future

    raw = kind(take)
    await raw.open(url)
    await raw.link.subscribe("SSUBSCRIBE", [contract.inbox_channel(raw.prefix, me)])
    report(await measure(request, float(seconds)))
    raw.link.close("closed")


def _request(me: str, call_id: bytes) -> Envelope:
    now = time.time_ns() // 1_000_000
    return Envelope(
        id=new_id(),
        kind=REQUEST,
        topic=TOPIC,
        source=f"caller/{me}",
        call_id=call_id,
        reply_to=me,
        time=now,
        ttl_ms=TTL_MS,
        expires_at=now + TTL_MS,
        data=msgpack.packb(PAYLOAD),
    )


if __name__ == "__main__":
    play(serve=serve, call=call)
