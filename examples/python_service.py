"""A service in Python. Run as many as you like: they share the requests.

TIELINE_URL=redis://localhost python examples/python_service.py
"""

import asyncio

from tieline import Event, EventSystem

events = EventSystem(service="calculator")


@events.subscribe("calculate.sum")
async def add(numbers: list[int]) -> int:
    """Answer requests: the annotation validates, the return value is the reply."""
    return sum(numbers)


@events.subscribe("user.*", group="calculator")
async def remember(user: dict[str, object], event: Event) -> None:
    """Hear events: of all replicas in the group, one gets each."""
    print(f"{event.topic}: {user['id']}")


if __name__ == "__main__":
    asyncio.run(events.serve())
