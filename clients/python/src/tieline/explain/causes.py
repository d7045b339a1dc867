"""Which step of a chain came before which: by cause where that is known, else by time (SPEC.md, section 13).

Clocks of different processes agree to about a millisecond, and much happens in one. But what one process did is in the
order of its own clock, the two sides of a call are in that of its life, and an event is published before it is handled.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import pairwise, product
from typing import Final

from tieline._contract.envelope_pb2 import Step

_ORDER: Final = {
    name: place
    for place, name in enumerate(
        ("planned", "fired", "expired", "published", "stored", "redriven", "routed_local", "routed_remote",
         "dispatched", "joined", "received", "claimed", "accepted", "waiting", "queued", "running", "handled",
         "streamed", "replied", "completed", "failed", "retried", "dropped", "parked", "dead_letter")
    )
}  # fmt: skip
_SENT: Final = frozenset({"planned", "fired", "published", "stored"})
_APART_MS: Final = 5
"""An event that was sent later than that after it was handled is another one of its topic."""

Edge = tuple[int, int]


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Steps of one chain, each after what caused it, and told at no earlier moment; else by time."""
    after: list[list[int]] = [[] for _ in steps]
    causes = [0] * len(steps)
    for cause, effect in {*_of_processes(steps), *_of_calls(steps), *_of_events(steps)}:
        after[cause].append(effect)
        causes[effect] += 1
    left, told = {at: _when(step) for at, step in enumerate(steps)}, list[Step]()
    free = [(when, at) for at, when in left.items() if not causes[at]]
    heapq.heapify(free)
    while left:  # where causes contradict each other, the first one is told
        when, at = heapq.heappop(free) if free else min((when, at) for at, when in left.items())
        if left.pop(at, None) is None:
            continue
        told.append(_told_at(steps[at], when))
        for effect in after[at]:
            causes[effect] -= 1
            if effect in left:
                left[effect] = max(left[effect], (when[0], _rank(steps[effect])))
                if not causes[effect]:
                    heapq.heappush(free, (left[effect], effect))
    return told


def _told_at(step: Step, when: tuple[int, int]) -> Step:
    told = Step()
    told.CopyFrom(step)
    told.time, told.micros = divmod(when[0], 1000)
    return told


def _when(step: Step) -> tuple[int, int]:
    return step.time * 1000 + step.micros, _rank(step)


def _rank(step: Step) -> int:
    return _ORDER.get(step.name, 0)


def _of_processes(steps: Sequence[Step]) -> Iterator[Edge]:
    """What one process did, in the order of its clock."""
    for group in _by(steps, lambda step: step.source):
        yield from pairwise(sorted(group, key=lambda at: _when(steps[at])))


def _of_calls(steps: Sequence[Step]) -> Iterator[Edge]:
    """The sides of one call, in the order of its life."""
    for group in _by(steps, lambda step: step.call_id):
        for one, other in product(group, repeat=2):
            first, then = steps[one], steps[other]
            if first.source != then.source and _rank(first) < _rank(then):
                yield one, other


def _of_events(steps: Sequence[Step]) -> Iterator[Edge]:
    """Who sent an event comes before those who got it; where several of a topic were sent, time has to do."""
    for group in _by(steps, lambda step: "" if step.call_id else step.topic):
        sent = [at for at in group if steps[at].name in _SENT]
        if len(sent) == 1:
            first = steps[sent[0]]
            others = (at for at in group if steps[at].source != first.source)
            yield from ((sent[0], at) for at in others if first.time - steps[at].time <= _APART_MS)


def _by(steps: Sequence[Step], key: Callable[[Step], Hashable]) -> list[list[int]]:
    """The places of steps that have something in common; those that have nothing of the kind are left out."""
    groups: dict[Hashable, list[int]] = {}
    for at, step in enumerate(steps):
        if shared := key(step):
            groups.setdefault(shared, []).append(at)
    return list(groups.values())
