"""Watching what is stored at a Redis server: scripts tell of it while somebody says so (SPEC.md, section 17)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgpack

from tieline._contract import contract
from tieline.errors import TielineError
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError, pack
from tieline.transports.redis_server import RedisServer, command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

log = logging.getLogger("tieline")

_SAY_SECONDS = 5.0
_REST_SECONDS = 0.5


class RedisTapeWatch:
    """Each watcher has a connection of its own, which nothing else waits for."""

    def __init__(self, transport: RedisTransport, server: RedisServer) -> None:
        self._transport = transport
        self._server = server
        self._channel = contract.tapped_channel(transport.prefix)
        self._recording = contract.recording_key(transport.prefix)

    async def run(self, hear: Callable[[list[bytes]], None], began: Callable[[], None]) -> None:
        """Tell the parts of each entry until this is cancelled; connects anew when the connection is lost.

        Raises:
            TielineError: it cannot begin.

        """
        begun = False

        def begins() -> None:
            nonlocal begun
            begun = True
            began()

        while True:
            try:
                await self._watch(hear, begins)
            except TielineError:
                if not begun:
                    raise
            await asyncio.sleep(_REST_SECONDS)

    async def _watch(self, hear: Callable[[list[bytes]], None], began: Callable[[], None]) -> None:
        """Watch over one connection, until it is lost."""
        lost, settings = asyncio.Event(), self._transport.settings

        def on_push(push: list[Any]) -> None:
            if push[0] == b"message":
                hear(_parts(push[2]))

        def make() -> RedisLink:
            return RedisLink(on_push, lambda why: lost.set(), settings.offline_buffer)

        link, _ = await self._server.connect(make, f"{self._transport.name}:tap", settings.connect_timeout)
        try:
            await link.subscribe("SUBSCRIBE", [self._channel])
            await self._say(link)
            began()
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SAY_SECONDS):
                        await lost.wait()
                if not lost.is_set():
                    await self._say(link)
        except TimeoutError:
            link.abort("it fell silent")
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None
        finally:
            link.close("nobody watches")

    async def _say(self, link: RedisLink) -> None:
        """Somebody watches, for as long as a lease; what recorders said lasts as long as it did."""
        milliseconds = contract.DEFAULT_LEASE_MS
        link.send(pack("HSET", self._recording, "tapped", self._transport.clock.now() + milliseconds))
        link.send(pack("PEXPIRE", self._recording, milliseconds, "NX"))
        async with asyncio.timeout(self._transport.settings.pong_timeout):
            await link.call("PEXPIRE", self._recording, milliseconds, "GT")


def _parts(data: bytes) -> list[bytes]:
    try:
        told = msgpack.unpackb(data, raw=True)
    except ValueError as error:
        log.error("what is told of the tape cannot be read: %s", error)
        return [b"", b""]
    return list(told)
