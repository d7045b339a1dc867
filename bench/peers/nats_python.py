"""nats-py: `request` on one connection, MessagePack both ways."""

from __future__ import annotations

from typing import Any

import msgpack
import nats
from nats.aio.msg import Msg

from bench.peers.load import PAYLOAD, TOPIC, measure, play, report, serve_forever


async def serve(url: str) -> None:
    """Echo."""
    connection = await nats.connect(url)

    async def echo(message: Msg) -> None:
        await message.respond(msgpack.packb(msgpack.unpackb(message.data)))

    await connection.subscribe(TOPIC, cb=echo)
    await connection.flush()
    await serve_forever()


async def call(url: str, seconds: str) -> None:
    """Call with `request`."""
    connection = await nats.connect(url)

    async def request() -> Any:
        reply = await connection.request(TOPIC, msgpack.packb(PAYLOAD), timeout=30)
        return msgpack.unpackb(reply.data)

    report(await measure(request, float(seconds)))
    await connection.close()


if __name__ == "__main__":
    play(serve=serve, call=call)
