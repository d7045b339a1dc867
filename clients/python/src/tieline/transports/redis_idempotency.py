"""What was handled, on a Redis that all processes share."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from tieline import topics
from tieline._contract import contract, scripts
from tieline.durable.idempotency import DEFAULT_WINDOW, Handling, Standing, check_window
from tieline.settings import Settings
from tieline.transports.redis_link import LinkDownError, ReplyError, pack
from tieline.transports.redis_server import RedisServer, command_error
from tieline.transports.redis_work import WorkLink

_DONE = b"done"


class RedisIdempotencyStore:
    """Remembers on Redis: a key for each event, with an expiry; its value is the owner, or says that it is done.

    Args:
        url: `redis://`, `rediss://` or `unix://`; it need not be the broker.
        window: seconds for which an event that was handled is remembered.
        namespace: separates installations on one server.

    """

    def __init__(self, url: str, window: float = DEFAULT_WINDOW, namespace: str = "") -> None:
        if namespace:
            topics.check_group(namespace)
        self._server = RedisServer(url)
        database = self._server.database
        self._prefix = "tl:" if not namespace and not database else f"tl:{namespace}@{database}:"
        self._window = check_window(window)
        self._links: WeakKeyDictionary[asyncio.AbstractEventLoop, WorkLink] = WeakKeyDictionary()

    async def begin(self, handling: Handling, owner: str, lease: float) -> Standing:
        """See `IdempotencyStore.begin`."""
        milliseconds, key = int(lease * 1000), self._key(handling)
        holder = await self._call("SET", key, owner, "NX", "GET", "PX", milliseconds)
        if holder is None:
            return Standing.BEGUN
        if holder == _DONE:
            return Standing.DONE
        if holder != owner.encode():
            return Standing.BUSY
        await self._call("PEXPIRE", key, milliseconds)
        return Standing.BEGUN

    async def done(self, handling: Handling) -> None:
        """See `IdempotencyStore.done`."""
        await self._call("SET", self._key(handling), _DONE, "PX", int(self._window * 1000))

    async def give_up(self, handling: Handling, owner: str) -> None:
        """See `IdempotencyStore.give_up`."""
        names = scripts.give_up_names(self._prefix, handling.topic, handling.group, handling.id)
        try:
            await self._link().run(scripts.GIVE_UP, names, [owner.encode()])
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None

    async def aclose(self) -> None:
        """Close the connection of this event loop. Idempotent."""
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link is not None:
            link.close()

    def _key(self, handling: Handling) -> str:
        return contract.handling_key(self._prefix, handling.topic, handling.group, handling.id)

    async def _call(self, *command: str | bytes | int) -> Any:
        try:
            return await self._link().call(pack(*command))
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None

    def _link(self) -> WorkLink:
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = WorkLink(self._server, Settings(), lambda: "tieline:idempotency")
        return link
