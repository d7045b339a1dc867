"""The other end of `tieline bench`, in a process of its own: answers calls, and counts events."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from tieline.events import EventSystem
from tieline.settings import Settings

URL, NAMESPACE = "TIELINE_BENCH_URL", "TIELINE_BENCH_NAMESPACE"
READY = "ready"


async def answer(topic: str) -> None:
    """Echo calls of `<topic>.call`, count events of `<topic>.event`, and tell how many on `<topic>.count`."""
    counted = 0

    async def echo(data: Any) -> Any:
        return data

    async def count(_data: Any) -> None:
        nonlocal counted
        counted += 1

    async def told(_data: Any) -> int:
        return counted

    quiet = Settings(system_events=False)
    url, namespace = os.environ[URL], os.environ.get(NAMESPACE, "")
    events = EventSystem(url, service="bench", namespace=namespace, settings=quiet)
    events.subscribe(f"{topic}.call", echo)
    events.subscribe(f"{topic}.event", count, queue=100_000)
    events.subscribe(f"{topic}.count", told)
    await events.start()
    for subscription in events.subscriptions:
        await subscription.ready()
    print(READY, flush=True)
    await events.serve()


if __name__ == "__main__":
    asyncio.run(answer(sys.argv[1]))
