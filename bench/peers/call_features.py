"""What streams, idempotency keys and `explain` cost, over Redis.

`items` is items of one streaming reply per second, `fetched` the same items fetched by calls one after the other.
`keyed` and `plain` are the median times of one call with and without an idempotency key, `round_trip` that of a script
that does nothing (µs). `explained` is calls per second at 512 with `explain` on, over that with it off: both are
measured in turns, in the same two processes.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any

from redis.asyncio import Redis

from bench.peers.load import PAYLOAD, TOPIC, Figures, play, rate, report, sequential, serve_forever
from tieline import EventSystem, Settings

ITEMS = "bench.items"
SILENT = "bench.silent"
TURNS = 24


async def serve(url: str) -> None:
    """Stream and echo; on `bench.silent` in a system that remembers nothing."""
    events, silent = EventSystem(url, service="echo"), EventSystem(url, service="echo", settings=_silent())

    async def echo(data: Any) -> Any:
        return data

    async def items(number: int) -> AsyncIterator[Any]:
        for _ in range(number):
            yield PAYLOAD

    async with events, silent:
        await events.subscribe(TOPIC, echo).ready()
        await events.subscribe(ITEMS, items).ready()
        await silent.subscribe(SILENT, echo).ready()
        await serve_forever()


async def call(url: str, seconds: str) -> None:
    """Measure all of it."""
    async with EventSystem(url, service="caller") as events, _silent_system(url) as silent:
        plain = await sequential(partial(events.publish_and_wait, TOPIC, PAYLOAD), float(seconds))
        numbers = count()
        keyed = await sequential(
            lambda: events.publish_and_wait(TOPIC, PAYLOAD, idempotency_key=f"bench-{next(numbers)}"), float(seconds)
        )
        report(
            {
                "items": await _items(events, float(seconds)),
                "fetched": 1e6 / plain["mean"],
                "plain": plain["p50"],
                "keyed": keyed["p50"],
                "round_trip": (await _round_trip(url, float(seconds)))["p50"],
                "explained": await _explained(events, silent, float(seconds)),
            }
        )


async def _items(events: EventSystem, seconds: float) -> float:
    """Items per second of a stream that lasts about so long."""
    await _read(events, 10_000)
    rates: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end:
        begun = perf_counter()
        await _read(events, 50_000)
        rates.append(50_000 / (perf_counter() - begun))
    return statistics.median(rates)


async def _read(events: EventSystem, number: int) -> None:
    read = 0
    async for _ in events.publish_and_stream(ITEMS, number):
        read += 1
    if read != number:
        raise RuntimeError(f"asked for {number} items, got {read}")


async def _round_trip(url: str, seconds: float) -> Figures:
    async with Redis.from_url(url) as redis:
        script = await redis.script_load("return 1")
        return await sequential(lambda: redis.evalsha(script, 0), seconds)


async def _explained(events: EventSystem, silent: EventSystem, seconds: float) -> float:
    """Short turns with and without, so that whatever else the machine does hits both."""
    on, off = partial(events.publish_and_wait, TOPIC, PAYLOAD), partial(silent.publish_and_wait, SILENT, PAYLOAD)
    ratios: list[float] = []
    for turn in range(TURNS):
        first, second = (on, off) if turn % 2 else (off, on)
        rates = {first: await rate(first, 512, seconds / 6), second: await rate(second, 512, seconds / 6)}
        ratios.append(rates[on] / rates[off])
        await asyncio.sleep(0)
    return statistics.median(ratios)


def _silent() -> Settings:
    return Settings(explain_calls=0)


def _silent_system(url: str) -> EventSystem:
    return EventSystem(url, service="caller", settings=_silent())


if __name__ == "__main__":
    play(serve=serve, call=call)
