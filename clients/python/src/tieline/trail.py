"""What a process remembers of the chains it took part in, for `explain` (SPEC.md, section 13).

What usually happens to a call is a single record of what is known anyway; its steps are told only when somebody asks.
Unusual steps are records of their own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from tieline import codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.envelope_pb2 import Step as WireStep
from tieline._contract.envelope_pb2 import Trail as WireTrail
from tieline.clock import Clock
from tieline.errors import TielineError
from tieline.observe import StepName

if TYPE_CHECKING:
    from tieline.call import Call
    from tieline.delivery import Delivery
    from tieline.transport import Port

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
    """The last records of one process, at most `capacity` of them, and at most so many more in a second.

    `room` is how many more usual steps may be remembered in this second: who handles more calls than that remembers
    a sample of them, and pays for no more. What is unusual, and what fails, is always remembered. `monotonic` is the
    clock of its records.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._records: deque[tuple[Any, ...]] = deque(maxlen=capacity)
        self.room = capacity
        self.monotonic = time.monotonic
        self._second = 0
        self._stored = 0

    def refill(self) -> None:
        """A second has passed."""
        self.room = self._capacity

    def step(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        """Remember an unusual step."""
        correlation_id = envelope.correlation_id or envelope.id
        self._records.append((STEP, correlation_id, envelope.topic, self.monotonic(), envelope.call_id, name, detail))

    def called(self, call: Call, error: TielineError | None = None) -> str:
        """Remember a call that has ended; returns its correlation id."""
        if not call.correlation_id:
            call.correlation_id = call.envelope.correlation_id or call.envelope.id
        about = (call.call_id, call.began, call.instance, call.attempts, call.accepted, error)
        self._remember((CALLED, call.correlation_id, call.topic, self.monotonic(), *about))
        return call.correlation_id

    def local(self, delivery: Delivery, began: float, error: TielineError | None) -> str:
        """Remember a call that ended in this process; returns its correlation id."""
        event = delivery.event
        about = (b"", began, delivery.subscription.name, error)
        self._remember((LOCAL, event.correlation_id, event.topic, self.monotonic(), *about))
        return event.correlation_id

    def served(self, delivery: Delivery, call_id: bytes, code: int) -> str:
        """Remember a request that was answered, with the number of an error; returns its correlation id."""
        event, flow = delivery.event, delivery.flow
        items = flow.sent if flow is not None else 0
        about = (call_id, delivery.started, delivery.subscription.name, delivery.accepted, items, code)
        self._remember((SERVED, event.correlation_id, event.topic, self.monotonic(), *about))
        return event.correlation_id

    def published(self, event: Envelope) -> None:
        """Remember an event that is being published."""
        self._remember((PUBLISHED, event.correlation_id or event.id, event.topic, self.monotonic(), event.id))

    def handled(self, delivery: Delivery, how: str) -> None:
        """Remember how a handler of an event ended."""
        event = delivery.event
        self._remember((HANDLED, event.correlation_id, event.topic, self.monotonic(), delivery.subscription.name, how))

    def _remember(self, record: tuple[Any, ...]) -> None:
        self.room -= self.room > 0
        self._records.append(record)

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

    def store(self, correlation_id: str, source: str, port: Port) -> None:
        """Store the steps of something that failed, unless too much fails."""
        second = int(self.monotonic())
        if second != self._second:
            self._second, self._stored = second, 0
        self._stored += 1
        if self._stored <= _STORED_EACH_SECOND and self._capacity:
            port.keep_trail(correlation_id, self.of(correlation_id, source, port.clock).SerializeToString())


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
