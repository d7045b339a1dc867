"""Where an event or call went, as all processes that took part remember it (SPEC.md, section 13)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tieline import codec
from tieline._contract.envelope_pb2 import Step as WireStep
from tieline.calls.gather import Responder
from tieline.errors import TielineError
from tieline.explain.causes import in_order
from tieline.explain.trail_bytes import steps_of

_SAME_MS = 50


class TrailStep(NamedTuple):
    """One step: what happened, when by the broker's clock, in which process, and what there is to say."""

    name: str
    time: datetime
    source: str
    topic: str
    call_id: str
    detail: dict[str, Any]

    def __str__(self) -> str:
        detail = "  ".join(f"{name}={value}" for name, value in self.detail.items())
        moment = self.time.isoformat(timespec="milliseconds")[11:23]
        return f"{moment}  {self.source}  {self.name}  {self.topic}  {detail}".rstrip()


class Explanation(NamedTuple):
    """The steps of one chain, each after what caused it, else by time; `missing` are instances that told nothing."""

    correlation_id: str
    steps: list[TrailStep]
    missing: list[Responder]

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.correlation_id}: nobody remembers anything of it"
        return "\n".join([self.correlation_id, *(f"  {step}" for step in self.steps)])


def explanation(correlation_id: str, stored: bytes, trails: Iterable[Any], missing: list[Responder]) -> Explanation:
    """Join what the processes told; what is stored is added where none of them tells it any more.

    What one process tells badly does not hide what the others tell.
    """
    told = list(itertools.chain.from_iterable(map(steps_of, filter(is_bytes, trails))))
    known: dict[bytes, list[int]] = {}
    for step in told:
        known.setdefault(_what(step), []).append(step.time)
    for step in steps_of(stored):
        times = known.setdefault(_what(step), [])
        if all(abs(step.time - time) > _SAME_MS for time in times):
            times.append(step.time)
            told.append(step)
    return Explanation(correlation_id, list(map(_step, in_order(told))), missing)


def _what(step: WireStep) -> bytes:
    """All of a step but its time, which changes a little with what a process knows of the broker's clock."""
    what = WireStep()
    what.CopyFrom(step)
    what.time = what.micros = 0
    return what.SerializeToString(deterministic=True)


def _step(step: WireStep) -> TrailStep:
    time = datetime.fromtimestamp(step.time / 1000, UTC)
    return TrailStep(step.name, time, step.source, step.topic, step.call_id.hex(), _detail(step.detail))


def is_bytes(told: Any) -> bool:
    """Whether what a process told can be a trail."""
    return isinstance(told, bytes)


def _detail(data: bytes) -> dict[str, Any]:
    try:
        detail = codec.decode(data)
    except TielineError:
        return {}
    return detail if isinstance(detail, dict) else {}
