"""An instance that does nothing but fire what is due: `scheduler.py URL`; it says READY with its name."""

from __future__ import annotations

import asyncio
import sys

from tieline import EventSystem


async def main() -> None:
    """Fire until it is killed."""
    events = await EventSystem(sys.argv[1], service="scheduler").start()
    print("READY", events.instance, flush=True)
    await events.serve()


asyncio.run(main())
