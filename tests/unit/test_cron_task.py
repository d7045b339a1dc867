"""Which ticks of a task are to be fired: all vectors, and what holds for any of them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_cron import iso, ms
from tieline.cron.task import CronCall, CronEvent, CronTask, Misfire, check_task, decode_task, due, encode_task
from tieline.errors import InvalidArgumentError

VECTORS: dict[str, list[Any]] = json.loads(
    (Path(__file__).parents[2] / "proto/vectors/cron.json").read_text(encoding="utf-8")
)
NOON = ms("2026-01-01T12:00:00Z")
MINUTELY = CronTask("minutely", "* * * * *", CronEvent("a.b"))


@pytest.mark.parametrize("case", VECTORS["jitter"], ids=lambda case: f"{case['name']} {case['jitter']}")
def test_jitter_is_the_same_everywhere(case: dict[str, Any]) -> None:
    task = replace(MINUTELY, name=case["name"], jitter=case["jitter"])
    assert iso(task.fire_time(ms(case["tick"]))) == case["fire"]


def test_jitter_is_spread_and_never_early() -> None:
    task = replace(MINUTELY, jitter=10_000)
    late = [task.fire_time(tick) - tick for tick in range(NOON, NOON + 60_000_000, 60_000)]
    assert min(late) >= 0
    assert max(late) <= 10_000
    assert 4_500 < sum(late) / len(late) < 5_500
    assert len(set(late)) > 900


@pytest.mark.parametrize("case", VECTORS["due"], ids=lambda case: case["why"])
def test_what_is_due(case: dict[str, Any]) -> None:
    task = CronTask(
        name="t",
        expression=case["expression"],
        action=CronEvent("a"),
        zone=case["zone"],
        misfire=Misfire(case["misfire"]),
        grace=case["grace"],
        jitter=case["jitter"],
        paused=case["paused"],
        start=ms(case["start"]) if case["start"] else 0,
        end=ms(case["end"]) if case["end"] else 0,
    )
    found = due(task, ms(case["expected"]), ms(case["now"]))
    assert [iso(tick) for tick in found.ticks] == case["ticks"]
    assert (found.next and iso(found.next)) == case["next"]
    assert (found.missed and iso(found.missed)) == case["missed"]


def test_catching_up_goes_on_where_it_stopped() -> None:
    task = replace(MINUTELY, expression="every 1s", misfire=Misfire.CATCH_UP, start=NOON)
    now, expected, ticks = NOON + 2_500_000, NOON, list[int]()
    for wanted in (1000, 1000, 501):
        found = due(task, expected, now)
        assert len(found.ticks) == wanted
        assert found.next is not None
        ticks, expected = [*ticks, *found.ticks], found.next
    assert ticks == list(range(NOON, now + 1, 1000))
    assert due(task, expected, now).ticks == []


@pytest.mark.parametrize("misfire", [Misfire.SKIP, Misfire.FIRE_ONCE])
def test_ten_years_away_cost_nothing(misfire: Misfire) -> None:
    task = replace(MINUTELY, expression="* * * * * *", misfire=misfire, grace=0, jitter=0)
    now = NOON + 315_360_000_500
    found = due(task, NOON, now)
    assert found.next == now + 500
    assert found.ticks == ([] if misfire is Misfire.SKIP else [now - 500])
    assert found.missed == NOON


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "every 90s", "*/20 * * * * *"]),
    st.sampled_from(list(Misfire)),
    st.sampled_from([0, 5_000, 60_000, 3_600_000]),
    st.sampled_from([0, 1_000, 100_000]),
    st.lists(st.integers(1, 20_000_000), min_size=1, max_size=6),
)
def test_a_scheduler_that_looks_now_and_then(
    expression: str, misfire: Misfire, grace: int, jitter: int, pauses: list[int]
) -> None:
    """Ticks come in order, each once, never early; all within the grace come, and with `catch_up` all."""
    action = CronEvent("a")
    task = CronTask("t", expression, action, "Europe/Berlin", jitter, start=NOON, misfire=misfire, grace=grace)
    now, expected, fired = NOON, task.tick_after(NOON), list[int]()
    for pause in pauses:
        now += pause
        while expected is not None and task.fire_time(expected) <= now:
            found = due(task, expected, now)
            assert found.next is not None
            assert found.next > expected
            assert all(task.fire_time(tick) <= now for tick in found.ticks)
            recent = [tick for tick in task.cron.upcoming(expected - 1, 1100, NOON) if task.fire_time(tick) <= now]
            if misfire is Misfire.CATCH_UP or expected >= now - jitter - grace:
                assert list(found.ticks) == first_that_are_due(task, expected, now)
            elif misfire is Misfire.FIRE_ONCE and len(recent) < 1100:
                assert list(found.ticks) == recent[-1:]
            else:
                assert all(tick >= now - jitter - grace for tick in found.ticks) or misfire is Misfire.FIRE_ONCE
            fired, expected = [*fired, *found.ticks], found.next
    assert all(before < after for before, after in pairwise(fired))


def first_that_are_due(task: CronTask, expected: int, now: int) -> list[int]:
    ticks: list[int] = []
    for tick in task.cron.upcoming(expected - 1, 1000, task.start):
        if task.fire_time(tick) > now:
            break
        ticks.append(tick)
    return ticks


@pytest.mark.parametrize("case", VECTORS["tasks"], ids=lambda case: case["name"])
def test_a_task_as_bytes(case: dict[str, Any]) -> None:
    given = {name: value for name, value in case.items() if name not in ("hex", "action", "misfire")}
    about: dict[str, Any] = {**case["action"], "data": bytes.fromhex(case["action"]["data"])}
    kind = CronCall if about.pop("kind") == "call" else CronEvent
    action = kind(**about)
    task = CronTask(**given, misfire=Misfire(case["misfire"]), action=action)
    check_task(task)
    assert encode_task(task).hex() == case["hex"]
    assert decode_task(bytes.fromhex(case["hex"])) == task


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "name of a cron task has 1 to 128 of the characters A-Z a-z 0-9 _ - / ., not ''"),
        ({"name": "a:b"}, "name of a cron task has"),
        ({"name": 5}, "name of a cron task has"),
        ({"expression": "61 * * * *"}, 'minute "61"'),
        ({"zone": "Europe/Nowhere"}, "zone"),
        ({"jitter": -1}, "jitter of a cron task is a whole number from 0 to 86400000, not -1"),
        ({"jitter": 86_400_001}, "jitter"),
        ({"grace": 1.5}, "grace"),
        ({"start": True}, "start"),
        ({"retries": 1001}, "retries"),
        ({"retry_delay": -5}, "retry_delay"),
        ({"misfire": "never"}, "misfire of a cron task is one of skip, fire_once, catch_up, not 'never'"),
        ({"start": NOON, "end": NOON - 1}, "end of a cron task comes before the first tick of"),
        ({"expression": "0 0 1 1 *", "start": NOON, "end": NOON + 1}, "end"),
    ],
    ids=str,
)
def test_a_task_that_makes_no_sense_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_task(replace(MINUTELY, **change))
    assert caught.value.message.startswith(says)
    assert caught.value.details["field"] in (*change, "minute")
