"""How an instance stands when it is asked: what it counted, and its calls under way (SPEC.md, section 13)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from tieline._contract.contract import ASK_TOPIC
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import Call
from tieline.calls.local_call import LocalCall
from tieline.errors import InvalidArgumentError
from tieline.figures.histogram import Distribution, joined
from tieline.figures.tally import Series, Tally
from tieline.subscription import Subscription

MOST_CALLS = 1_000
"""Told in one answer."""


def figures(tally: Tally, subscriptions: Iterable[Subscription], in_flight: int) -> dict[str, Any]:
    """Sums over all topics since the instance was made; cheaper than `metrics_of`, as nothing is told apart."""
    series = list(tally)
    trips = joined(each.read() for one in series for each in (one.trip, one.prompt))
    return {
        "since": tally.since,
        "published": sum(one.published for one in series if one.kind != "call"),
        "called": sum(_called(one) for one in series if one.kind == "call"),
        "failed": sum(tally.errors.values()),
        "in_flight": in_flight,
        "handled": sum(one.handle.read().count + one.prompt.read().count for one in series),
        "handler_failed": sum(one.failed for one in series),
        "pending": sum(one.under_way for one in subscriptions if not (one.internal or one.observe)),
        "round_trip": _told(trips),
    }


def calls(remote: Iterable[Call], subscriptions: Iterable[Subscription], most: Any) -> dict[str, Any]:
    """The oldest calls that are under way, so many at most, and how many there are.

    Raises:
        InvalidArgumentError: that is no number of calls.

    """
    if isinstance(most, bool) or not isinstance(most, int) or not 0 < most <= MOST_CALLS:
        raise InvalidArgumentError(f"calls is how many are told at most, from 1 to {MOST_CALLS:,}, not {most!r}")
    out = [call for call in remote if call.topic != ASK_TOPIC]
    here = list(_local(subscriptions))
    oldest = heapq.nsmallest(most, out, key=lambda call: call.began)
    told = [_call(call.envelope, call.instance, accepted=call.accepted) for call in oldest]
    told += [_call(envelope, "", accepted=True) for envelope in here]
    return {"calls": sorted(told, key=lambda one: one["since"])[:most], "total": len(out) + len(here)}


def in_flight(remote: Iterable[Call], subscriptions: Iterable[Subscription]) -> int:
    """How many calls are under way, those that ask instances about themselves aside."""
    return sum(call.topic != ASK_TOPIC for call in remote) + sum(1 for _ in _local(subscriptions))


def _local(subscriptions: Iterable[Subscription]) -> Iterator[Envelope]:
    """Calls that a handler of this process has."""
    for subscription in subscriptions:
        if not subscription.internal:
            for delivery, _ in subscription.at_work():
                if isinstance(delivery.outlet, LocalCall) and not delivery.outlet.done:
                    yield delivery.event.envelope


def _call(request: Envelope, instance: str, *, accepted: bool) -> dict[str, Any]:
    return {
        "correlation_id": request.correlation_id or request.id,
        "topic": request.topic,
        "source": request.source,
        "since": request.time,
        "until": request.expires_at,
        "responder": instance,
        "accepted": accepted,
    }


def _called(series: Series) -> int:
    """Calls that a handler here answered in its first step were made here, too."""
    return series.published + series.prompt.read().count


def _told(durations: Distribution) -> dict[str, Any]:
    return {"sum_ms": durations.sum * 1000, "max_ms": durations.max * 1000, "buckets": list(durations.buckets)}
