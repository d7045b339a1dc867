"""Remembering which durable events were handled, so that none is handled twice. Rules: SPEC.md, section 14."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tieline._contract import contract
from tieline.envelope import new_instance
from tieline.errors import InvalidArgumentError, TielineError

if TYPE_CHECKING:
    from tieline.durable.lease import Lease

log = logging.getLogger("tieline")

DEFAULT_WINDOW = contract.DEFAULT_IDEMPOTENCY_WINDOW_MS / 1000
"""Seconds for which a store remembers that an event was handled."""

_LOOK_SECONDS = 0.25


class Handling(NamedTuple):
    """An event in a subscription group."""

    group: str
    topic: str
    id: str


class Standing(StrEnum):
    """How far the handling of an event is.

    BEGUN: it is the asker's to do; BUSY: somebody else is at it; DONE: it is handled.
    """

    BEGUN = "begun"
    BUSY = "busy"
    DONE = "done"


class IdempotencyStore(Protocol):
    """Remembers what is being handled and what was. One store may serve any number of subscriptions.

    Errors of its own are told as UnavailableError; the event waits for the store then.
    """

    async def begin(self, handling: Handling, owner: str, lease: float) -> Standing:
        """Begin to handle an event, for so many seconds, if nobody else does and it is not done.

        The same owner may begin again, and has so many seconds from then on.
        """
        ...

    async def done(self, handling: Handling) -> None:
        """It is handled; that is remembered for as long as the store was told to."""
        ...

    async def give_up(self, handling: Handling, owner: str) -> None:
        """It failed: anybody may begin at once, if it is still this owner's."""
        ...


class MemoryIdempotencyStore:
    """Remembers within this process: for tests, and against events that come twice while it lives."""

    def __init__(self, window: float = DEFAULT_WINDOW, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._window = check_window(window)
        self._monotonic = monotonic
        self._known: dict[Handling, tuple[str, float]] = {}
        self._sweep_at = 1_000

    async def begin(self, handling: Handling, owner: str, lease: float) -> Standing:
        """See `IdempotencyStore.begin`."""
        now = self._monotonic()
        holder, until = self._known.get(handling, ("", 0.0))
        if until > now and holder != owner:
            return Standing.BUSY if holder else Standing.DONE
        self._keep(handling, owner, now + lease)
        return Standing.BEGUN

    async def done(self, handling: Handling) -> None:
        """See `IdempotencyStore.done`."""
        self._keep(handling, "", self._monotonic() + self._window)

    async def give_up(self, handling: Handling, owner: str) -> None:
        """See `IdempotencyStore.give_up`."""
        if self._known.get(handling, ("", 0.0))[0] == owner:
            del self._known[handling]

    def _keep(self, handling: Handling, owner: str, until: float) -> None:
        self._known[handling] = (owner, until)
        if len(self._known) >= self._sweep_at:
            now = self._monotonic()
            self._known = {known: (holder, end) for known, (holder, end) in self._known.items() if end > now}
            self._sweep_at = max(1_000, 2 * len(self._known))


def check_window(seconds: float) -> float:
    """The window of a store, if it can be one.

    Raises:
        InvalidArgumentError: it is no number of seconds above 0, up to a year.

    """
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not (number and 0.001 <= seconds <= 366 * 86_400):
        raise InvalidArgumentError(f"the window is in seconds, up to a year, not {seconds!r:.80}")
    return float(seconds)


class Once:
    """Sees to it that one event is handled only if the store says so."""

    def __init__(self, store: IdempotencyStore, lease: Lease, id: str) -> None:
        consumer = lease.consumer
        self._store = store
        self._lease = lease
        self._consumer = consumer
        self._handling = Handling(consumer.policy.group, consumer.topic, id)
        self._owner = new_instance()
        self._renewing: asyncio.Task[None] | None = None

    async def begin(self) -> bool:
        """Wait until nobody else is at it; returns false if it is handled."""
        try:
            while not self._lease.stopping:
                standing = await self._ask()
                if standing is Standing.DONE:
                    return False
                if standing is Standing.BEGUN:
                    self._renewing = asyncio.get_running_loop().create_task(self._renew())
                    return True
                await self._consumer.clock.sleep(_LOOK_SECONDS)
            raise asyncio.CancelledError  # nothing has failed
        except asyncio.CancelledError:
            self.drop()
            raise

    async def end(self, *, done: bool) -> None:
        """Say what came of it. If the store does not hear it, the worst is that the event is handled again."""
        self._stop()
        try:
            if done:
                await self._store.done(self._handling)
            else:
                await self._store.give_up(self._handling, self._owner)
        except TielineError as error:
            log.error("the idempotency store was not told of an event of %r: %s", self._consumer.topic, error)

    def drop(self) -> None:
        """It was interrupted."""
        self._stop()
        self._consumer.spawn(self.end(done=False))

    def _stop(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()

    async def _ask(self) -> Standing:
        try:
            standing = Standing(await self._store.begin(self._handling, self._owner, self._consumer.lease_seconds))
        except TielineError as error:
            self._consumer.store_trouble.told(error)
            return Standing.BUSY
        self._consumer.store_trouble.over()
        return standing

    async def _renew(self) -> None:
        while True:
            await self._consumer.clock.sleep(self._consumer.lease_seconds / 3)
            await self._ask()
