"""What a process remembers of the chains it took part in, for `explain` (SPEC.md, section 13).

What usually happens to a call is a single record of what is known anyway; its steps are told only when somebody asks.
Unusual steps are records of their own.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from tieline import codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.envelope_pb2 import Step as WireStep
from tieline._contract.envelope_pb2 import Trail as WireTrail
from tieline.clock import Clock
from tieline.errors import TielineError
from tieline.observe import StepName

if TYPE_CHECKING:
    from tieline.calls.call import Call
    from tieline.delivery import Delivery
    from tieline.transport import Port

log = logging.getLogger("tieline")

_STORED_EACH_SECOND = 50
_MESSAGE_LETTERS = 200
_FRAME_BYTES = 5
_TOLD_BYTES = contract.LIMIT_PAYLOAD_BYTES - 1024


class Kind(Enum):
    """What a record is about. After the kind come the correlation id, the topic and the moment (monotonic seconds)."""

    CALLED = 1  # call_id, began, instance, attempts, accepted, failure
    LOCAL = 2  # call_id, began, subscription, failure
    SERVED = 3  # call_id, began, subscription, accepted, items, number of the error
    PUBLISHED = 4  # id
    HANDLED = 5  # subscription, how
    STEP = 6  # call_id, name, detail
    GIVEN_UP = 7  # call_id, began, subscription, accepted
    WAITING = 8  # call_id, began, instance, attempts, accepted, deadline; never kept, as the next one
    AT_WORK = 9  # call_id, began, subscription, accepted, queued
    PLANNED = 10  # id, when it is due (ms since 1970)
    TOLD = 11  # a function that tells its steps, and what it needs; see durable/steps.py


CALLED, LOCAL, SERVED, PUBLISHED, HANDLED, STEP, GIVEN_UP, WAITING, AT_WORK, PLANNED, TOLD = Kind
_EVENTS = (PUBLISHED, PLANNED, HANDLED, TOLD)

Record = tuple[Any, ...]


class Failure(NamedTuple):
    """What is said of an error: the error itself would hold on to everything its call knew."""

    code: str
    outcome: str
    message: str


class Trail:
    """The last records of one process, at most `capacity` of them, and at most so many more in a second.

    `room` is how many more usual steps may be remembered in this second: who handles more calls than that remembers
    a sample of them, and pays for no more. What is unusual, and what fails, is always remembered. `monotonic` is the
    clock of its records.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._records: deque[Record] = deque(maxlen=capacity)
        self.room = capacity
        self.monotonic = time.monotonic
        self._second = 0
        self._stored = 0
        self._stored_to: dict[str, Record] = {}

    def refill(self) -> None:
        """A second has passed."""
        self.room = self._capacity

    def step(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        """Remember an unusual step."""
        correlation_id = envelope.correlation_id or envelope.id
        self._records.append((STEP, correlation_id, envelope.topic, self.monotonic(), envelope.call_id, name, detail))

    def called(self, call: Call, error: TielineError | None = None) -> str:
        """Remember a call that has ended; returns its correlation id, which the error gets too."""
        if not call.correlation_id:
            call.correlation_id = call.envelope.correlation_id or call.envelope.id
        if error is not None:
            error.correlation_id = call.correlation_id
        about = (call.call_id, call.began, call.instance, call.attempts, call.accepted, _failure(error))
        self.remember((CALLED, call.correlation_id, call.topic, self.monotonic(), *about))
        return call.correlation_id

    def local(self, delivery: Delivery, began: float, error: TielineError | None) -> str:
        """Remember a call that ended in this process; returns its correlation id, which the error gets too."""
        event = delivery.event
        if error is not None:
            error.correlation_id = event.correlation_id
        about = (b"", began, delivery.subscription.name, _failure(error))
        self.remember((LOCAL, event.correlation_id, event.topic, self.monotonic(), *about))
        return event.correlation_id

    def served(self, delivery: Delivery, call_id: bytes, code: int) -> str:
        """Remember a request that was answered, with the number of an error; returns its correlation id."""
        event, flow = delivery.event, delivery.flow
        items = flow.sent if flow is not None else 0
        about = (call_id, delivery.started, delivery.subscription.name, delivery.accepted, items, code)
        self.remember((SERVED, event.correlation_id, event.topic, self.monotonic(), *about))
        return event.correlation_id

    def given_up(self, delivery: Delivery) -> None:
        """Remember a request whose caller gave up."""
        event = delivery.event
        about = (event.envelope.call_id, delivery.started, delivery.subscription.name, delivery.accepted)
        self.remember((GIVEN_UP, event.correlation_id, event.topic, self.monotonic(), *about))

    def waiting(self, call: Call) -> Record:
        """What there is to tell of a call that is out."""
        correlation_id = call.envelope.correlation_id or call.envelope.id
        about = (call.call_id, call.began, call.instance, call.attempts, call.accepted, call.deadline)
        return (WAITING, correlation_id, call.topic, self.monotonic(), *about)

    def at_work(self, delivery: Delivery, *, queued: bool) -> Record:
        """What there is to tell of what a handler has, or will have."""
        event = delivery.event
        about = (event.envelope.call_id, delivery.started, delivery.subscription.name, delivery.accepted, queued)
        return (AT_WORK, event.correlation_id, event.topic, self.monotonic(), *about)

    def published(self, event: Envelope) -> None:
        """Remember an event that is being published."""
        self.remember((PUBLISHED, event.correlation_id or event.id, event.topic, self.monotonic(), event.id))

    def planned(self, event: Envelope, due: int, began: float) -> None:
        """Remember an event that was planned, when it is due (ms since 1970), and when that began (monotonic)."""
        self.remember((PLANNED, event.correlation_id or event.id, event.topic, began, event.id, due))

    def handled(self, delivery: Delivery, how: str) -> None:
        """Remember how a handler of an event ended."""
        event = delivery.event
        self.remember((HANDLED, event.correlation_id, event.topic, self.monotonic(), delivery.subscription.name, how))

    def remember(self, record: Record) -> None:
        """Remember what happened to one envelope."""
        self.room -= self.room > 0
        self._records.append(record)

    def of(self, correlation_id: str, source: str, clock: Clock, now: Iterable[Record] = ()) -> WireTrail:
        """The steps of one chain that are remembered here; the last ones, if all are more than an answer holds.

        `now` is what is under way, of which this chain's is told too.
        """
        under_way = [record for record in now if record[1] == correlation_id]
        return _trail(self._chain(correlation_id) + under_way, source, clock, _TOLD_BYTES)

    def store(self, correlation_id: str, source: str, port: Port) -> None:
        """Store the steps of something that has just failed, as far as they are not stored, unless too much fails."""
        second = int(self.monotonic())
        if second != self._second:
            self._second, self._stored = second, 0
        self._stored += 1
        if self._stored <= _STORED_EACH_SECOND and self._capacity and port.connected:
            try:
                trail = _trail(self._unstored(correlation_id), source, port.clock, contract.LIMIT_TRAIL_BYTES)
                port.keep_trail(correlation_id, trail.SerializeToString())
            except Exception:  # what is only told must not change what becomes of a call
                log.exception("the trail of %r could not be stored", correlation_id)

    def _chain(self, correlation_id: str) -> list[Record]:
        return [record for record in self._records if record[1] == correlation_id]

    def _unstored(self, correlation_id: str) -> list[Record]:
        """The records of a chain that came after those that were stored; from now on they count as stored."""
        chain, last = self._chain(correlation_id), self._stored_to.pop(correlation_id, None)
        if chain:
            self._stored_to[correlation_id] = chain[-1]
        if len(self._stored_to) > self._capacity:
            del self._stored_to[next(iter(self._stored_to))]
        stored = next((at for at, record in enumerate(chain) if record is last), -1)
        return chain[stored + 1 :]


def _failure(error: TielineError | None) -> Failure | None:
    return None if error is None else failure_of(error)


def failure_of(error: TielineError) -> Failure:
    """What is said of an error."""
    return Failure(error.code, error.outcome.value, error.message[:_MESSAGE_LETTERS])


def _trail(records: list[Record], source: str, clock: Clock, most_bytes: int) -> WireTrail:
    """The steps of the last call, and of the others as many of the last ones as there is room for, in their order."""
    call = _call_id(records[-1]) if records else b""
    own = [bool(call) and _call_id(record) == call for record in records]
    told: dict[int, list[WireStep]] = {}
    for at in sorted(range(len(records)), key=lambda at: (own[at], at), reverse=True):
        told[at] = _steps(records[at], source, clock)
        most_bytes -= sum(step.ByteSize() + _FRAME_BYTES for step in told[at])
        if most_bytes < 0:
            del told[at]
            break
    return WireTrail(steps=itertools.chain.from_iterable(told[at] for at in sorted(told)))


def _steps(record: Record, source: str, clock: Clock) -> list[WireStep]:
    return [
        WireStep(
            name=name,
            time=time,
            micros=micros,
            source=source,
            topic=record[2],
            call_id=_call_id(record),
            detail=codec.encode({key: value for key, value in detail.items() if value}),
        )
        for moment, name, detail in _TELL[record[0]](record)
        for time, micros in (divmod(clock.micros_at(moment), 1000),)
    ]


def _call_id(record: Record) -> bytes:
    return b"" if record[0] in _EVENTS else record[4]


Told = Iterator[tuple[float, str, dict[str, Any]]]


def _called(record: Record) -> Told:
    _, _, _, ended, _, began, instance, attempts, accepted, failure = record
    yield from _routed(began, instance, attempts)
    yield _ended(ended, failure, accepted=accepted)


def _waiting(record: Record) -> Told:
    _, _, _, now, _, began, instance, attempts, accepted, deadline = record
    yield from _routed(began, instance, attempts)
    yield now, StepName.WAITING, {"accepted": accepted, "left_ms": _ms(deadline - now)}


def _routed(began: float, instance: str, attempts: int) -> Told:
    yield began, StepName.ROUTED_REMOTE, {"attempts": attempts if attempts > 1 else 0}
    if instance:
        yield began, StepName.DISPATCHED, {"instance": instance}


def _local(record: Record) -> Told:
    _, _, _, ended, _, began, subscription, failure = record
    yield began, StepName.ROUTED_LOCAL, {"subscription": subscription}
    yield _ended(ended, failure)


def _ended(moment: float, failure: Failure | None, *, accepted: bool = False) -> tuple[float, str, dict[str, Any]]:
    if failure is None:
        return moment, StepName.COMPLETED, {"accepted": accepted}
    return moment, StepName.FAILED, failure._asdict()


def _served(record: Record) -> Told:
    _, _, _, ended, _, began, subscription, accepted, items, code = record
    yield from _received(began, accepted)
    if items:
        yield ended, StepName.STREAMED, {"items": items}
    yield ended, StepName.REPLIED, {"subscription": subscription, "error": _CODES.get(code, "")}


def _given_up(record: Record) -> Told:
    _, _, _, ended, _, began, subscription, accepted = record
    yield from _received(began, accepted)
    yield ended, StepName.CANCELLED, {"subscription": subscription}


def _at_work(record: Record) -> Told:
    _, _, _, now, call_id, began, subscription, accepted, queued = record
    if call_id and began:
        yield from _received(began, accepted)
    name = StepName.QUEUED if queued else StepName.RUNNING
    yield now, name, {"subscription": subscription, "for_ms": _ms(now - began) if began else 0}


def _received(began: float, accepted: bool) -> Told:
    yield began, StepName.RECEIVED, {}
    if accepted:
        yield began, StepName.ACCEPTED, {}


def _ms(seconds: float) -> int:
    return int(seconds * 1000) if math.isfinite(seconds) else 0


def _published(record: Record) -> Told:
    yield record[3], StepName.PUBLISHED, {"id": record[4]}


def _planned(record: Record) -> Told:
    yield record[3], StepName.PLANNED, {"id": record[4], "due": datetime.fromtimestamp(record[5] / 1000, UTC)}


def _handled(record: Record) -> Told:
    yield record[3], StepName.HANDLED, {"subscription": record[4], "how": record[5]}


def _step(record: Record) -> Told:
    yield record[3], record[5], record[6]


def _told(record: Record) -> Told:
    return record[4](record)


_CODES = {spec.number: code for code, spec in contract.ERRORS.items()}
_TELL: dict[Kind, Callable[[Record], Told]] = {
    CALLED: _called,
    LOCAL: _local,
    SERVED: _served,
    PUBLISHED: _published,
    PLANNED: _planned,
    HANDLED: _handled,
    STEP: _step,
    GIVEN_UP: _given_up,
    WAITING: _waiting,
    AT_WORK: _at_work,
    TOLD: _told,
}
