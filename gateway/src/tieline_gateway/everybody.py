"""How all instances stand, whoever they are connected to: asked for while somebody looks, and only then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tieline.calls.gather import Responder
from tieline.calls.surveyor import Surveyor
from tieline.errors import TielineError
from tieline.events import EventSystem
from tieline.figures.histogram import Distribution, joined
from tieline_gateway.standing import Rates, Standing, pace, read_standing, together

SAMPLES = 60
"""That are remembered."""

_EVERY_SECONDS = 2.0
_FIRST_SECONDS = 0.5
_INSTANCES_A_SECOND = 50
_TTL_SECONDS = 2.0
_LATENCY_SAMPLES = 5
_MOST_NAMED = 20


class SystemSample(NamedTuple):
    """All instances at one moment.

    Attributes:
        time: when they had answered (ms since 1970, broker clock).
        instances: that are there, …
        answered: … and told their figures.
        silent: some of those that did not, as `service/instance`.
        rates: what happened a second, since the sample before; None for the first one.
        p50, p99: round trips of the calls of the last ten seconds, in seconds; None if there were none.
        in_flight: calls under way.
        pending: what handlers have, and what waits for them in their processes.

    """

    time: int
    instances: int
    answered: int
    silent: list[str]
    rates: Rates | None
    p50: float | None
    p99: float | None
    in_flight: int
    pending: int


class SystemCalls(NamedTuple):
    """Calls that are under way anywhere: what was told of them, the oldest of each instance first."""

    calls: list[dict[str, Any]]
    total: int
    instances: int
    answered: frozenset[str]


class Everybody:
    """Asks all instances every few seconds for as long as somebody watches, however many do."""

    def __init__(self, events: EventSystem) -> None:
        self._events = events
        self._surveyor = Surveyor(events._instance)
        self._watchers = 0
        self._asking: asyncio.Task[None] | None = None
        self._known: dict[str, Standing] = {}
        self._trips: deque[Distribution] = deque(maxlen=_LATENCY_SAMPLES)
        self.samples: deque[SystemSample] = deque(maxlen=SAMPLES)

    @contextmanager
    def watched(self) -> Generator[None]:
        """Somebody looks for as long as this lasts."""
        self._watchers += 1
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_on())
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._rest()

    async def calls(self, most: int, ttl: float) -> SystemCalls:
        """Ask everybody which calls are under way, so many of each at most.

        Raises:
            TielineError: the broker is away.

        """
        told, silent = await self._surveyor.standing({"calls": most}, ttl)
        known = [one for one in told if isinstance(one.get("calls"), list)]
        calls = [call for one in known for call in one["calls"] if isinstance(call, dict)]
        total = sum(one["total"] for one in known if isinstance(one.get("total"), int))
        answered = frozenset(str(one.get("instance")) for one in known)
        return SystemCalls(calls, total, len(told) + len(silent), answered)

    async def _ask_on(self) -> None:
        while True:
            try:
                instances = await self._ask()
            except TielineError:
                instances = 0
                self._forget()
            rest = _EVERY_SECONDS if len(self.samples) > 1 else _FIRST_SECONDS  # rates take two samples
            await asyncio.sleep(max(rest, instances / _INSTANCES_A_SECOND))

    def _rest(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._forget()

    def _forget(self) -> None:
        self._known = {}
        self._trips.clear()
        self.samples.clear()

    async def _ask(self) -> int:
        told, silent = await self._surveyor.standing({"figures": True}, _TTL_SECONDS)
        now = [standing for one in told if (standing := read_standing(one)) is not None]
        before = self._known
        late = {one.instance: before[one.instance] for one in silent if one.instance in before}
        self._known = late | {one.instance: one for one in now}
        self._take(now, before, len(told) + len(silent), silent)
        return len(told) + len(silent)

    def _take(self, now: list[Standing], before: dict[str, Standing], there: int, silent: list[Responder]) -> None:
        since = self.samples[-1].time if self.samples else None
        paces = [found for one in now if (found := pace(one, before.get(one.instance), since)) is not None]
        self._trips.append(joined(one.trips for one in paces))
        trips = joined(self._trips)
        self.samples.append(
            SystemSample(
                time=self._events.clock.now(),
                instances=there,
                answered=len(now),
                silent=[f"{one.service}/{one.instance}" for one in silent[:_MOST_NAMED]],
                rates=None if since is None else together(paces),
                p50=trips.p50 if trips.count else None,
                p99=trips.p99 if trips.count else None,
                in_flight=sum(one.in_flight for one in now),
                pending=sum(one.pending for one in now),
            )
        )
