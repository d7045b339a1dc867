"""The seam for metrics, tracing and explain: one function is told each step of an envelope's life.

With nothing attached no step is even built.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from tieline._contract.envelope_pb2 import Envelope

log = logging.getLogger("tieline")


class StepName(StrEnum):
    """What happened to an envelope."""

    ROUTED_LOCAL = "routed_local"
    ROUTED_REMOTE = "routed_remote"
    DISPATCHED = "dispatched"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    RETRIED = "retried"
    JOINED = "joined"
    DEDUPLICATED = "deduplicated"
    STREAMED = "streamed"
    PUBLISHED = "published"
    PLANNED = "planned"
    FIRED = "fired"
    EXPIRED = "expired"
    STORED = "stored"
    CLAIMED = "claimed"
    REPLIED = "replied"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HANDLED = "handled"
    PARKED = "parked"
    DEAD_LETTER = "dead_letter"
    REDRIVEN = "redriven"
    DROPPED = "dropped"
    GAP = "gap"


class Step(NamedTuple):
    """One step: its name, the moment (ms since 1970, broker clock), whose step it is, and what there is to say."""

    name: StepName
    time: int
    topic: str
    correlation_id: str
    call_id: bytes
    detail: dict[str, Any]


Observer = Callable[[Step], None]


def guarded(observer: Observer) -> Observer:
    """An observer that disturbs nobody when it raises; that is logged."""

    def tell(step: Step) -> None:
        try:
            observer(step)
        except Exception:
            log.exception("the observer raised at step %r", step.name)

    return tell


def step_of(name: StepName, time: int, envelope: Envelope, **detail: Any) -> Step:
    """A step of this envelope."""
    correlation_id = envelope.correlation_id or envelope.id
    return Step(name, time, envelope.topic, correlation_id, envelope.call_id, detail)
