"""What a call costs in memory while it waits: 100,000 of them in one process.

`own` drives the client's coroutines without tasks, so that all that is added is the client's own: its frames, the
call, its future, its deadline. `task` adds what a caller pays: a task for each. `rss` is what the process grew by,
`traced` what Python's allocator says (`tracemalloc`), which does not see the memory of protobuf messages.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench.peers.load import PAYLOAD, TOPIC, play, report, serve_forever
from tieline import EventSystem

CALLS = 100_000
AT_ONCE = 500
TTL = 3_600.0
SETTLE_SECONDS = 2.0

_held: list[list[Any]] = []


async def serve(url: str) -> None:
    """Take every call and never answer."""
    events = EventSystem(url, service="silent")

    async def keep(_data: Any) -> None:
        await asyncio.Event().wait()

    async with events:
        await events.subscribe(TOPIC, keep, concurrency=10 * CALLS).ready()
        await serve_forever()


async def call(url: str, what: str) -> None:
    """Hold 100,000 calls and say how many bytes each takes."""
    who, how = what.split("_")
    begin = {"own": _drive, "task": asyncio.create_task}[who]
    size = {"rss": resident, "traced": _traced}[how]
    if how == "traced":
        tracemalloc.start()
    async with EventSystem(url, service="caller") as events:
        await _hold(events, begin, AT_ONCE)  # what is paid once is paid before anything is counted
        await _settled()
        before = size()
        held = await _hold(events, begin, CALLS - 2 * AT_ONCE)
        await _settled()
        report({"bytes": (size() - before) / len(held)})
        sys.stdout.flush()
        os._exit(0)  # taking 100,000 calls back would take longer than it tells


def resident() -> int:
    """Bytes of this process in memory."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def _drive(calling: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """Run it up to where it waits for its reply."""
    calling.send(None)
    return calling


async def _hold(events: EventSystem, begin: Callable[[Coroutine[Any, Any, Any]], Any], count: int) -> list[Any]:
    held: list[Any] = []
    while len(held) < count:
        held += [begin(events.publish_and_wait(TOPIC, PAYLOAD, ttl=TTL)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.01)
    _held.append(held)
    return held


async def _settled() -> None:
    await asyncio.sleep(SETTLE_SECONDS)
    gc.collect()


if __name__ == "__main__":
    play(serve=serve, call=call)
