"""Subscriptions on their way out."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from typing import TYPE_CHECKING

from tieline.errors import TielineError

if TYPE_CHECKING:
    from tieline.instance import Instance
    from tieline.subscription import Subscription


class Leaving:
    """Lets subscriptions go: the broker is told first, then what was sent here before it knew is finished."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._left: dict[Subscription, asyncio.Task[None] | None] = {}

    def all(self) -> list[Subscription]:
        """Those that are not done yet."""
        return list(self._left)

    def forget(self) -> None:
        """The loop they were leaving on is gone."""
        for subscription in self._left:
            self._instance.router.forget(subscription)
        self._left.clear()

    async def end(self, subscription: Subscription) -> None:
        """End a subscription. Whoever asks again waits for the same; a handler of its own does not wait for itself."""
        leaving = self._left.get(subscription)
        if leaving is None and not subscription.closed and not self._instance.closed:
            leaving = self._left[subscription] = asyncio.get_running_loop().create_task(self._leave(subscription))
        if leaving is not None:
            await asyncio.shield(leaving)
        await subscription.drain()

    async def end_all(self, seconds: float) -> None:
        """End every subscription within so many seconds; what is not done then is interrupted."""
        router, registry = self._instance.router, self._instance.registry
        staying = list(router)
        interests = [interest for subscription in staying for interest in router.remove(subscription)]
        self._left |= dict.fromkeys(staying)
        subscriptions = self.all()
        try:
            async with self._instance.clock.timeout(max(0.0, seconds)):
                with contextlib.suppress(TielineError):
                    await registry.end(interests)
                for subscription in subscriptions:
                    router.forget(subscription)
                leaving = [task for task in self._left.values() if task is not None]
                await asyncio.gather(*(subscription.drain() for subscription in subscriptions), *leaving)
        except TimeoutError:
            for subscription in subscriptions:
                router.forget(subscription)
                subscription.interrupt()
            await asyncio.sleep(0)

    async def _leave(self, subscription: Subscription) -> None:
        with contextlib.suppress(TielineError):  # its lease will end
            await self._instance.registry.end(self._instance.router.remove(subscription))
        self._instance.router.forget(subscription)
        self._instance.spawn(self._see_off(subscription), Context())

    async def _see_off(self, subscription: Subscription) -> None:
        await subscription.drain()
        self._left.pop(subscription, None)
