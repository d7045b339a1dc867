"""Joining what processes tell of a chain with what was stored of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.suite.seen import Watch
from tests.support.vectors import vectors
from tieline import codec
from tieline._contract.envelope_pb2 import Step, Trail
from tieline.explain.causes import in_order
from tieline.explain.explain import explanation
from tieline.explain.trail_bytes import joined

AT = 1_700_000_000_000


def step(name: str, after: int, source: str = "shop/1", **detail: str) -> Step:
    return Step(name=name, time=AT + after, source=source, topic="order", call_id=b"c", detail=codec.encode(detail))


def told(*steps: Step) -> bytes:
    return Trail(steps=steps).SerializeToString()


def names(stored: bytes, *trails: Any) -> list[str]:
    return [step.name for step in explanation("c", stored, trails, []).steps]


def test_what_a_process_still_tells_is_not_told_again_by_what_it_stored_with_another_idea_of_the_time() -> None:
    live = told(step("dispatched", 1), step("failed", 20, code="TIMEOUT"))
    stored = told(step("dispatched", 0), step("failed", 21, code="TIMEOUT"))
    assert names(stored, live) == ["dispatched", "failed"]
    assert names(stored) == ["dispatched", "failed"]


def test_what_was_stored_twice_is_told_once() -> None:
    assert names(told(step("dispatched", 0), step("dispatched", 1), step("replied", 5))) == ["dispatched", "replied"]


def test_what_only_the_stored_trail_tells_is_kept() -> None:
    live = told(step("received", 1, "stock/2"))
    stored = told(step("dispatched", 0), step("failed", 2000, code="TIMEOUT"), step("failed", 9, code="OVERLOADED"))
    assert names(stored, live) == ["dispatched", "received", "failed", "failed"]


def test_what_happened_several_times_in_a_process_is_told_as_often() -> None:
    assert names(b"", told(*[step("handled", 3, how="handled")] * 3)) == ["handled"] * 3


def test_a_trail_that_cannot_be_read_does_not_hide_the_others() -> None:
    assert names(b"\xff\xff", b"\xff", told(step("published", 0))) == ["published"]
    assert names(b"", 5, "text", None, told(step("published", 0))) == ["published"]


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff", b"\x0a", b"\x0a\x7f", b"\x12\x7f", b"\x0a\xff\xff\xff\xff\x7f", b"\x0a\x02\x0a\x00"]
)
def test_what_cannot_be_read_of_a_trail_hides_nothing_else_of_it(garbage: bytes) -> None:
    stored = garbage + told(step("received", 1)) + garbage + told(step("replied", 5)) + garbage
    assert names(stored) == ["received", "replied"]


@pytest.mark.parametrize("time", [2**62, -1, 253_402_300_800_000])
def test_a_step_at_a_moment_that_cannot_be_is_left_out(time: int) -> None:
    trail = Trail(steps=[Step(name="received", time=time), step("replied", 5)])
    assert names(trail.SerializeToString()) == ["replied"]


def test_a_large_answer_of_nonsense_is_not_searched_to_its_end() -> None:
    watch = Watch()
    assert names(b"", b"\x0a\xff\x7f\x0a" * 250_000, told(step("received", 1))) == ["received"]
    assert watch.seconds < 8.0


def test_joined_trails_keep_their_last_steps() -> None:
    one = told(step("received", 1))
    assert joined(one * 3, one, len(one) * 3) == one * 3
    assert joined(one * 3, one, len(one) * 3 - 1) == one * 2
    assert joined(b"", one, len(one) - 1) == b""
    assert joined(b"\xff" + one, one, len(one) * 2) == one
    assert joined(b"\x0a\x7f" + one, one, len(one) + 2) == one, "what is broken ends where the new steps begin"


@pytest.mark.parametrize("chain", vectors("causes")["chains"], ids=lambda chain: chain["about"])
def test_each_step_is_told_after_what_caused_it(chain: dict[str, Any]) -> None:
    steps = [
        Step(source=source, name=name, topic=topic, call_id=call.encode(), time=AT + time, micros=micros)
        for source, name, topic, call, time, micros in chain["steps"]
    ]
    for came in (steps, steps[::-1], steps[1::2] + steps[::2]):
        told = in_order(came)
        assert [(each.source, each.name, each.call_id) for each in told] == [
            (each.source, each.name, each.call_id) for each in steps
        ]
        times = [(each.time, each.micros) for each in told]
        assert times == sorted(times) or "contradicts" in chain["about"]
