"""What an instance counts while it works; `metrics.py` is what it tells of that. Rules: SPEC.md, section 13.

The hot path adds to plain numbers. A call that a handler here answers in its first step is a single entry of
`Series.prompt`, from which everything else that there is to know of it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tieline._contract import contract
from tieline._contract.contract import ASK_TOPIC
from tieline.figures.histogram import Histogram
from tieline.observe import StepName

if TYPE_CHECKING:
    from tieline.subscription import Subscription

OTHER: Final = "(other)"
"""The topic or group of what has no figures of its own, as there were too many before; no topic has such a name."""

COUNTERS: Final = tuple(n for n, spec in contract.METRICS.items() if spec.type == "counter" and not spec.labels)
"""Counters without labels. A new one is a line in contract.toml, and `tally.count(name)` where it happens."""

_OF_STEP = {
    StepName.RETRIED: "calls_retried",
    StepName.JOINED: "calls_joined",
    StepName.DEDUPLICATED: "calls_deduplicated",
    StepName.REDRIVEN: "events_redriven",
}


class Kind(StrEnum):
    """What is told apart: live events, calls, durable events."""

    LIVE = "live"
    CALL = "call"
    DURABLE = "durable"


LIVE, CALL, DURABLE = Kind


class Series:
    """The counters of one topic, group and kind. What is published is counted under the empty group."""

    __slots__ = (
        "cancelled",
        "dead",
        "dropped",
        "expired",
        "failed",
        "group",
        "handle",
        "kind",
        "parked",
        "prompt",
        "published",
        "queue",
        "redelivered",
        "retried",
        "skipped",
        "topic",
        "trip",
        "unwaited",
    )

    def __init__(self, topic: str = "", group: str = "", kind: Kind = LIVE) -> None:
        self.topic = topic
        self.group = group
        self.kind = kind
        self.published = self.failed = self.expired = self.cancelled = self.dropped = 0
        self.redelivered = self.retried = self.skipped = self.unwaited = self.dead = self.parked = 0
        self.prompt = Histogram()
        self.queue = Histogram()
        self.handle = Histogram()
        self.trip = Histogram()

    def ended(self, queued: float | None, seconds: float) -> None:
        """A handler has ended: its event waited for so long, and it took so long (s). No waiting costs nothing.

        Without `queued`, how long it waited says nothing, as it came once more.
        """
        if queued is None:
            self.unwaited += 1
        elif queued > 0.0:
            self.queue.record(queued)
        self.handle.record(seconds)


NOWHERE: Final = Series()
"""Where what nobody asks for is counted: the system's own calls, and what observers see."""


class Tally:
    """All figures of one instance, in bounds: what has no room is counted under `OTHER`.

    `gauges` are asked when somebody reads: a part that knows a figure of its own puts a function there, under the name
    of a gauge without labels in contract.toml. `since` is when it began (ms since 1970).
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.errors: dict[str, int] = {}
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.gauges: dict[str, Callable[[], float]] = {"start_time_seconds": lambda: since / 1000}
        self._live: dict[str, Series] = {}
        self._calls: dict[str, Series] = {ASK_TOPIC: NOWHERE}
        self._durable: dict[str, Series] = {}
        self._all: dict[tuple[str, str, Kind], Series] = {}
        self._topics: set[str] = set()
        self._groups: set[tuple[str, str]] = set()

    def __iter__(self) -> Iterator[Series]:
        return iter(list(self._all.values()))

    def live(self, topic: str) -> Series:
        """Where the live events of a topic are counted that are published."""
        series = self._live.get(topic)
        return series if series is not None else self._remembered(self._live, topic, LIVE)

    def calls(self, topic: str) -> Series:
        """Where the calls of a topic are counted that are made."""
        series = self._calls.get(topic)
        return series if series is not None else self._remembered(self._calls, topic, CALL)

    def durable(self, topic: str) -> Series:
        """Where the durable events of a topic are counted that are published."""
        series = self._durable.get(topic)
        return series if series is not None else self._remembered(self._durable, topic, DURABLE)

    def series(self, topic: str, group: str, kind: Kind) -> Series:
        """Where a topic is counted in a group; the empty one is that of whoever has none."""
        series = self._all.get((topic, group, kind))
        if series is None:
            named = *self._within_bounds(topic, group), kind
            series = self._all.get(named)
            if series is None:
                series = self._all[named] = Series(*named)
        return series

    def adopt(self, subscription: Subscription) -> None:
        """Count what a subscription handles; that of a pattern, by the topic of each event."""
        topic, group = subscription.topic, subscription.group
        if subscription.is_pattern and not subscription.observe:
            subscription.events = None
        elif not (subscription.observe or subscription.internal or subscription.durability is not None):
            subscription.events = self.series(topic, group, LIVE)
            subscription.calls = self.series(topic, group, CALL)

    def count(self, name: str, times: int = 1) -> None:
        """Something happened that has no topic; the name is that of a counter in contract.toml."""
        self.counters[name] += times

    def step(self, name: StepName) -> None:
        """An envelope took a step that most do not take."""
        counter = _OF_STEP.get(name)
        if counter is not None:
            self.counters[counter] += 1

    def call_failed(self, topic: str, code: str) -> None:
        """A call failed."""
        if topic != ASK_TOPIC:
            self.errors[code] = self.errors.get(code, 0) + 1

    def _remembered(self, known: dict[str, Series], topic: str, kind: Kind) -> Series:
        series = self.series(topic, "", kind)
        if series.topic == topic:
            known[topic] = series
        return series

    def _within_bounds(self, topic: str, group: str) -> tuple[str, str]:
        if topic not in self._topics:
            if len(self._topics) >= contract.LIMIT_METRIC_TOPICS:
                topic = OTHER
            else:
                self._topics.add(topic)
        if group and (topic, group) not in self._groups:
            if len(self._groups) >= contract.LIMIT_METRIC_GROUPS:
                group = OTHER
            else:
                self._groups.add((topic, group))
        return topic, group
