"""Durations, counted together where they are about equal: exact sums, and percentiles to about a tenth."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tieline._contract.contract import DURATION_BOUNDS_NS

BOUNDS: Final = tuple(bound / 1e9 for bound in DURATION_BOUNDS_NS)
"""Upper bounds in seconds; what is longer than the last one is counted behind it."""

_AT_ONCE = 256


class Histogram:
    """Durations as they come: to be told of each, and read as a `Distribution`."""

    __slots__ = ("_fresh", "_max", "_sum", "_told")

    def __init__(self) -> None:
        self._fresh: list[float] = []
        self._told: list[int] | None = None
        self._sum = self._max = 0.0

    def record(self, seconds: float) -> None:
        """One more. Sorting them into buckets is done for many at once: that is what makes it cheap."""
        self._fresh.append(seconds)
        if len(self._fresh) >= _AT_ONCE:
            self._sort()

    def read(self) -> Distribution:
        """All of them so far."""
        if self._fresh:
            self._sort()
        buckets = self._told
        return NOTHING if buckets is None else Distribution(sum(buckets), self._sum, self._max, tuple(buckets))

    def _sort(self) -> None:
        fresh, self._fresh = self._fresh, []
        fresh.sort()
        buckets = self._told = self._told or [0] * (len(BOUNDS) + 1)
        done, count = 0, len(fresh)
        while done < count:
            bucket = bisect_left(BOUNDS, fresh[done])
            upto = bisect_right(fresh, BOUNDS[bucket], done) if bucket < len(BOUNDS) else count
            buckets[bucket] += upto - done
            done = upto
        self._sum += sum(fresh)
        self._max = max(self._max, fresh[-1])


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations in seconds, and how they are distributed.

    Attributes:
        count: how many.
        sum: of all of them.
        max: the longest.
        buckets: how many of them are in each of the ranges that end at `BOUNDS`, and beyond the last bound.

    """

    count: int
    sum: float
    max: float
    buckets: tuple[int, ...]

    @property
    def average(self) -> float:
        """0 for none."""
        return self.sum / self.count if self.count else 0.0

    @property
    def p50(self) -> float:
        """The median: half of them are not longer."""
        return self.quantile(0.5)

    @property
    def p95(self) -> float:
        """95 % of them are not longer."""
        return self.quantile(0.95)

    @property
    def p99(self) -> float:
        """99 % of them are not longer."""
        return self.quantile(0.99)

    def quantile(self, share: float) -> float:
        """What this share of them, from 0 to 1, is not longer than; 0 for none."""
        wanted, before = share * self.count, 0
        for at, held in enumerate(self.buckets):
            if held and before + held >= wanted:
                low = BOUNDS[at - 1] if at else 0.0
                high = BOUNDS[at] if at < len(BOUNDS) else self.max
                return min(self.max, low + (high - low) * (wanted - before) / held)
            before += held
        return 0.0

    def with_zeros(self, count: int) -> Distribution:
        """With so many more that took no time."""
        buckets = (self.buckets[0] + count, *self.buckets[1:])
        return Distribution(self.count + count, self.sum, self.max, buckets) if count else self

    def cumulative(self) -> tuple[int, ...]:
        """How many are not longer than each of `BOUNDS`, and how many there are."""
        return tuple(accumulate(self.buckets))


def joined(parts: Iterable[Distribution]) -> Distribution:
    """All of them as one."""
    found = [part for part in parts if part.count]
    if len(found) < 2:
        return found[0] if found else NOTHING
    buckets = tuple(map(sum, zip(*(one.buckets for one in found), strict=True)))
    return Distribution(sum(buckets), sum(one.sum for one in found), max(one.max for one in found), buckets)


NOTHING: Final = Distribution(0, 0.0, 0.0, (0,) * (len(BOUNDS) + 1))
"""No durations."""
