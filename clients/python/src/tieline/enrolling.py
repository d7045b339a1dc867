"""Keeping the group of a consumer registered. Rules: SPEC.md, section 14."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tieline.errors import NotFoundError, TielineError

if TYPE_CHECKING:
    from tieline.consumer import Consumer, House

log = logging.getLogger("tieline")

_ENROLL_SECONDS = 2.0


class Enrolling:
    """Should the broker lose everything, the group is there again soon; whatever is stored meanwhile is for it.

    If somebody removed the group, its subscription ends.
    """

    def __init__(self, consumer: Consumer, house: House) -> None:
        self._consumer = consumer
        self._house = house
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now and then, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def forget(self) -> None:
        """The loop is gone."""
        self._task = None

    async def _run(self) -> None:
        consumer = self._consumer
        topic, group = consumer.topic, consumer.policy.group
        while not consumer.stopped:
            await consumer.clock.sleep(_ENROLL_SECONDS)
            try:
                if await self._house.mail.enroll(topic, group, latest=False, again=True):
                    log.warning("the group %r of %r was gone, and is registered again", group, topic)
                    consumer.wake()
            except NotFoundError as removed:
                name = consumer.subscription.name
                log.error("the subscription %r ends: %s; subscribe anew to have it again", name, removed)
                consumer.spawn(consumer.subscription.unsubscribe())
                return
            except TielineError as error:
                log.debug("registering the group of %r failed: %s", topic, error)
