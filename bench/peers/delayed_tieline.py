"""Tieline: durable events planned and handled by one process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Any

from bench.peers.delayed_load import measure_delayed
from bench.peers.load import PAYLOAD, play, report
from tieline import EventSystem


async def call(url: str, _seconds: str) -> None:
    """Plan, wait, handle."""
    async with EventSystem(url, service="bench") as events:

        async def plan(topic: str, data: Any, due: float) -> object:
            return await events.publish(topic, data, durable=True, at=datetime.fromtimestamp(due, UTC))

        async def handle_all(topic: str, count: int, late: list[float] | None) -> float:
            done, left = asyncio.Event(), count

            async def handle(data: Any) -> None:
                nonlocal left
                if late is not None:
                    late.append((time() - data) * 1000)
                else:
                    assert data == PAYLOAD
                left -= 1
                if not left:
                    done.set()

            subscription = events.subscribe(topic, handle, durable=True, concurrency=100)
            await subscription.ready()
            await done.wait()
            return perf_counter()

        report(await measure_delayed(plan, handle_all))


if __name__ == "__main__":
    play(call=call)
