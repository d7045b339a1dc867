"""What one instance told of how it stands, and what happened between two such answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from tieline.figures.histogram import NOTHING, Distribution

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Trips(msgspec.Struct):
    """Round trips of its calls, in the buckets of contract.toml."""

    sum_ms: float
    max_ms: float
    buckets: list[_Count]


class Standing(msgspec.Struct):
    """One answer; the counts are since the instance was made, at `since` (ms since 1970)."""

    instance: str
    since: int
    time: int
    published: _Count
    called: _Count
    failed: _Count
    in_flight: _Count
    handled: _Count
    handler_failed: _Count
    pending: _Count
    round_trip: Trips

    @property
    def trips(self) -> Distribution:
        """Its round trips, in seconds."""
        told = self.round_trip
        return Distribution(sum(told.buckets), told.sum_ms / 1000, told.max_ms / 1000, tuple(told.buckets))


class Rates(NamedTuple):
    """What happened, a second."""

    published: float
    called: float
    failed: float
    handled: float
    handler_failed: float


class Pace(NamedTuple):
    """What happened between two answers: rates, and the round trips of that time."""

    rates: Rates
    trips: Distribution


def together(paces: Sequence[Pace]) -> Rates:
    """The rates of several instances."""
    return Rates(*(sum(one.rates[at] for one in paces) for at in range(len(Rates._fields))))


def read_standing(told: Any) -> Standing | None:
    """An answer, or nothing if it is none that can be understood, as that of another version."""
    try:
        standing = msgspec.convert(told, Standing, strict=False)
    except msgspec.ValidationError:
        return None
    return standing if len(standing.round_trip.buckets) == len(NOTHING.buckets) else None


def pace(now: Standing, before: Standing | None, since: int | None) -> Pace | None:
    """What happened between two answers of an instance; of a new one since it was made, if that was after `since`."""
    if before is not None and before.since != now.since:
        before = None
    if before is None and (since is None or now.since < since):
        return None
    milliseconds = now.time - (now.since if before is None else before.time)
    if milliseconds <= 0:
        return None
    counted = (getattr(now, name) - (getattr(before, name) if before else 0) for name in Rates._fields)
    rates = Rates(*(max(0, count) * 1000 / milliseconds for count in counted))
    return Pace(rates, now.trips if before is None else _came(now.trips, before.trips))


def _came(now: Distribution, before: Distribution) -> Distribution:
    buckets = tuple(max(0, a - b) for a, b in zip(now.buckets, before.buckets, strict=True))
    return Distribution(sum(buckets), max(0.0, now.sum - before.sum), now.max, buckets)
