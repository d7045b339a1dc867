"""One Link after another to one of several gateways (SPEC.md, section 8).

Each is a new instance, on which everything is registered again. Where the gateway in use is about to stop and there are
others, the next Link begins before the old one ends, which then only brings what is under way there to its end
(`Moves`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tieline._contract import gateway_pb2 as wire
from tieline.clock import Clock
from tieline.envelope import error_from_wire
from tieline.errors import Outcome, OverloadedError, TielineError, UnavailableError
from tieline.settings import Settings
from tieline.transport import Interest
from tieline.transports.grpc_frames import register_of, unregister_of
from tieline.transports.grpc_link import ClientLink, LinkBrokenError
from tieline.transports.grpc_move import Moves
from tieline.transports.grpc_target import Target

_log = logging.getLogger("tieline.grpc")


class LinksUser(Protocol):
    """Who is told what comes over the Links, and what becomes of the one in use."""

    def handlers(self, link: ClientLink) -> Mapping[str, Callable[[Any], None]]:
        """What takes each item that comes over this Link, by its name."""
        ...

    def on_lost(self, since: int, reason: str) -> None:
        """The Link in use broke; nothing was heard since that moment (ms, broker clock)."""

    def on_moved(self, reason: str) -> None:
        """Another Link is about to be used before the old one has ended, and why."""

    def on_linked(self) -> None:
        """Another Link is in use than at the start."""


class Links:
    """The Link in use, and how there comes to be another one.

    Attributes:
        in_use: it; the last one, while there is none.
        former: the instance this process was on the one before.
        wanted: what is registered on each.
        moves: the Links beside it.

    """

    def __init__(
        self,
        targets: Sequence[Target],
        hello: wire.Hello,
        clock: Clock,
        settings: Settings,
        user: LinksUser,
        moves: Moves,
    ) -> None:
        self._targets = deque(random.sample(targets, len(targets)))
        self._hello = hello
        self._clock = clock
        self._settings = settings
        self._user = user
        self._up = asyncio.Event()
        self._closed = False
        self._running: asyncio.Task[None] | None = None
        self.moves = moves
        self.wanted: dict[Interest, None] = {}
        self.former = ""
        self.in_use = self._next_link()

    @property
    def up(self) -> bool:
        """Whether there is a Link; its gateway may be without a broker."""
        return self._up.is_set() and not self._closed

    @property
    def connected(self) -> bool:
        """Whether there is a Link to a gateway that has its broker."""
        return self.in_use.broker and self.up

    async def start(self) -> None:
        """Connect for the first time; errors as in `Transport.open`, of the last gateway where there are several."""
        for _ in range(len(self._targets) - 1):
            with contextlib.suppress(TielineError):
                await self.in_use.open(self._hello)
                break
            self.in_use = self._next_link()
        else:
            await self.in_use.open(self._hello)
        self._serve(self.in_use)
        self._up.set()
        self._running = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """End all of them. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self.in_use.aclose()
        self._up.set()  # whoever waits for the link learns that it is closed
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.moves.aclose()

    # --- the Link in use --------------------------------------------------------------------------------------------

    def refusal(self) -> TielineError | None:
        """Why nothing can be sent now."""
        if not self.connected:
            message = f"the gateway at {self.in_use.address} cannot be reached now; reconnecting"
            return UnavailableError(message, outcome=Outcome.NOT_DELIVERED)
        if self.in_use.outbox.full:
            message = f"the gateway at {self.in_use.address} does not keep up with what this process sends"
            return OverloadedError(message, retry_after=self._settings.retry_after)
        return None

    def require(self) -> ClientLink:
        """The Link, now.

        Raises:
            UnavailableError: there is none.
            OverloadedError: the gateway does not read what is sent to it.

        """
        if refusal := self.refusal():
            raise refusal
        return self.in_use

    async def until_up(self) -> None:
        """Return when there is a Link.

        Raises:
            UnavailableError: there will be none.

        """
        await self._up.wait()
        if self._closed:
            raise UnavailableError("the transport is closed", outcome=Outcome.NOT_DELIVERED)

    async def told(self, item: wire.ClientItem) -> bool:
        """Whether the gateway said `Done`, before the Link broke; raises the error it said."""
        try:
            done: wire.Done = await self.in_use.ask(item)
        except LinkBrokenError:
            return False
        if done.HasField("error"):
            raise error_from_wire(done.error)
        return True

    async def asked(self, item: wire.ClientItem) -> Any:
        """Ask the gateway something that changes nothing; raises the error it said."""
        try:
            answer = await self.require().ask(item)
        except LinkBrokenError:
            raise UnavailableError(
                "the link to the gateway broke while it was asked", outcome=Outcome.NOT_DELIVERED
            ) from None
        if answer.HasField("error"):
            raise error_from_wire(answer.error)
        return answer

    # --- one Link after another -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            link = self.in_use
            if await self._has_to_move(link):
                await self._move(link)
                continue
            reason = await link.ended()
            if self._closed:
                return
            self._lost(link, reason)
            await link.aclose()
            await self._reconnect()

    def _lost(self, link: ClientLink, reason: str) -> None:
        """The link in use broke: told once, before anybody learns it from a question that got no answer."""
        if link is self.in_use and self.up:
            self._up.clear()
            _log.warning("the link to %s broke (%s); reconnecting", link.address, reason)
            self._user.on_lost(self._clock.now() - int((time.monotonic() - link.seen) * 1000), reason)

    async def _reconnect(self) -> None:
        for attempt in itertools.count():
            await self._pause(attempt)
            if await self._link_next(self._use):
                return

    async def _pause(self, attempt: int) -> None:
        ceiling = min(self._settings.reconnect_max, self._settings.reconnect_min * 2 ** min(attempt, 16))
        await asyncio.sleep(random.uniform(0, ceiling))  # noqa: S311 - jitter is no secret

    async def _link_next(self, use: Callable[[ClientLink], None]) -> bool:
        """Link to the next gateway, which learns what is wanted of it, and have the link used; whether there is one."""
        link = self._next_link()
        self.moves.prepare(link)
        used = False
        try:
            await link.open(self._hello)
            self._serve(link)
            await self._register_everything(link)
            use(link)  # in the same turn: what is wanted has not changed
            used = True
        except (TielineError, LinkBrokenError) as error:
            _log.debug("still no link to %s: %r", link.address, error)
        finally:  # also where the port is closed meanwhile
            self.moves.settle()
            if not used:
                await link.aclose()
        return used

    def _next_link(self) -> ClientLink:
        """Where there are several gateways, to another one each time."""
        self._targets.rotate()
        return ClientLink(self._targets[0], self._clock, self._settings)

    def _serve(self, link: ClientLink) -> None:
        link.start(self._user.handlers(link), partial(self._lost, link))

    async def _register_everything(self, link: ClientLink) -> None:
        """Until the gateway knows what is wanted now, which may change meanwhile."""
        known: set[Interest] = set()
        while known != (wanted := set(self.wanted)):
            for changed, make in ((wanted - known, register_of), (known - wanted, unregister_of)):
                done = await link.ask(make(changed)) if changed else wire.Done()
                if done.HasField("error"):
                    raise error_from_wire(done.error)
            known = wanted

    def _use(self, link: ClientLink) -> None:
        self.former, self.in_use = self.in_use.instance, link
        self._up.set()
        self._user.on_linked()

    # --- from a gateway that is about to stop to another one --------------------------------------------------------

    async def _has_to_move(self, link: ClientLink) -> bool:
        """Wait until the link has ended, or its gateway is about to stop and there are others; whether the latter."""
        if len(self._targets) == 1:
            return False
        either = [asyncio.ensure_future(link.ended()), asyncio.ensure_future(link.drained.wait())]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in either:
                waiting.cancel()
        return link.drained.is_set() and not link.broken

    async def _move(self, old: ClientLink) -> None:
        """Begin at another gateway, and let the calls that are under way here come to their end here."""
        self.moves.begin(old)
        for attempt in itertools.count():
            if await self._link_next(partial(self._move_to, old)) or old.broken:
                break
            await self._pause(attempt)
        self.moves.end(old)
        if old.broken:
            await old.aclose()

    def _move_to(self, old: ClientLink, link: ClientLink) -> None:
        if not old.broken:
            self.moves.leave(old)
        self._user.on_moved(f"the gateway at {old.address} stopped")
        _log.info("moved from the gateway at %s to the one at %s", old.address, link.address)
        self._use(link)
