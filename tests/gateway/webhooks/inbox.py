"""What was stored of webhooks, as a subscriber in another process gets it."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from tests.gateway.up import Up, system
from tieline import Event, EventSystem

SECONDS = 30.0


class Inbox:
    """A durable subscriber of one topic, over a Link."""

    def __init__(self, up: Up, topic: str, group: str = "inbox", **options: Any) -> None:
        self.events: EventSystem = system(up)
        self.topic = topic
        self.group = group
        self.got: list[Event] = []
        self._news = asyncio.Condition()
        self._options = options

    async def __aenter__(self) -> Self:
        await self.events.start()

        async def take(_data: Any, event: Event) -> None:
            async with self._news:
                self.got.append(event)
                self._news.notify_all()

        await self.events.subscribe(self.topic, take, durable=True, group=self.group, **self._options).ready()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.events.aclose(0)

    async def first(self, count: int) -> list[Event]:
        """Wait for so many; there must not be more."""
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.got) >= count)
        await self.nothing_waits()
        assert len(self.got) == count
        return self.got

    async def nothing_waits(self) -> None:
        """Wait until all that is stored was handled."""
        async with asyncio.timeout(SECONDS):
            while any(group.waiting for group in await self.events.groups.list(self.topic)):
                await asyncio.sleep(0.02)


async def stored(up: Up, topic: str) -> int:
    """How many events wait for a group that asks for all of them: nobody has subscribed before."""
    async with Inbox(up, topic, group="count") as inbox:
        await inbox.nothing_waits()
        return len(inbox.got)
