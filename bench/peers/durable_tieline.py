"""Tieline: durable events of a key, published and handled by one process."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.peers.durable_load import KEYS, measure_durable
from bench.peers.load import PAYLOAD, play, report
from tieline import EventSystem


async def call(url: str, _seconds: str) -> None:
    """Publish, then handle."""
    async with EventSystem(url, service="bench") as events:
        for level in KEYS:  # events wait for a group; without one only so many are kept
            early = events.subscribe(f"bench.{level}", print, durable=True)
            await early.ready()
            await early.unsubscribe()

        async def publish(keys: int, key: int) -> object:
            return await events.publish(f"bench.{keys}", PAYLOAD, key=f"k{key}")

        async def handle_all(keys: int, count: int) -> None:
            done, left = asyncio.Event(), count

            async def handle(data: Any) -> None:
                nonlocal left
                assert data == PAYLOAD
                left -= 1
                if not left:
                    done.set()

            subscription = events.subscribe(f"bench.{keys}", handle, durable=True)
            await done.wait()
            await subscription.unsubscribe()

        report(await measure_durable(publish, handle_all))


if __name__ == "__main__":
    play(call=call)
