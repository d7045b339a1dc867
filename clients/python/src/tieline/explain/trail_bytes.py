"""Trails as bytes: joined where they are stored, and read as far as they can be (SPEC.md, section 13)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Step

_STEP_TAG = 0x0A
_LENGTH_BYTES = 4
_YEAR_10000_MS = 253_402_300_800_000


class Place(NamedTuple):
    """Where a step is: its body begins at `start`, and whatever follows at `end`."""

    start: int
    end: int


def joined(there: bytes, steps: bytes, most_bytes: int) -> bytes:
    """Two trails in one; the oldest steps give way. What cannot be told apart into steps goes as a whole."""
    whole, at = there + steps, 0
    while len(whole) - at > most_bytes:
        bound = len(there) if at < len(there) else len(whole)
        place = _place(whole, at)
        at = place.end if place is not None and place.end <= bound else bound
    return whole[at:]


def steps_of(trail: bytes) -> Iterator[Step]:
    """The steps that can be read. What is between them is passed over, up to as much as a stored trail holds."""
    at, unread = 0, 0
    while at < len(trail) and unread <= contract.LIMIT_TRAIL_BYTES:
        place = _place(trail, at)
        step = _read(trail, place) if place is not None else None
        if place is None or step is None:
            at, unread = at + 1, unread + 1
            continue
        at = place.end
        if 0 <= step.time < _YEAR_10000_MS:
            yield step


def _place(trail: bytes, at: int) -> Place | None:
    """The step whose tag and length are here; None if no step can begin here."""
    if trail[at] != _STEP_TAG:
        return None
    length = 0
    for number, byte in enumerate(trail[at + 1 : at + 1 + _LENGTH_BYTES]):
        length |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            place = Place(at + number + 2, at + number + 2 + length)
            return place if place.end <= len(trail) else None
    return None


def _read(trail: bytes, place: Place) -> Step | None:
    if place.end - place.start > contract.LIMIT_TRAIL_BYTES:
        return None
    try:
        step = Step.FromString(trail[place.start : place.end])
    except Exception:  # protobuf's DecodeError
        return None
    return step if step.name.isidentifier() else None
