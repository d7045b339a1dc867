"""How the gateway and its broker are doing, second by second."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from tieline._contract.contract import ASK_TOPIC
from tieline.errors import TielineError
from tieline.events import EventSystem
from tieline.figures.histogram import Distribution
from tieline.schedules.schedules import ScheduleFigures
from tieline.transport import Place
from tieline_gateway.traffic import Traffic

SAMPLES = 60
"""Seconds that are remembered."""

_EVERY_SECONDS = 1.0
_LATENCY_SAMPLES = 10
_FRESH_SECONDS = 5.0
_LONGEST_SECONDS = 3.0
_MOST_LETTERS = 100


class Sample(NamedTuple):
    """One second of this gateway.

    Attributes:
        time: its end (ms since 1970, broker clock).
        published, called, failed: a second.
        p50, p99: round trips of the calls of the last ten seconds, in seconds; None if there were none.
        in_flight: calls that were under way at its end.

    """

    time: int
    published: float
    called: float
    failed: float
    p50: float | None
    p99: float | None
    in_flight: int


class Backlog(NamedTuple):
    """What waits at the broker, as it was a few seconds ago at most.

    Attributes:
        topics, groups: that durable events have.
        waiting, pending, parked: see `tieline.durable.groups.Group`, of all of them.
        oldest: seconds that the oldest of what waits is stored.
        dead_letters: of all topics, …
        more_dead_letters: … and there are more, as only the first hundred of each topic are counted.
        schedules: planned events.
        instances: services by the name of their instances, with this gateway.

    """

    topics: int
    groups: int
    waiting: int
    pending: int
    parked: int
    oldest: float
    dead_letters: int
    more_dead_letters: bool
    schedules: ScheduleFigures
    instances: dict[str, str]


class _Mark(NamedTuple):
    at: float
    published: int
    called: int
    failed: int
    trips: Distribution


class Overview:
    """Samples of the last minute, and what waits at the broker for whoever wants to see it."""

    def __init__(self, traffic: Traffic, events: EventSystem, in_flight: Callable[[], int]) -> None:
        self._traffic = traffic
        self._events = events
        self._in_flight = in_flight
        self.began = monotonic()
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._marks: deque[_Mark] = deque([self._mark()], maxlen=_LATENCY_SAMPLES + 1)
        self._ticked = asyncio.Condition()
        self._backlog: Backlog | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    async def sample(self, stopping: asyncio.Event) -> None:
        """Take a sample each second until it stops."""
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_SECONDS):
                    await stopping.wait()
            self._take()
            async with self._ticked:
                self._ticked.notify_all()

    async def next_sample(self) -> Sample:
        """Wait for the next one."""
        async with self._ticked:
            await self._ticked.wait()
        return self.samples[-1]

    async def backlog(self) -> Backlog | None:
        """What waits; None while the broker does not say."""
        async with self._asking:
            if self._backlog is None or monotonic() - self._asked_at > _FRESH_SECONDS:
                try:
                    async with asyncio.timeout(_LONGEST_SECONDS):
                        self._backlog = await _ask(self._events)
                except (TielineError, TimeoutError):
                    self._backlog = None
                self._asked_at = monotonic()
            return self._backlog

    def _take(self) -> None:
        last, first, now = self._marks[-1], self._marks[0], self._mark()
        self._marks.append(now)
        seconds = max(now.at - last.at, 0.001)
        trips = _since(now.trips, first.trips)
        self.samples.append(
            Sample(
                time=self._events.clock.now(),
                published=(now.published - last.published) / seconds,
                called=(now.called - last.called) / seconds,
                failed=(now.failed - last.failed) / seconds,
                p50=trips.p50 if trips.count else None,
                p99=trips.p99 if trips.count else None,
                in_flight=self._in_flight(),
            )
        )

    def _mark(self) -> _Mark:
        traffic = self._traffic
        return _Mark(monotonic(), traffic.published, traffic.called, traffic.failed, traffic.round_trips.read())


def _since(now: Distribution, before: Distribution) -> Distribution:
    """What has come to a distribution."""
    if not before.count:
        return now
    buckets = tuple(a - b for a, b in zip(now.buckets, before.buckets, strict=True))
    return Distribution(now.count - before.count, now.sum - before.sum, now.max, buckets)


async def _ask(events: EventSystem) -> Backlog:
    await events.start()
    topics = await events.groups.topics()
    groups = [group for topic in topics for group in await events.groups.list(topic)]
    letters = [len(await events.dead_letters.list(topic, limit=_MOST_LETTERS)) for topic in topics]
    port = events._instance.port
    places: list[Place] = [] if port is None else await port.responders(ASK_TOPIC)
    return Backlog(
        topics=len(topics),
        groups=len(groups),
        waiting=sum(group.waiting for group in groups),
        pending=sum(group.pending for group in groups),
        parked=sum(group.parked for group in groups),
        oldest=max((group.oldest_seconds or 0.0 for group in groups), default=0.0),
        dead_letters=sum(letters),
        more_dead_letters=_MOST_LETTERS in letters,
        schedules=await events.schedules.figures(),
        instances={place.instance: place.service for place in places},
    )
