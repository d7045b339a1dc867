"""FastStream over Redis pub/sub: `request` to a subscriber in another process, JSON payloads, as it does unless told.

Each of its requests takes a connection of its own for the reply.
"""

from __future__ import annotations

import logging
from typing import Any

from faststream.redis import RedisBroker

from bench.peers.load import LEVELS, PAYLOAD, TOPIC, measure, play, report, serve_forever

CONNECTIONS = 4 * max(LEVELS)


async def serve(url: str) -> None:
    """Echo."""
    broker = RedisBroker(url, logger=None, max_connections=CONNECTIONS)

    @broker.subscriber(TOPIC)
    async def echo(data: dict[str, Any]) -> dict[str, Any]:
        return data

    await broker.start()
    await serve_forever()


async def call(url: str, seconds: str) -> None:
    """Call with `request`."""
    logging.disable(logging.CRITICAL)
    async with RedisBroker(url, logger=None, max_connections=CONNECTIONS) as broker:

        async def request() -> Any:
            reply = await broker.request(PAYLOAD, TOPIC, timeout=30)
            return await reply.decode()

        report(await measure(request, float(seconds)))


if __name__ == "__main__":
    play(serve=serve, call=call)
