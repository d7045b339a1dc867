"""Plain producers: programs that add to the streams of keys with any Redis client (SPEC.md, section 14).

They say so on `group_change`; should nobody hear it, the streams are found by a look through the keys: when a process
begins to consume a topic, once a minute by one process for each topic, and after a gap.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from tieline._contract import contract, scripts
from tieline.errors import TielineError
from tieline.transports.redis_link import LinkDownError, ReplyError, pack
from tieline.transports.redis_server import command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

log = logging.getLogger("tieline")

_PAGE = 1000
_BREATH_SECONDS = 0.01
_GAP_SECONDS = 1.0


class PlainProducers:
    """Has consumers look at keys that were written to without our scripts."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self._prefix = transport.prefix
        self.channel = contract.group_change_channel(transport.prefix).encode()
        self._streams = contract.stream_prefix_key(transport.prefix, "").encode().removesuffix(b"::")
        self._noticed: dict[str, dict[bytes, None]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._new: set[str] = set()
        self.looking: asyncio.Task[None] | None = None

    @property
    def topics(self) -> set[str]:
        """Topics that are consumed here."""
        mail = self._transport.registration.mail.values()
        return {interest.pattern for takers in mail for _, interest in takers}

    def noticed(self, notice: bytes) -> None:
        """`register:<topic>:<key>` or `unregister:<topic>:<key>`: in both cases what is there is to be handled."""
        verb, _, rest = notice.partition(b":")
        name, _, key = rest.partition(b":")
        topic = name.decode("utf-8", "replace")
        if verb not in (b"register", b"unregister") or not key or topic not in self.topics:
            return
        if not self._noticed:
            asyncio.get_running_loop().call_soon(self._look)
        self._noticed.setdefault(topic, {})[key] = None

    def _look(self) -> None:
        noticed, self._noticed = self._noticed, {}
        link = self._transport.link
        if link is None:  # they are looked for when it is back
            return
        for topic, keys in noticed.items():
            self._transport.run(link, scripts.READY, scripts.ready_names, topic, list(keys), _ignore)

    def begin(self) -> None:
        """Somebody here consumes: look through the keys from time to time."""
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep_for_ever())

    def close(self) -> None:
        """Look no more."""
        for task in (self._sweeping, self.looking):
            if task is not None:
                task.cancel()
        self._sweeping = self.looking = None

    def look_for(self, topics: Collection[str]) -> None:
        """They are consumed here from now on; nobody may have heard what was said of them before."""
        self._new.update(topics)
        if self._new and (self.looking is None or self.looking.done()):
            self.looking = asyncio.get_running_loop().create_task(self._look_for_new())

    async def _look_for_new(self) -> None:
        while self._new:
            topics, self._new = self._new, set()
            await self._guarded_sweep(topics)

    async def sweep_after_gap(self) -> None:
        """Notices were lost."""
        await asyncio.sleep(random.uniform(0, _GAP_SECONDS))  # noqa: S311 - jitter is no secret
        await self._guarded_sweep(self.topics)

    async def _sweep_for_ever(self) -> None:
        while True:
            await self._transport.clock.sleep(contract.DEFAULT_SWEEP_MS / 1000 * random.uniform(0.8, 1.2))  # noqa: S311
            await self._guarded_sweep({topic for topic in self.topics if await self._elected(topic)})

    async def _elected(self, topic: str) -> bool:
        """Whether it falls to this process to look for a topic's streams this time."""
        lock = pack("SET", contract.sweep_key(self._prefix, topic), "1", "NX", "PX", contract.DEFAULT_SWEEP_MS * 3 // 4)
        try:
            return bool(await self._transport.mail.work.call(lock))
        except (LinkDownError, ReplyError, TielineError):
            return False

    async def _guarded_sweep(self, topics: Collection[str]) -> None:
        try:
            if topics:
                await self.sweep(topics)
        except (LinkDownError, ReplyError) as error:
            log.info("looking for streams failed: %s", command_error(error))
        except TielineError as error:
            log.info("looking for streams failed: %s", error)

    async def sweep(self, topics: Collection[str]) -> int:
        """Look through all keys for streams of these topics; returns how many keys had been idle."""
        work, cursor, found = self._transport.mail.work, b"0", 0
        while True:
            pattern = self._streams + b":*"
            cursor, page = await work.call(pack("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, "TYPE", "stream"))
            for topic, keys in self._by_topic(page, topics).items():
                found += await work.run(scripts.READY, scripts.ready_names(self._prefix, topic), keys)
            if cursor == b"0":
                return found
            await asyncio.sleep(_BREATH_SECONDS)

    def _by_topic(self, streams: list[bytes], topics: Collection[str]) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for stream in streams:
            name, _, key = stream[len(self._streams) + 1 :].partition(b":")
            topic = name.decode("utf-8", "replace")
            if key and topic in topics:
                found.setdefault(topic, []).append(key)
        return found


def _ignore(reply: Any) -> None:
    """Nobody waits for it; a key that was not listed is found by the next look through the keys."""
