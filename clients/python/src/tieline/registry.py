"""Keeping the broker's list of this instance's interests in step with its subscriptions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from tieline.errors import Outcome, UnavailableError
from tieline.subscription import Subscription
from tieline.transport import Interest, Port

log = logging.getLogger("tieline")

_REST_SECONDS = 0.5


class Registry:
    """Registers and unregisters one after the other, in the order asked for."""

    def __init__(self) -> None:
        self._port: Port | None = None
        self._turn = asyncio.Lock()
        self._tasks: dict[Subscription, asyncio.Task[None]] = {}
        self._wanted: dict[asyncio.Task[None], frozenset[Interest]] = {}

    async def attach(self, port: Port, interests: list[Interest], durable: Iterable[Subscription]) -> None:
        """Register everything that was declared before the start."""
        self._port = port
        self._turn = asyncio.Lock()
        async with self._turn:
            for subscription in durable:
                await _enroll(port, subscription)
            await port.register(interests)

    def begin(self, subscription: Subscription, interests: list[Interest]) -> None:
        """Register in the background; `ready` waits for it. Without new interests it still waits for its turn."""
        task = asyncio.get_running_loop().create_task(self._register(subscription, interests))
        self._tasks[subscription] = task
        self._wanted[task] = frozenset(interests)
        task.add_done_callback(lambda done: self._ended(subscription, done))

    async def ready(self, subscription: Subscription) -> None:
        """Return when the broker has confirmed the subscription.

        Raises:
            UnavailableError: it ended, or the system was closed, before the broker was there.

        """
        task = self._tasks.get(subscription)
        if task is not None:
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                if not task.cancelled():
                    raise
                message = f"{subscription!r} ended before the broker was there to register it"
                raise UnavailableError(message, outcome=Outcome.NOT_DELIVERED) from None
        else:
            async with self._turn:
                pass

    async def end(self, interests: list[Interest]) -> None:
        """Unregister; while the broker is away this waits for nobody, not even for those who wait to register."""
        if self._port is None or not interests:
            return
        if self._port.connected:
            async with self._turn:
                await self._port.unregister(interests)
        else:
            for task in [task for task, wanted in self._wanted.items() if wanted and wanted.issubset(interests)]:
                task.cancel()
            await self._port.unregister(interests)

    def detach(self) -> None:
        """Stop registering."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._port = None

    async def _register(self, subscription: Subscription, interests: list[Interest]) -> None:
        while not await self._registered(subscription, interests):
            await asyncio.sleep(_REST_SECONDS)

    async def _registered(self, subscription: Subscription, interests: list[Interest]) -> bool:
        """Register, and say whether that is done; a durable one waits for the broker as a live one does."""
        async with self._turn:
            if self._port is None or subscription.closed:
                return True
            try:
                await _enroll(self._port, subscription)
            except UnavailableError as error:
                log.info("registering %r failed, and is tried again: %s", subscription, error)
                return False
            if interests:
                await self._port.register(interests)
            subscription.begin_consuming()
            return True

    def _ended(self, subscription: Subscription, task: asyncio.Task[None]) -> None:
        del self._wanted[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("%r could not be registered: %s", subscription, task.exception())
        elif self._tasks.get(subscription) is task:
            del self._tasks[subscription]


async def _enroll(port: Port, subscription: Subscription) -> None:
    """Have events wait for a durable subscription's group from now on."""
    if subscription.consumer is not None:
        await subscription.consumer.enroll(port.mail)
