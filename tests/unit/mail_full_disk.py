"""A process whose files may not grow any more: what its durable events say, and that the rest goes on."""

from __future__ import annotations

import asyncio
import resource
import sys

from tests.suite.seen import Seen
from tieline import EventSystem, TielineError

LIMIT = 2_000_000


async def main() -> None:
    async with EventSystem(f"memory://{sys.argv[1]}") as events:
        seen, live = Seen(), Seen()
        await events.subscribe("t", seen.take, durable=True).ready()
        await events.subscribe("live", live.take).ready()
        await events.subscribe("call", lambda data: data).ready()
        await events.publish("t", "before", key="k")
        await seen.reach(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
        try:
            for number in range(10):
                await events.publish("big", [number, b"x" * 900_000], key="k")
        except TielineError as error:
            print("refused", error.code, error.outcome)
        assert await events.publish_and_wait("call", 1) == 1
        print("called")
        await events.publish("live", 1)
        await live.reach(1)
        print("live")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await events.publish("t", "after", key="k")
        print("stored")
        await seen.reach(2)
        print("handled")


asyncio.run(main())
