"""A responder as a process: `responder.py '{"url": …, "topic": …, "settings": {…}, "group": …, "clock": 3600}'`.

What it does with a request is in the payload's "do". It prints READY, BEGUN, CANCELLED, ENDED and EVENT lines.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
_wall_clock, _wall_clock_ns = time.time, time.time_ns
_shift: float = OPTIONS.get("clock", 0.0)
time.time = lambda: _wall_clock() + _shift
time.time_ns = lambda: _wall_clock_ns() + int(_shift * 1e9)

from tieline import Event, EventSystem, Settings  # noqa: E402 - after the clock was put wrong

events = EventSystem(OPTIONS["url"], service="peer", settings=Settings(**OPTIONS.get("settings", {})))


async def handle(data: dict[str, Any], event: Event) -> Any:
    """Do what the payload says."""
    if not event.is_request:
        print("EVENT", json.dumps(data))
        return None
    print("BEGUN", json.dumps(data))
    try:
        return await globals()[f"do_{data['do']}"](data, event)
    except asyncio.CancelledError:
        print("CANCELLED", json.dumps(data))
        raise
    finally:
        print("ENDED", json.dumps(data))


async def do_echo(data: dict[str, Any], event: Event) -> Any:
    """Return the value."""
    return data.get("value")


async def do_sleep(data: dict[str, Any], event: Event) -> str:
    """Take a while."""
    await asyncio.sleep(data["seconds"])
    return "slept"


async def do_remaining(data: dict[str, Any], event: Event) -> float:
    """Say how much time is left."""
    return event.remaining()


async def do_call(data: dict[str, Any], event: Event) -> Any:
    """Call somebody else."""
    return await events.publish_and_wait(data["topic"], data.get("value"))


async def do_publish(data: dict[str, Any], event: Event) -> str:
    """Publish an event that expires soon, and say its id."""
    return (await events.publish(data["topic"], data.get("value"), ttl=data["ttl"])).id


async def stream(data: dict[str, Any]) -> AsyncIterator[int]:
    """Count, with a pause after each number."""
    try:
        for number in itertools.count():
            yield number
            await asyncio.sleep(data["pause"])
    except asyncio.CancelledError:
        print("CANCELLED", json.dumps(data))
        raise


async def main() -> None:
    """Serve until SIGTERM."""
    handler: Any = stream if OPTIONS.get("streams") else handle
    await events.subscribe(OPTIONS["topic"], handler, group=OPTIONS.get("group", "")).ready()
    print("READY", events.instance)
    await events.serve()


asyncio.run(main())
