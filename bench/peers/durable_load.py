"""The load of the durable peers: the same events, keys and figures for everybody.

`published_K` is events per second that were stored and acknowledged, 512 of them in flight, over K keys; `handled_K`
is events per second that were fetched, decoded, handed to a handler and acknowledged.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from itertools import count
from time import perf_counter

from bench.peers.load import Figures

KEYS = (1, 100, 10_000)
EVENTS = 40_000
IN_FLIGHT = 512


async def measure_durable(
    publish: Callable[[int, int], Awaitable[object]], handle_all: Callable[[int, int], Awaitable[None]]
) -> Figures:
    """Publish so many events (keys of the level, key), then handle them all (keys of the level, how many)."""
    figures: Figures = {}
    for keys in KEYS:
        gc.collect()
        numbers, begun = count(), perf_counter()
        await asyncio.gather(*(_publish(publish, keys, numbers) for _ in range(IN_FLIGHT)))
        figures[f"published_{keys}"] = EVENTS / (perf_counter() - begun)
        gc.collect()
        begun = perf_counter()
        await handle_all(keys, EVENTS)
        figures[f"handled_{keys}"] = EVENTS / (perf_counter() - begun)
    return figures


async def _publish(publish: Callable[[int, int], Awaitable[object]], keys: int, numbers: count[int]) -> None:
    while (number := next(numbers)) < EVENTS:
        await publish(keys, number % keys)
