"""100,000 keys that come and go, and one process that handles them.

`connections` of the consumer, its `memory` in bytes at the end, and the time from before the publish of a new key's
first event until its handler runs: `first_p50` and `first_p99`, in ms. Keys begin at 5,000 a second.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis.asyncio import Redis

from bench.peers.load import play, report, serve_forever
from bench.peers.pending_calls import resident
from tieline import EventSystem

KEYS = 100_000
A_SECOND = 5_000
TICK = 0.002


async def serve(url: str) -> None:
    """Handle each key's first event, and remember how long it took."""
    events, took = EventSystem(url, service="consumer"), list[float]()

    async def handle(sent: float) -> None:
        took.append(time.monotonic() - sent)

    async def told(_: Any) -> dict[str, float]:
        ordered = sorted(took)
        count = len(ordered)
        at = {"first_p50": ordered[count // 2], "first_p99": ordered[count * 99 // 100]} if count else {}
        return {"count": count, "memory": resident(), **{name: 1e3 * seconds for name, seconds in at.items()}}

    async with events:
        await events.subscribe("bench.keys", handle, durable=True).ready()
        await events.subscribe("bench.told", told).ready()
        await serve_forever()


async def call(url: str, _seconds: str) -> None:
    """Publish one event for each key, at a steady pace."""
    async with EventSystem(url, service="publisher") as events, Redis.from_url(url) as redis:
        begun, sent, tasks = time.monotonic(), 0, set[asyncio.Task[Any]]()
        while sent < KEYS:
            due = min(KEYS, int((time.monotonic() - begun) * A_SECOND))
            for number in range(sent, due):
                publishing = events.publish("bench.keys", time.monotonic(), key=f"card-{number}")
                tasks.add(task := asyncio.create_task(publishing))
                task.add_done_callback(tasks.discard)
            sent = due
            await asyncio.sleep(TICK)
        while (figures := await events.publish_and_wait("bench.told"))["count"] < KEYS:
            await asyncio.sleep(0.1)
        clients: Any = await redis.client_list()
        of_consumer = [one for one in clients if one["name"].startswith("tieline:consumer:")]
        report({**figures, "connections": float(len(of_consumer))})


if __name__ == "__main__":
    play(serve=serve, call=call)
