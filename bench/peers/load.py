"""The load all Python peers are put under: the same loop, payload, warm-up and figures for everybody."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter_ns
from typing import Any

import uvloop

TOPIC = "bench.echo"
PAYLOAD: dict[str, Any] = {"id": 123, "name": "abc", "ok": True}
LEVELS = (64, 512)

Call = Callable[[], Awaitable[Any]]
Figures = dict[str, float]


def play(**roles: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Run the role that the command line names (`serve URL`, `call URL SECONDS`) on uvloop."""
    role, *arguments = sys.argv[1:]
    uvloop.run(roles[role](*arguments))


async def serve_forever() -> None:
    """Say that calls may come, and answer them until killed."""
    print("READY", flush=True)
    await asyncio.Event().wait()


def report(figures: Figures) -> None:
    """Hand the figures to the harness."""
    print("RESULT", json.dumps(figures), flush=True)


async def measure(call: Call, seconds: float) -> Figures:
    """Put `call` under load at every level.

    Raises:
        RuntimeError: the payload did not come back as it was sent.
    """
    echoed = await call()
    if echoed != PAYLOAD:
        raise RuntimeError(f"sent {PAYLOAD!r}, got {echoed!r}")
    figures = await sequential(call, seconds)
    for level in LEVELS:
        await rate(call, level, seconds / 4)
        figures[f"c{level}"] = await rate(call, level, seconds)
    return figures


async def sequential(call: Call, seconds: float) -> Figures:
    """Median, 99th percentile and mean of a call's time, in microseconds, with one call in flight."""
    await _times(call, seconds / 4)
    times = sorted(await _times(call, seconds))
    count = len(times)
    return {"p50": times[count // 2] / 1e3, "p99": times[count * 99 // 100] / 1e3, "mean": sum(times) / count / 1e3}


async def rate(call: Call, in_flight: int, seconds: float) -> float:
    """Calls per second with that many in flight: as many loops, each making one call after the other."""
    gc.collect()
    begun = perf_counter_ns()
    end = begun + int(seconds * 1e9)
    counts = await asyncio.gather(*(_loop(call, end) for _ in range(in_flight)))
    return sum(counts) / ((perf_counter_ns() - begun) / 1e9)


async def _times(call: Call, seconds: float) -> list[int]:
    times: list[int] = []
    now = perf_counter_ns()
    end = now + int(seconds * 1e9)
    while now < end:
        await call()
        before, now = now, perf_counter_ns()
        times.append(now - before)
    return times


async def _loop(call: Call, end: int) -> int:
    count = 0
    while perf_counter_ns() < end:
        await call()
        count += 1
    return count
