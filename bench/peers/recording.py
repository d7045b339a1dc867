"""Tieline: what waits on the tape is written into SQL by one recorder.

`recorded` is events per second from the start of a recorder until all of them are in history: half of them live, half
stored, each with an id, a correlation and the payload of all benchmarks.
"""

from __future__ import annotations

import asyncio
import gc
from time import perf_counter

from bench.peers.load import PAYLOAD, play, report
from tieline import EventSystem, Item

EVENTS = 40_000
TOGETHER = 500


async def call(urls: str, _seconds: str) -> None:
    """Publish, then record."""
    broker, store = urls.split(" ")
    async with EventSystem(broker, service="bench") as events:
        first = await events.record(store)  # from now on there is a tape
        await first.aclose()
        early = events.subscribe("bench.stored", print, durable=True)
        await early.ready()
        await early.unsubscribe()
        for _ in range(EVENTS // 2 // TOGETHER):
            await asyncio.gather(*(events.publish("bench.live", PAYLOAD) for _ in range(TOGETHER)))
            await events.publish_many("bench.stored", [Item(PAYLOAD) for _ in range(TOGETHER)])
        gc.collect()
        begun = perf_counter()
        recording = await events.record(store)
        while (await recording.figures()).recorded < EVENTS:
            await asyncio.sleep(0.02)
        took = perf_counter() - begun
        page = await events.history.list("bench.>", page=1, limit=1)
        assert page.total == EVENTS, page.total
        await recording.aclose()
        report({"recorded": EVENTS / took})


if __name__ == "__main__":
    play(call=call)
