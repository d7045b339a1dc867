"""The Python half of the demo. Where it connects to is in TIELINE_URL."""

from __future__ import annotations

import asyncio

from tieline import EventSystem

events = EventSystem(service="python")


@events.subscribe("calculate.sum")
async def add(numbers: list[int]) -> int:
    """Answer a request; the annotation validates."""
    return sum(numbers)


@events.subscribe("report.build")
async def build(_name: str) -> None:
    """Take far too long, and hear that the caller gave up."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("report.build: the caller gave up, so I stopped")
        raise


@events.subscribe("news.flash")
async def hear(headline: str) -> None:
    """Hear an event, and say so with another."""
    await events.publish("news.heard", {"by": "Python", "headline": headline})


async def main() -> None:
    """Serve until SIGTERM."""
    async with events:
        print("READY")
        await events.serve()


if __name__ == "__main__":
    asyncio.run(main())
