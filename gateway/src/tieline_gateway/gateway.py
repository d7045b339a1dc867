"""Everything that is connected to one gateway, and how it comes to rest."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

from tieline.events import EventSystem
from tieline.transport import Transport
from tieline_gateway.access.principal import ANYBODY, Principal
from tieline_gateway.everybody import Everybody
from tieline_gateway.feed import Feed
from tieline_gateway.links.flight import Given
from tieline_gateway.links.leases import Leases
from tieline_gateway.links.link import Link
from tieline_gateway.overview import Overview
from tieline_gateway.simple import SimpleCalls
from tieline_gateway.traffic import LiveCall, Traffic

if TYPE_CHECKING:
    from tieline_gateway.webhooks.webhooks import Webhooks

_LOOK_SECONDS = 0.02
_FAREWELL_SECONDS = 3.0
_MOST_PRINCIPALS = 1_000


class Gateway:
    """The Links, the subscribers and the simple calls of one broker.

    Args:
        transport: the way to the broker.
        events: the gateway's own place there, for all that is asked with plain stubs and over HTTP.
        embedded: the broker is this process, so nobody else can take over when it stops.

    """

    webhooks: Webhooks
    """Made where it is all put together."""

    def __init__(self, transport: Transport, events: EventSystem, *, embedded: bool) -> None:
        self.transport = transport
        self.events = events
        self.traffic = Traffic()
        self.simple = SimpleCalls(events._instance, self.traffic)
        self.everybody = Everybody(events)
        self.overview = Overview(self.traffic, events, lambda: len(self.live_calls()))
        self.draining = False
        self.leases = Leases()
        self._calls: OrderedDict[str, dict[bytes, Given]] = OrderedDict()
        self.refusing = False
        self.stopping = asyncio.Event()
        """Who only watches is to go."""
        self.over = asyncio.Event()
        """Everybody is to go: there is no time left."""
        self.embedded = embedded
        self._links: set[Link] = set()
        self._feeds: set[Feed] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether it takes work: the broker is there, and it is not about to stop."""
        return self.events.connected and not self.draining

    def calls_of(self, principal: str) -> dict[bytes, Given]:
        """Calls that Links of a principal were given which have just ended; the oldest are forgotten."""
        calls = self._calls.setdefault(principal, {})
        self._calls.move_to_end(principal)
        while len(self._calls) > _MOST_PRINCIPALS:
            self._calls.popitem(last=False)
        return calls

    def new_link(self, principal: Principal = ANYBODY) -> Link:
        """A Link that has just come; `gone` when it ends."""
        link = Link(self, principal)
        self._links.add(link)
        return link

    def new_feed(self) -> Feed:
        """A subscriber that has just come; `gone` when it ends."""
        feed = Feed(self.transport)
        self._feeds.add(feed)
        return feed

    def gone(self, guest: Link | Feed) -> None:
        """A stream has ended."""
        self._links.discard(guest)  # pyright: ignore[reportArgumentType]
        self._feeds.discard(guest)  # pyright: ignore[reportArgumentType]

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that outlives the stream it belongs to."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def say_farewell(self, seconds: float, patience: float) -> None:
        """Tell everybody to go elsewhere, and take calls for so long (seconds), until their callers have gone.

        Clients that are on their way to another gateway, on a busy machine, are waited for, so much longer at most.
        Nobody waits where there is no other gateway to go to.
        """
        self.draining = True
        self.stopping.set()
        for link in list(self._links):
            link.tell_drain()
        if not self.embedded:
            await asyncio.sleep(seconds)
            await _while(lambda: any(link.moving for link in self._links), patience)
            for link in list(self._links):
                link.leave()

    async def drain(self, seconds: float) -> None:
        """Take no new calls, let those under way finish, for so long at most, then end all streams."""
        self.draining = self.refusing = True
        await _while(self._busy, seconds)
        self.over.set()
        for guest in [*self._links, *self._feeds]:
            guest.end()
        await _while(lambda: bool(self._links or self._feeds), _FAREWELL_SECONDS)

    async def aclose(self) -> None:
        """Give up the instances of Links that have ended, then the broker."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        await self.events.aclose(0.0)

    def live_calls(self) -> list[LiveCall]:
        """Calls that are under way here, the newest first."""
        now = self.events.clock.now()
        known = itertools.chain(self.traffic.simple, *(link.down.flight.calls for link in self._links))
        return sorted((call for call in known if not call.until or call.until > now), key=_newest)

    def calls_of_links(self, told: Collection[str]) -> list[LiveCall]:
        """Calls that are under way of the Links of all instances but those that tell theirs themselves."""
        calls = (call for link in self._links for call in link.down.flight.calls)
        now = self.events.clock.now()
        silent = (call for call in calls if call.source.rpartition("/")[2] not in told)
        return [call for call in silent if not call.until or call.until > now]

    @property
    def guests(self) -> tuple[int, int]:
        """How many Links and how many subscribers there are."""
        return len(self._links), len(self._feeds)

    def _busy(self) -> bool:
        now = self.events.clock.now()
        return any(self.traffic.simple) or any(link.down.flight.busy(now) for link in self._links)


def _newest(call: LiveCall) -> float:
    return -call.began


async def _while(true: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while true() and time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
