"""A durable consumer as a process: `consumer.py '{"url": …, "topic": …, "file": …, "settings": {…}, "options": {…}}'`.

Each handling is a line in the file, `<key> <payload> <token> <attempt>`, written at once and in one piece, so that it
is there however this process ends. A payload "poison" ends it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from tieline import Event, EventSystem, RetryPolicy, Settings

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
_file = os.open(OPTIONS["file"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def handle(data: Any, event: Event) -> None:
    """Write down what came."""
    assert event.delivery is not None
    line = f"{event.key} {data} {event.delivery.token} {event.delivery.attempt}\n"
    os.write(_file, line.encode())
    if data == "poison":
        os._exit(7)
    await asyncio.sleep(OPTIONS.get("pause", 0.0))


async def main() -> None:
    """Consume until it is killed."""
    events = EventSystem(OPTIONS["url"], service="consumer", settings=Settings(**OPTIONS.get("settings", {})))
    options = {**OPTIONS.get("options", {}), "retry": RetryPolicy(max_attempts=3, backoff=0.0, cap=0.0)}
    await events.subscribe(OPTIONS["topic"], handle, durable=True, **options).ready()
    print("READY", flush=True)
    await events.serve()


asyncio.run(main())
