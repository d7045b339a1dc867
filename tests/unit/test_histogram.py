"""Durations: counted in buckets, read as percentiles."""

from __future__ import annotations

import itertools
import random
from dataclasses import FrozenInstanceError

import pytest

from tieline._contract.contract import DURATION_BOUNDS_NS, DURATION_SHOWN_NS
from tieline.figures.histogram import BOUNDS, NOTHING, Distribution, Histogram, joined


def of(*durations: float) -> Distribution:
    histogram = Histogram()
    for seconds in durations:
        histogram.record(seconds)
    return histogram.read()


def test_bounds_grow_by_a_quarter_at_most_from_a_microsecond_to_100_seconds() -> None:
    assert (BOUNDS[0], BOUNDS[-1], len(BOUNDS)) == (1e-6, 100.0, 81)
    assert all(1.2 < above / below <= 1.29 for below, above in itertools.pairwise(BOUNDS))
    assert set(DURATION_SHOWN_NS) <= set(DURATION_BOUNDS_NS)


def test_nothing_has_no_durations() -> None:
    assert of() == NOTHING
    assert (NOTHING.count, NOTHING.sum, NOTHING.average, NOTHING.p50, NOTHING.p99, NOTHING.max) == (0,) * 6


def test_what_is_as_long_as_a_bound_is_counted_below_it() -> None:
    assert of(0.001).buckets[BOUNDS.index(0.001)] == 1
    assert of(0.0010001).buckets[BOUNDS.index(0.001) + 1] == 1
    assert of(0.0).buckets[0] == 1
    assert of(1_000.0).buckets[-1] == 1


def test_count_sum_average_and_longest_are_exact() -> None:
    told = of(0.5, 0.25, 2.0, 0.25)
    assert (told.count, told.sum, told.average, told.max) == (4, 3.0, 0.75, 2.0)
    assert told.cumulative()[BOUNDS.index(0.25)] == 2
    assert told.cumulative()[-1] == 4


def test_one_duration_is_every_percentile_about() -> None:
    told = of(0.3)
    assert told.p50 <= told.p95 <= told.p99 <= told.max == 0.3
    assert told.p50 == pytest.approx(0.3, rel=0.15)


def test_beyond_the_last_bound_the_longest_bounds_what_is_said() -> None:
    assert of(200.0, 300.0).p99 == pytest.approx(300.0, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_right_to_about_a_tenth(seed: int) -> None:
    chance = random.Random(seed)
    durations = [chance.lognormvariate(-6, 2) for _ in range(5_000)]
    told, ordered = of(*durations), sorted(durations)
    for share, said in ((0.5, told.p50), (0.95, told.p95), (0.99, told.p99)):
        assert said == pytest.approx(ordered[int(share * len(ordered))], rel=0.13)


def test_reading_in_between_loses_nothing() -> None:
    histogram = Histogram()
    for count in range(1, 1_001):
        histogram.record(0.01 if count % 2 else 3.0)
        if count % 7 == 0:
            assert histogram.read().count == count
    assert (histogram.read().count, histogram.read().max) == (1_000, 3.0)
    assert histogram.read().sum == pytest.approx(1_505.0)


def test_several_are_joined_as_if_they_were_one() -> None:
    several, one = joined([of(0.1, 0.2), of(), of(0.4)]), of(0.1, 0.2, 0.4)
    assert several.buckets == one.buckets
    assert (several.sum, several.max) == (pytest.approx(one.sum), one.max)
    assert joined([]) == NOTHING


def test_what_was_read_does_not_change() -> None:
    histogram = Histogram()
    histogram.record(1.0)
    told = histogram.read()
    histogram.record(1.0)
    assert told.count == 1
    with pytest.raises(FrozenInstanceError):
        told.sum = 0.0  # type: ignore[misc]
