"""A program with nothing but the generated stub: `PublishAndWait` on one channel, MessagePack both ways."""

from __future__ import annotations

from typing import Any

import grpc.aio
import msgpack

from bench.peers.load import PAYLOAD, TOPIC, measure, play, report
from tieline._contract.gateway_pb2 import PublishAndWaitRequest
from tieline._contract.gateway_pb2_grpc import EventGatewayStub


async def call(url: str, seconds: str) -> None:
    """Call with `PublishAndWait`."""
    async with grpc.aio.insecure_channel(url.removeprefix("grpc://")) as channel:
        stub = EventGatewayStub(channel)

        async def request() -> Any:
            sent = PublishAndWaitRequest(topic=TOPIC, data=msgpack.packb(PAYLOAD))
            reply = await stub.PublishAndWait(sent, timeout=30)
            return msgpack.unpackb(reply.data)

        report(await measure(request, float(seconds)))


if __name__ == "__main__":
    play(call=call)
