"""Keeping the group of a consumer registered. Rules: SPEC.md, section 14."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tieline.durable.mail import DEFAULT_GROUP
from tieline.errors import NotFoundError, TielineError

if TYPE_CHECKING:
    from tieline.durable.consumer import Consumer, House
    from tieline.durable.mail import Mail

log = logging.getLogger("tieline")

_ENROLL_SECONDS = 2.0
_SHARED = (
    "the service %r has subscribed durably to %r without a group, as this one (%r) does: each event goes to one of "
    'the two services only; group="..." gives a service a copy of its own'
)


class Enrolling:
    """Should the broker lose everything, the group is there again soon; whatever is stored meanwhile is for it.

    If somebody removed the group, its subscription ends. If another service has the default group, too, it is
    warned once.
    """

    def __init__(self, consumer: Consumer, house: House) -> None:
        self._consumer = consumer
        self._house = house
        self._task: asyncio.Task[None] | None = None
        self._warned = False

    async def begin(self, mail: Mail) -> None:
        """Register the group for the first time."""
        await self._register(mail, latest=self._consumer.policy.latest)

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
                if await self._register(self._house.mail, again=True):
                    log.warning("the group %r of %r was gone, and is registered again", group, topic)
                    consumer.wake()
            except NotFoundError as removed:
                name = consumer.subscription.name
                log.error("the subscription %r ends: %s; subscribe anew to have it again", name, removed)
                consumer.spawn(consumer.subscription.unsubscribe())
                return
            except TielineError as error:
                log.debug("registering the group of %r failed: %s", topic, error)

    async def _register(self, mail: Mail, *, latest: bool = False, again: bool = False) -> bool:
        """Register the group; returns whether it is new."""
        topic, group, service = self._consumer.topic, self._consumer.policy.group, self._house.service
        enrolled = await mail.enroll(topic, group, latest=latest, again=again, service=service)
        if enrolled.other and group == DEFAULT_GROUP and not self._warned:
            self._warned = True
            log.warning(_SHARED, enrolled.other, topic, service)
        return enrolled.new
