"""FastStream's in-memory broker (`TestRedisBroker`), as its documentation uses it: `request` to a subscriber."""

from __future__ import annotations

import logging
from typing import Any

from faststream.redis import RedisBroker, TestRedisBroker

from bench.peers.load import PAYLOAD, TOPIC, measure, play, report


async def call(_url: str, seconds: str) -> None:
    """Call with `request`."""
    logging.disable(logging.CRITICAL)
    broker = RedisBroker("redis://nowhere", logger=None)

    @broker.subscriber(TOPIC)
    async def echo(data: dict[str, Any]) -> dict[str, Any]:
        return data

    async with TestRedisBroker(broker) as memory:

        async def request() -> Any:
            reply = await memory.request(PAYLOAD, TOPIC, timeout=30)
            return await reply.decode()

        report(await measure(request, float(seconds)))


if __name__ == "__main__":
    play(call=call)
