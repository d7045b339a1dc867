"""What a process remembers of the chains it took part in, for `explain` (SPEC.md, section 13).

Calls pass here by the hundred thousand, so what usually happens to one is a single record of what is known anyway, and
its steps are told only when somebody asks. Unusual steps are records of their own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from tieline import codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.envelope_pb2 import Step as WireStep
from tieline._contract.envelope_pb2 import Trail as WireTrail
from tieline.clock import Clock
from tieline.errors import TielineError
from tieline.observe import StepName

_STORED_EACH_SECOND = 50


class Kind(Enum):
    """What a record is about. After the kind come the correlation id, the topic and the moment (monotonic seconds)."""

    CALLED = 1  # call_id, began, instance, attempts, accepted, error
    LOCAL = 2  # call_id, began, subscription, error
    SERVED = 3  # call_id, began, subscription, accepted, items, error
    PUBLISHED = 4  # id
    HANDLED = 5  # subscription, how
    STEP = 6  # call_id, name, detail


CALLED, LOCAL, SERVED, PUBLISHED, HANDLED, STEP = Kind


class Trail:
    """The last records of one process. `remember` takes a record; it is on the way of every call."""

    def __init__(self, capacity: int) -> None:
        self._records: deque[tuple[Any, ...]] = deque(maxlen=capacity)
        self.remember: Callable[[tuple[Any, ...]], None] = self._records.append
        self.monotonic = time.monotonic
        self._second = 0
        self._stored = 0

    def step(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        """Remember an unusual step."""
        correlation_id = envelope.correlation_id or envelope.id
        self.remember((STEP, correlation_id, envelope.topic, self.monotonic(), envelope.call_id, name, detail))

    def of(self, correlation_id: str, source: str, clock: Clock) -> WireTrail:
        """All steps of one chain that are remembered here."""
        trail = WireTrail()
        for record in [record for record in self._records if record[1] == correlation_id]:
            for moment, name, detail in _TELL[record[0]](record):
                trail.steps.append(
                    WireStep(
                        name=name,
                        time=clock.at(moment),
                        source=source,
                        topic=record[2],
                        call_id=record[4] if record[0] not in _EVENTS else b"",
                        detail=codec.encode({key: value for key, value in detail.items() if value}),
                    )
                )
        return trail

    def may_store(self, now: float) -> bool:
        """Whether one more trail may be stored in this second."""
        if int(now) != self._second:
            self._second, self._stored = int(now), 0
        self._stored += 1
        return self._stored <= _STORED_EACH_SECOND


Told = Iterator[tuple[float, str, dict[str, Any]]]

_EVENTS = (PUBLISHED, HANDLED)


def _called(record: tuple[Any, ...]) -> Told:
    _, _, _, ended, _, began, instance, attempts, accepted, error = record
    yield began, StepName.ROUTED_REMOTE, {"attempts": attempts if attempts > 1 else 0}
    if instance:
        yield began, StepName.DISPATCHED, {"instance": instance}
    yield _ended(ended, error, accepted=accepted)


def _local(record: tuple[Any, ...]) -> Told:
    _, _, _, ended, _, began, subscription, error = record
    yield began, StepName.ROUTED_LOCAL, {"subscription": subscription}
    yield _ended(ended, error)


def _ended(moment: float, error: TielineError | None, *, accepted: bool = False) -> tuple[float, str, dict[str, Any]]:
    if error is None:
        return moment, StepName.COMPLETED, {"accepted": accepted}
    return moment, StepName.FAILED, {"code": error.code, "outcome": error.outcome.value, "message": error.message[:200]}


def _served(record: tuple[Any, ...]) -> Told:
    _, _, _, ended, _, began, subscription, accepted, items, code = record
    yield began, StepName.RECEIVED, {}
    if accepted:
        yield began, StepName.ACCEPTED, {}
    if items:
        yield ended, StepName.STREAMED, {"items": items}
    yield ended, StepName.REPLIED, {"subscription": subscription, "error": _CODES.get(code, "")}


def _published(record: tuple[Any, ...]) -> Told:
    yield record[3], StepName.PUBLISHED, {"id": record[4]}


def _handled(record: tuple[Any, ...]) -> Told:
    yield record[3], StepName.HANDLED, {"subscription": record[4], "how": record[5]}


def _step(record: tuple[Any, ...]) -> Told:
    yield record[3], record[5], record[6]


_CODES = {spec.number: code for code, spec in contract.ERRORS.items()}
_TELL: dict[Kind, Callable[[tuple[Any, ...]], Told]] = {
    CALLED: _called,
    LOCAL: _local,
    SERVED: _served,
    PUBLISHED: _published,
    HANDLED: _handled,
    STEP: _step,
}
