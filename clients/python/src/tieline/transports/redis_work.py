"""The work link: bulky commands that answer with much, on a connection that never subscribes (SPEC.md, section 14).

A client that subscribes is cut off at 32 MB of unread output; one that does not, is not. It is opened when it is first
needed, and again when it is needed after it broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tieline._contract.scripts import Script
from tieline.errors import Outcome, UnavailableError
from tieline.settings import Settings
from tieline.transports.redis_link import RedisLink, ReplyError, bulk, pack_script, settle
from tieline.transports.redis_server import RedisServer


class WorkLink:
    """One more connection to the server, for whoever waits for what it says."""

    def __init__(self, server: RedisServer, settings: Settings, name: Callable[[], str]) -> None:
        self._server = server
        self._settings = settings
        self._name = name
        self._link: RedisLink | None = None
        self._opening: asyncio.Task[RedisLink] | None = None
        self._closed = False

    async def up(self) -> RedisLink:
        """The connection; for those who ask several things of one."""
        return self._link or await self._up()

    async def run(
        self, script: Script, names: Sequence[str], arguments: Sequence[bytes], *, on: RedisLink | None = None
    ) -> Any:
        """Run a script and return what it returned; on this very connection, if one is given.

        Raises:
            UnavailableError: there is no connection.
            LinkDownError: the connection broke, or nothing came for too long.
            ReplyError: the server refused it.

        """
        return await self.run_packed(script, names, len(arguments), b"".join(map(bulk, arguments)), on=on)

    async def run_packed(
        self, script: Script, names: Sequence[str], number: int, arguments: bytes, *, on: RedisLink | None = None
    ) -> Any:
        """Run a script with so many packed arguments; the rest is as with `run`."""
        link = on or await self.up()
        try:
            return await self._ask(link, pack_script(script, names, number) + arguments)
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._ask(link, pack_script(script, names, number, whole=True) + arguments)

    async def call(self, packed: bytes, *, on: RedisLink | None = None) -> Any:
        """Send one packed command; on this very connection, if one is given; raises as `run` does."""
        return await self._ask(on or await self.up(), packed)

    def close(self) -> None:
        """Close the connection for good."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            self._link.close("closed")

    async def _ask(self, link: RedisLink, packed: bytes) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        link.send(packed, partial(settle, future))
        patience = self._settings.ping_interval + self._settings.pong_timeout

        def look() -> None:
            """A server that sends nothing while it is asked for something is gone."""
            nonlocal timer
            if loop.time() - max(link.heard_at, asked) < patience:
                timer = loop.call_later(patience, look)
            else:
                link.abort(f"no answer within {patience:g} s")

        asked = loop.time()
        timer = loop.call_later(patience, look)
        try:
            return await future
        finally:
            timer.cancel()

    async def _up(self) -> RedisLink:
        if self._closed:
            raise UnavailableError("the event system is closed", outcome=Outcome.NOT_DELIVERED)
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def _open(self) -> RedisLink:
        made = partial(RedisLink, lambda push: None, self._on_lost, self._settings.offline_buffer)
        link, _ = await self._server.connect(made, f"{self._name()}:work", self._settings.connect_timeout)
        return link

    def _opened(self, task: asyncio.Task[RedisLink]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is None and not task.result().lost:
            self._link = task.result()

    def _on_lost(self, why: str) -> None:
        self._link = None
