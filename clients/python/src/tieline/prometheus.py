"""Figures as Prometheus reads them: its text format, version 0.0.4.

It is written here, not by a client library of Prometheus: those count by themselves, in a registry of the process, and
a program that has one already serves ours beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tieline._contract.contract import DURATION_BOUNDS_NS, DURATION_SHOWN_NS, METRICS, MetricSpec
from tieline.durable.groups import Group
from tieline.figures.histogram import Distribution
from tieline.figures.metrics import Metrics, SeriesMetrics
from tieline.figures.tally import DURABLE, Kind
from tieline.schedules.agenda import ScheduleStatus
from tieline.schedules.schedules import ScheduleFigures

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What an HTTP answer says it is."""

_SHOWN = tuple((f"{bound / 1e9:g}", DURATION_BOUNDS_NS.index(bound)) for bound in DURATION_SHOWN_NS)

_OF_SERIES: Final[dict[str, str]] = {
    "events_published": "published_events",
    "events_pending": "pending_events",
    "events_delivered": "delivered_events",
    "events_failed": "failed_events",
    "events_expired": "expired_events",
    "events_cancelled": "cancelled_events",
    "events_dropped": "dropped_events",
    "events_redelivered": "redelivered_events",
    "events_retried": "retried_events",
    "events_skipped": "skipped_events",
    "dead_letters": "dead_letters",
    "keys_parked": "parked_keys",
    "event_queue_time_seconds": "queue_time",
    "event_handle_time_seconds": "handle_time",
    "call_round_trip_seconds": "round_trip",
}
_OF_GROUP: Final[dict[str, Callable[[Group], float]]] = {
    "group_keys": lambda group: group.keys,
    "group_waiting": lambda group: group.waiting,
    "group_pending": lambda group: group.pending,
    "group_parked": lambda group: group.parked,
    "group_oldest_seconds": lambda group: group.oldest_seconds or 0.0,
}

_Sample = tuple[Mapping[str, str], Any]


def exposition(metrics: Metrics, groups: Iterable[Group] = (), schedules: ScheduleFigures | None = None) -> str:
    """Figures in Prometheus's text format, with those of durable groups and of planned events, if they are given."""
    asked = list(groups)
    lines: list[str] = []
    for name, spec in METRICS.items():
        samples = list(_of_schedules(schedules) if name == "schedules" else _samples(name, spec, metrics, asked))
        if samples:
            lines += [f"# HELP {spec.exposed} {_escaped(spec.help)}", f"# TYPE {spec.exposed} {spec.type}"]
            lines += [line for labels, value in samples for line in _lines(spec.exposed, labels, value)]
    return "".join(f"{line}\n" for line in lines)


def _samples(name: str, spec: MetricSpec, metrics: Metrics, groups: Sequence[Group]) -> Iterator[_Sample]:
    if name in _OF_SERIES:
        for one in metrics.series:
            if _has(name, one):
                yield {label: getattr(one, label) for label in spec.labels}, getattr(one, _OF_SERIES[name])
    elif name in _OF_GROUP:
        for group in groups:
            yield {"topic": group.topic, "group": group.name}, _OF_GROUP[name](group)
    elif name == "call_errors":
        for code, count in metrics.errors.items():
            yield {"code": code}, count
    else:
        known = metrics.counters if spec.type == "counter" else metrics.gauges
        if name in known:
            yield {}, known[name]


def _of_schedules(schedules: ScheduleFigures | None) -> Iterator[_Sample]:
    if schedules is not None:
        for status in ScheduleStatus:
            yield {"status": status.value}, getattr(schedules, status.value)


def _has(name: str, one: SeriesMetrics) -> bool:
    """Whether a metric says something of a series: of publishers or of handlers, of durable events, of calls."""
    if name == "events_published":
        return bool(one.published_events)
    if name == "call_round_trip_seconds":
        return one.kind is Kind.CALL and bool(one.published_events)
    if "kind" not in METRICS[name].labels and one.kind is not DURABLE:
        return False
    return bool(one.total_events)


def _lines(name: str, labels: Mapping[str, str], value: Any) -> Iterator[str]:
    if not isinstance(value, Distribution):
        yield f"{name}{_braced(labels)} {int(value) if value == int(value) else value!r}"
        return
    below = value.cumulative()
    for shown, at in _SHOWN:
        yield f"{name}_bucket{_braced({**labels, 'le': shown})} {below[at]}"
    yield f"{name}_bucket{_braced({**labels, 'le': '+Inf'})} {value.count}"
    yield f"{name}_sum{_braced(labels)} {value.sum!r}"
    yield f"{name}_count{_braced(labels)} {value.count}"


def _braced(labels: Mapping[str, str]) -> str:
    listed = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{listed}}}" if listed else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
