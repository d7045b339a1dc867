"""An outbox: `outbox.py '{"url": …, "path": …, "topic": …, "first": 1, "count": 9, "forget": false}'`.

It prints WAITING and how many wait, or the error; publishes numbers, and prints QUEUED and the number when each is on
disk; ALL; EMPTY when the broker has everything; and then stays. With "forget" it never takes out of its file what the
broker has stored. `outbox.mjs` is its twin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tieline import EventSystem, Settings, TielineError
from tieline.outbox.file import OutboxFile

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])


async def main() -> None:
    if OPTIONS.get("forget"):
        OutboxFile.remove = lambda self, stored: asyncio.sleep(0)  # type: ignore[method-assign, assignment, return-value]
    settings = Settings(connect_timeout=0.5, reconnect_max=0.2)
    events = EventSystem(OPTIONS["url"], service="peer", outbox=OPTIONS["path"], settings=settings)
    first = OPTIONS["first"]
    assert events.outbox is not None
    print("READY")
    try:
        print("WAITING", (await events.outbox.figures()).events)
    except TielineError as error:
        print(error.code, error.outcome, error.message)
    for number in range(first, first + OPTIONS["count"]):
        receipt = await events.publish(OPTIONS["topic"], number, key=f"k{number % 3}")
        assert receipt.queued
        print("QUEUED", number)
    if not OPTIONS["count"]:
        await events.start()
    print("ALL")
    while (await events.outbox.figures()).events:
        await asyncio.sleep(0.02)
    print("EMPTY")
    await asyncio.sleep(3600)


asyncio.run(main())
