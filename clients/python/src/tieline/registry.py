"""Keeping the broker's list of this instance's interests in step with its subscriptions."""

from __future__ import annotations

import asyncio
import logging

from tieline.subscription import Subscription
from tieline.transport import Interest, Port

log = logging.getLogger("tieline")


class Registry:
    """Registers and unregisters one after the other, in the order asked for."""

    def __init__(self) -> None:
        self._port: Port | None = None
        self._turn = asyncio.Lock()
        self._tasks: dict[Subscription, asyncio.Task[None]] = {}

    async def attach(self, port: Port, interests: list[Interest]) -> None:
        """Register everything that was declared before the start."""
        self._port = port
        self._turn = asyncio.Lock()
        async with self._turn:
            await port.register(interests)

    def begin(self, subscription: Subscription, interests: list[Interest]) -> None:
        """Register in the background; `ready` waits for it. Without new interests it still waits for its turn."""
        task = asyncio.get_running_loop().create_task(self._register(interests))
        self._tasks[subscription] = task
        task.add_done_callback(lambda done: self._ended(subscription, done))

    async def ready(self, subscription: Subscription) -> None:
        """Return when the broker has confirmed the subscription."""
        task = self._tasks.get(subscription)
        if task is not None:
            await asyncio.shield(task)
        else:
            async with self._turn:
                pass

    async def end(self, interests: list[Interest]) -> None:
        """Unregister."""
        if self._port is not None and interests:
            async with self._turn:
                await self._port.unregister(interests)

    def detach(self) -> None:
        """Stop registering."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._port = None

    async def _register(self, interests: list[Interest]) -> None:
        async with self._turn:
            if self._port is not None and interests:
                await self._port.register(interests)

    def _ended(self, subscription: Subscription, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("%r could not be registered: %s", subscription, task.exception())
        elif self._tasks.get(subscription) is task:
            del self._tasks[subscription]
