"""A process whose files may not grow any more: what is live and due goes out once, and what is to be stored waits."""

from __future__ import annotations

import asyncio
import os
import resource
import sys

from tests.suite.seen import Seen
from tieline import EventSystem, TielineError


async def main() -> None:
    path = f"{sys.argv[1]}"
    async with EventSystem(f"memory://{path}") as events:
        live, stored = Seen(), Seen()
        await events.subscribe("live", live.take).ready()
        await events.subscribe("t", stored.take, durable=True).ready()
        await events.publish("live", 1, delay=3.0)
        await events.publish("t", 1, key="k", delay=6.0)  # in one look with the other it would hold that up
        size = os.path.getsize(f"{path}-mail-wal")  # noqa: ASYNC240, PTH202
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            await events.publish("live", b"x" * 900_000, delay=60)
        except TielineError as error:
            print("refused", error.code, error.outcome)
        await live.reach(1)
        await asyncio.sleep(4.0)
        print("live", len(live))
        print("waiting", 1 - len(stored))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await stored.reach(1)
        print("stored", len(stored))
        while (page := await events.schedules.list("delivered")).total < 2:
            await asyncio.sleep(0.05)
        print("delivered", page.total)
        print("live", len(live))


asyncio.run(main())
