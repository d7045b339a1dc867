"""A process that plans events in a file, and takes the live ones, until it is killed; it prints both."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from tieline import EventSystem


async def plan(events: EventSystem, kind: str) -> None:
    for number in itertools.count():
        name = f"{kind}-{os.getpid()}-{number}"
        if kind == "live":
            await events.publish("live", name, delay=0.003 * (number % 7))
        else:
            await events.publish("t", name, key=f"k{number % 5}", delay=0.003 * (number % 7))
        print("planned", name, flush=True)


async def main() -> None:
    async with EventSystem(f"memory://{sys.argv[1]}") as events:

        async def see(data: str) -> None:
            print("seen", data, flush=True)

        await events.subscribe("live", see).ready()
        await asyncio.gather(*(plan(events, kind) for kind in ("live", "durable", "live")))


asyncio.run(main())
