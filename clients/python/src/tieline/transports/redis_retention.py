"""What was stored for topics that nobody subscribes to goes after a week (SPEC.md, section 14).

One process of an installation looks for it once an hour; processes that have nothing to do with durable events do not.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from tieline._contract import contract, scripts
from tieline.errors import TielineError
from tieline.transports.redis_link import LinkDownError, ReplyError, pack
from tieline.transports.redis_server import command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

log = logging.getLogger("tieline")

_BREATH_SECONDS = 0.01
_SWEEP_SECONDS = contract.DEFAULT_EXPIRE_SWEEP_MS / 1000


class Retention:
    """Deletes what is too old of topics without subscription groups."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self._prefix = transport.prefix

    async def run(self) -> None:
        """Look from time to time, for ever; first within a minute."""
        pause = random.uniform(0, _SWEEP_SECONDS / 60)  # noqa: S311 - jitter is no secret
        while True:
            await self._transport.clock.sleep(pause)
            pause = _SWEEP_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
            try:
                if self._transport.stores and await self._elected():
                    await self.sweep(contract.LIMIT_STREAM_ALONE_MS)
            except (LinkDownError, ReplyError) as error:
                log.info("looking for what nobody subscribed to failed: %s", command_error(error))
            except TielineError as error:
                log.info("looking for what nobody subscribed to failed: %s", error)

    async def _elected(self) -> bool:
        """Whether it falls to this process this time."""
        name, span = contract.expiring_key(self._prefix), contract.DEFAULT_EXPIRE_SWEEP_MS * 3 // 4
        return bool(await self._transport.require().ask(pack("SET", name, "1", "NX", "PX", span)))

    async def sweep(self, longest: int) -> int:
        """Delete what was stored more than so many ms ago for topics without a group; returns how many events."""
        total = 0
        for name in await self._transport.require().ask(pack("SMEMBERS", contract.mail_topics_key(self._prefix))):
            topic = name.decode()
            if deleted := await self._expire(topic, longest):
                days = longest / 86_400_000
                log.warning("%d events of %r were deleted: nobody subscribed to it for %g days", deleted, topic, days)
                total += deleted
        return total

    async def _expire(self, topic: str, longest: int) -> int:
        cursor, total = b"0", 0
        while True:
            arguments = (b"%d" % longest, cursor)
            link = self._transport.require()
            told = await self._transport.answer_of(link, scripts.EXPIRE, scripts.expire_names, topic, arguments)
            cursor, total = told[0], total + int(told[1])
            if cursor == b"0":
                return total
            await asyncio.sleep(_BREATH_SECONDS)
