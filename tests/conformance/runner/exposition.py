"""What a peer shows Prometheus, compared with the figures that it told."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from tests.conformance._contract.peer_pb2 import Figures, Series
from tieline._contract.contract import METRICS

_PUBLISHED = {"events_published": "published"}
_MADE = {"call_round_trip_seconds": "round_trips"}
_HANDLED = {
    "events_pending": "pending",
    "events_delivered": "delivered",
    "events_failed": "failed",
    "events_expired": "expired",
    "events_cancelled": "cancelled",
    "events_dropped": "dropped",
    "event_queue_time_seconds": "queue_times",
    "event_handle_time_seconds": "handle_times",
}
_STORED = {
    "events_redelivered": "redelivered",
    "events_retried": "retried",
    "events_skipped": "skipped",
    "dead_letters": "dead_letters",
    "keys_parked": "parked_keys",
}

Sample = tuple[str, tuple[tuple[str, str], ...]]


def exposition_faults(told: Figures) -> Iterator[str]:
    """How what Prometheus reads of the topic differs from the figures; also if it cannot read it."""
    try:
        seen = dict(_read(told))
    except ValueError as error:
        yield f"Prometheus cannot read it: {error}"
        return
    expected = dict(sample for series in told.series for sample in _expected(told.topic, series))
    for sample in sorted(seen.keys() | expected.keys()):
        if seen.get(sample) != expected.get(sample):
            yield f"Prometheus reads {seen.get(sample)} as {sample}, told was {expected.get(sample)}"


def _read(told: Figures) -> Iterator[tuple[Sample, float]]:
    """All samples of the topic, of histograms how many durations they have."""
    for family in text_string_to_metric_families(told.exposition):
        for sample in family.samples:
            counts = family.type != "histogram" or sample.name.endswith("_count")
            if counts and sample.labels.get("topic") == told.topic:
                yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value


def _expected(topic: str, series: Series) -> Iterator[tuple[Sample, float]]:
    metrics = (_PUBLISHED if series.published else {}) | (_HANDLED if series.total else {})
    metrics |= _MADE if series.published and series.kind == "call" else {}
    metrics |= _STORED if series.total and series.kind == "durable" else {}
    labels = {"topic": topic, "group": series.group, "kind": series.kind}
    for name, figure in metrics.items():
        spec = METRICS[name]
        sample = spec.exposed + ("_count" if spec.type == "histogram" else "")
        yield (sample, tuple(sorted((label, labels[label]) for label in spec.labels))), getattr(series, figure)
