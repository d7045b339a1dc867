"""The Python half of the demo. Where it connects to is in TIELINE_URL."""

from __future__ import annotations

import asyncio

from tieline import Event, EventSystem, Settings

# A lease is shorter than usual, so that nobody waits for 15 s when this process is killed.
events = EventSystem(service="python", settings=Settings(lease=1.0, lease_refresh=0.3))


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


@events.subscribe("comment.added", durable=True)
async def comment(number: int, event: Event) -> None:
    """Handle a stored event, after those before it of the same card, and say so."""
    await asyncio.sleep(0.06)  # what takes a while is claimed no earlier than it is handled, and so shared
    await events.publish("comment.handled", {"by": "Python", "card": event.key, "number": number})


async def main() -> None:
    """Serve until SIGTERM."""
    async with events:
        print("READY")
        await events.serve()


if __name__ == "__main__":
    asyncio.run(main())
