"""The load of the peers that plan events: the same events, moments and figures for everybody.

`planned` is events per second that were planned and acknowledged, 512 of them in flight; all are due at one moment, and
`fired` is events per second that were handled from then on. `late_p50` and `late_p99` are by how many milliseconds a
handler began after its event was due, 1,000 of them a second.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from itertools import count
from time import perf_counter, time
from typing import Any

from bench.peers.load import PAYLOAD, Figures

EVENTS = 20_000
IN_FLIGHT = 512
AHEAD_SECONDS = 12.0
LATE = 3_000
RATE = 1_000

Plan = Callable[[str, Any, float], Awaitable[object]]
Handle = Callable[[str, int, "list[float] | None"], Awaitable[float]]


async def measure_delayed(plan: Plan, handle_all: Handle) -> Figures:
    """Plan (topic, payload, when in seconds since 1970), and handle all of a topic (how many, where lateness is noted).

    Handling returns the moment of `perf_counter` at which it was done.
    """
    gc.collect()
    due, numbers, begun = time() + AHEAD_SECONDS, count(), perf_counter()
    await asyncio.gather(*(_plan(plan, due, numbers) for _ in range(IN_FLIGHT)))
    planned = EVENTS / (perf_counter() - begun)
    if time() > due - 1:
        raise SystemExit(f"planning {EVENTS} events took longer than {AHEAD_SECONDS} s")
    gc.collect()
    done = asyncio.create_task(handle_all("bench.all", EVENTS, None))
    began = perf_counter() + due - time()
    fired = EVENTS / (await done - began)
    late = list[float]()
    first = time() + 2
    handling = asyncio.create_task(handle_all("bench.late", LATE, late))
    for number in range(LATE):
        moment = first + number / RATE
        await plan("bench.late", moment, moment)
    await handling
    late.sort()
    return {
        "planned": planned,
        "fired": fired,
        "late_p50": late[len(late) // 2],
        "late_p99": late[len(late) * 99 // 100],
    }


async def _plan(plan: Plan, due: float, numbers: count[int]) -> None:
    while next(numbers) < EVENTS:
        await plan("bench.all", PAYLOAD, due)
