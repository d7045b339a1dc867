"""The process's default event system, and the functions that use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tieline.calls.gather import Gathered
from tieline.calls.stream import Stream
from tieline.durable.many import Item
from tieline.events import EventSystem
from tieline.publisher import Receipt

_default: EventSystem | None = None


def get_event_system() -> EventSystem:
    """The process's default event system, made on first use from the environment."""
    global _default  # noqa: PLW0603 - the one default
    if _default is None or _default.closed:
        _default = EventSystem()
    return _default


def replace_default(events: EventSystem | None) -> EventSystem | None:
    """Make this the default event system; returns the one before. For tests, see `tieline.testing.use`."""
    global _default
    before, _default = _default, events
    return before


async def publish_event(topic: str, data: Any = None, **options: Any) -> Receipt:
    """`EventSystem.publish` on the default event system."""
    return await get_event_system().publish(topic, data, **options)


async def publish_events(topic: str, items: Iterable[Item], **options: Any) -> list[Receipt]:
    """`EventSystem.publish_many` on the default event system."""
    return await get_event_system().publish_many(topic, items, **options)


async def publish_event_and_wait(topic: str, data: Any = None, **options: Any) -> Any:
    """`EventSystem.publish_and_wait` on the default event system."""
    return await get_event_system().publish_and_wait(topic, data, **options)


def publish_event_and_stream(topic: str, data: Any = None, **options: Any) -> Stream:
    """`EventSystem.publish_and_stream` on the default event system."""
    return get_event_system().publish_and_stream(topic, data, **options)


async def publish_event_and_gather(topic: str, data: Any = None, **options: Any) -> Gathered:
    """`EventSystem.publish_and_gather` on the default event system."""
    return await get_event_system().publish_and_gather(topic, data, **options)
