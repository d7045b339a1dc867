"""Whether the events of a key were handled in order, one at a time, whichever processes did it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.conformance._contract.peer_pb2 import HOW_RETURNED
from tests.conformance.runner.watching import Watched


class Handled(NamedTuple):
    """One run of a handler: from when to when (µs of the machine's clock), which number it got, whether it returned."""

    begun: int
    ended: int
    number: int
    returned: bool


def count_returned(watched: Watched) -> int:
    """How many runs have returned since the last reading; reads nothing."""
    return sum(ended.how == HOW_RETURNED for ended in watched.ended.unread)


def order_faults(watched: Sequence[Watched]) -> Iterator[str]:
    """What is wrong with the order of all that was handled since the last reading."""
    for key, runs in sorted(_by_key(watched).items()):
        for one, other in pairwise(runs):
            if other.begun < one.ended:
                yield f"key {key}: {other.number} began while {one.number} was handled"
        handled = [run.number for run in runs if run.returned]
        if handled != list(range(1, len(handled) + 1)):
            yield f"key {key}: expected 1 to {len(handled)}, handled in the order {handled}"
        tried = [run.number for run in runs]
        if tried != sorted(tried):
            yield f"key {key}: tried in the order {tried}"


def _by_key(watched: Sequence[Watched]) -> dict[str, list[Handled]]:
    found: dict[str, list[Handled]] = defaultdict(list)
    for one in watched:
        ended = {end.run: end for end in one.ended.unread}
        for delivered in one.delivered.unread:
            end = ended.get(delivered.run)
            if end is not None:
                number, returned = int(delivered.values[0].int), end.how == HOW_RETURNED
                found[delivered.facts.key].append(Handled(delivered.at, end.at, number, returned))
        one.ended.read, one.delivered.read = len(one.ended.items), len(one.delivered.items)
    return {key: sorted(runs) for key, runs in found.items()}
