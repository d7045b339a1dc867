"""Joining what processes tell of a chain with what was stored of it."""

from __future__ import annotations

from tieline import codec
from tieline._contract.envelope_pb2 import Step, Trail
from tieline.explain import explanation

AT = 1_700_000_000_000


def step(name: str, after: int, source: str = "shop/1", **detail: str) -> Step:
    return Step(name=name, time=AT + after, source=source, topic="order", call_id=b"c", detail=codec.encode(detail))


def told(*steps: Step) -> bytes:
    return Trail(steps=steps).SerializeToString()


def names(stored: bytes, *trails: bytes) -> list[str]:
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
