"""What an event system has published, called and handled: `events.metrics()`. Rules: SPEC.md, section 13."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from tieline.figures.histogram import NOTHING, Distribution, joined
from tieline.figures.tally import CALL, LIVE, Kind, Series, Tally
from tieline.subscription import Subscription

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counted since the start. What handlers get is counted for each of them: an event for two handlers counts twice.

    Attributes:
        published_events: events published, calls made and events stored by this instance; each try of a call is one.
        pending_events: what handlers here have now, and what waits here for them.
        delivered_events: what handlers here have ended, whether they succeeded or failed.
        failed_events: those of them that raised, or whose payload did not fit the handler.
        expired_events: what expired before a handler could begin.
        cancelled_events: what was stopped: the caller gave up, or the instance closed.
        dropped_events: live events that gave way to newer ones.
        redelivered_events: deliveries of durable events that had failed before.
        retried_events: failed deliveries of durable events that are to be tried again.
        skipped_events: durable events that failed for the last time and were skipped.
        dead_letters: durable events that became dead letters.
        parked_keys: keys that stopped.
        queue_time: from the publish to the begin of the handler, to the millisecond, by the broker's clock; 0 for what
            a handler in the same process gets at once. A durable event counts when it is handled for the first time.
        handle_time: from the begin of a handler to its end.
        round_trip: from a call to its reply; calls that failed and streams do not count.

    """

    published_events: int = 0
    pending_events: int = 0
    delivered_events: int = 0
    failed_events: int = 0
    expired_events: int = 0
    cancelled_events: int = 0
    dropped_events: int = 0
    redelivered_events: int = 0
    retried_events: int = 0
    skipped_events: int = 0
    dead_letters: int = 0
    parked_keys: int = 0
    queue_time: Distribution = NOTHING
    handle_time: Distribution = NOTHING
    round_trip: Distribution = NOTHING

    @property
    def total_events(self) -> int:
        """What came to handlers here."""
        ended = self.delivered_events + self.expired_events + self.cancelled_events + self.dropped_events
        return self.pending_events + ended

    @property
    def success_events(self) -> int:
        """What handlers here ended without an error."""
        return self.delivered_events - self.failed_events

    @property
    def average_latency(self) -> float:
        """How long a handler takes, in seconds; 0 if none has ended."""
        return self.handle_time.average


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMetrics(Figures):
    """The figures of a group of a topic; how far a durable group is as a whole is said by `events.groups`."""

    topic: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesMetrics(GroupMetrics):
    """The figures of one kind ("live", "call", "durable") in a group; the group is empty for whoever has none."""

    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Figures):
    """What one instance has counted since it was made; a value that does not change.

    Attributes:
        since: when it was made.
        topics: figures by topic; beyond 1,000 topics, the rest is under "(other)".
        groups: figures of each group of a topic.
        live: figures of live events.
        calls: figures of calls.
        durable: figures of durable events.
        errors: calls of this instance that failed, by the code of the error.
        counters: what else was counted, by the names in docs/metrics.md.
        gauges: what else is so now, by the names there.
        series: what all of this was added up from.

    """

    since: datetime
    topics: Mapping[str, Figures]
    groups: tuple[GroupMetrics, ...]
    live: Figures
    calls: Figures
    durable: Figures
    errors: Mapping[str, int]
    counters: Mapping[str, int]
    gauges: Mapping[str, float]
    series: tuple[SeriesMetrics, ...]


def metrics_of(tally: Tally, subscriptions: Iterable[Subscription]) -> Metrics:
    """What was counted, and what these subscriptions have now."""
    series = _series(tally, _pending(tally, subscriptions))
    kinds = {kind: _sum(one for one in series if one.kind is kind) for kind in Kind}
    named = dict.fromkeys((one.topic, one.group) for one in series if one.group)
    in_groups = _by(series, lambda one: (one.topic, one.group))
    topics = {topic: _sum(found) for topic, found in _by(series, lambda one: one.topic).items()}
    return Metrics(
        **_values(_sum(kinds.values())),
        since=datetime.fromtimestamp(tally.since / 1000, UTC),
        topics=MappingProxyType(topics),
        groups=tuple(GroupMetrics(**_values(_sum(in_groups[at])), topic=at[0], group=at[1]) for at in named),
        live=kinds[Kind.LIVE],
        calls=kinds[Kind.CALL],
        durable=kinds[Kind.DURABLE],
        errors=MappingProxyType(dict(tally.errors)),
        counters=MappingProxyType(dict(tally.counters)),
        gauges=MappingProxyType({name: float(ask()) for name, ask in tally.gauges.items()}),
        series=series,
    )


def _pending(tally: Tally, subscriptions: Iterable[Subscription]) -> Counter[Series]:
    found: Counter[Series] = Counter()
    for subscription in subscriptions:
        if subscription.consumer is not None:
            found[subscription.consumer.series] += subscription.consumer.handling
        elif not (subscription.internal or subscription.observe):
            collected = ((delivery, True) for delivery in subscription.collected())
            for delivery, _ in (*subscription.at_work(), *collected):
                kind = LIVE if delivery.is_event else CALL
                found[tally.series(delivery.event.topic, subscription.group, kind)] += 1
    return found


def _series(tally: Tally, pending: Counter[Series]) -> tuple[SeriesMetrics, ...]:
    """What happened at all. Calls that were answered here at once were made here, too, by whoever has no group."""
    made: dict[Series, list[Distribution]] = {}
    for series in tally:
        prompt = series.prompt.read()
        if prompt.count:
            made.setdefault(tally.calls(series.topic), []).append(prompt)
    found = [_read(series, pending[series], made.get(series, [])) for series in tally]
    return tuple(one for one in found if one.published_events or one.total_events)


def _read(series: Series, pending: int, made: list[Distribution]) -> SeriesMetrics:
    handle = joined((series.handle.read(), series.prompt.read()))
    waited = series.queue.read()
    at_once = max(0, handle.count - series.unwaited - waited.count)
    return SeriesMetrics(
        topic=series.topic,
        group=series.group,
        kind=series.kind,
        published_events=series.published + sum(one.count for one in made),
        pending_events=pending,
        delivered_events=handle.count,
        failed_events=series.failed,
        expired_events=series.expired,
        cancelled_events=series.cancelled,
        dropped_events=series.dropped,
        redelivered_events=series.redelivered,
        retried_events=series.retried,
        skipped_events=series.skipped,
        dead_letters=series.dead,
        parked_keys=series.parked,
        queue_time=waited.with_zeros(at_once),
        handle_time=handle,
        round_trip=joined((series.trip.read(), *made)),
    )


_NUMBERS = tuple(field.name for field in fields(Figures) if field.type == "int")
_DURATIONS = tuple(field.name for field in fields(Figures) if field.type == "Distribution")


def _values(figures: Figures) -> dict[str, Any]:
    return {name: getattr(figures, name) for name in (*_NUMBERS, *_DURATIONS)}


def _sum(parts: Iterable[Figures]) -> Figures:
    found = list(parts)
    added: dict[str, Any] = {name: sum(getattr(one, name) for one in found) for name in _NUMBERS}
    added |= {name: joined(getattr(one, name) for one in found) for name in _DURATIONS}
    return Figures(**added)


def _by(series: Iterable[SeriesMetrics], key: Callable[[SeriesMetrics], K]) -> dict[K, list[SeriesMetrics]]:
    found: dict[K, list[SeriesMetrics]] = {}
    for one in series:
        found.setdefault(key(one), []).append(one)
    return found
