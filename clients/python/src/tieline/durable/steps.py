"""What becomes of durable events, remembered for `explain` and told to the observer (SPEC.md, section 13).

A handling is one record, made when it ends; its steps are told only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tieline._contract.envelope_pb2 import Envelope
from tieline.durable.mail import Entry, Stored
from tieline.errors import TielineError
from tieline.explain.trail import TOLD, Failure, Record, Trail, failure_of
from tieline.observe import StepName

if TYPE_CHECKING:
    from tieline.durable.lease import Lease
    from tieline.responder import Responder
    from tieline.system_events import SystemEvents

Told = Iterator[tuple[float, str, dict[str, Any]]]


class DurableSteps:
    """Takes note of each step of stored events in one instance."""

    def __init__(self, trail: Trail, responder: Responder, system: SystemEvents, *, observed: bool) -> None:
        self._trail = trail
        self._responder = responder
        self._system = system
        self._observed = observed

    @property
    def wanted(self) -> bool:
        """Whether somebody wants to know of what goes well, now."""
        return self._observed or self._trail.room > 0

    def stored(self, event: Envelope, place: Stored, began: float) -> None:
        """An event was stored; that began at this moment of the local clock, before anybody could have it."""
        if self._trail.room:
            self._remember(event, _stored, event.id, place, began)
        if self._observed:
            self._responder.say(StepName.STORED, event, **_place(event.id, place))

    def handled(self, lease: Lease, event: Envelope, entry: bytes = b"") -> None:
        """A handler has returned, or acknowledged its event."""
        if self._trail.room:
            self._remember(event, _handled, *_about(lease, entry, lease.failures + 1))
        if self._observed:
            subscription = lease.consumer.subscription.name
            self._responder.say(StepName.HANDLED, event, how="handled", subscription=subscription)

    def failed(
        self, lease: Lease, entry: Entry, attempt: int, error: TielineError, end: StepName, detail: dict[str, Any]
    ) -> None:
        """An event was not handled, and what becomes of it. If it is given up, its trail is stored."""
        try:
            event = Envelope.FromString(entry.envelope)
        except DecodeError:  # it has no name to ask by
            return
        self._system.durable_failed(lease.consumer.subscription, event, error, attempt, end, detail)
        about = _about(lease, entry.id, attempt)
        self._remember(event, _failed, *about, failure_of(error), end, detail)
        if end is not StepName.RETRIED:
            self._responder.store_trail(event.correlation_id or event.id)
        if self._observed:
            self._responder.say(end, event, **detail)

    def cancelled(self, lease: Lease, event: Envelope, entry: bytes) -> None:
        """The handling was interrupted; the event was given back, or others have it."""
        self._remember(event, _cancelled, *_about(lease, entry, lease.failures + 1))
        if self._observed:
            self._responder.say(StepName.CANCELLED, event, subscription=lease.consumer.subscription.name)

    def redriven(self, event: Envelope, letter: str, group: str, entry: str) -> None:
        """A dead letter was put back."""
        self._responder.unusual(StepName.REDRIVEN, event, group=group, letter=letter, entry=entry)

    def running(self, lease: Lease, event: Envelope, entry: bytes) -> Record:
        """What there is to tell of an event that a handler has now."""
        return self._record(event, _running, *_about(lease, entry, lease.failures + 1))

    def _remember(self, event: Envelope, tell: Any, *what: Any) -> None:
        self._trail.remember(self._record(event, tell, *what))

    def _record(self, event: Envelope, tell: Any, *what: Any) -> Record:
        return (TOLD, event.correlation_id or event.id, event.topic, self._trail.monotonic(), tell, *what)


_FIXED = 5
"""What a record has before what its steps are told from."""


def _about(lease: Lease, entry: bytes, attempt: int) -> tuple[float, str, str, bytes, int]:
    consumer = lease.consumer
    return lease.begun, consumer.subscription.name, consumer.policy.group, entry, attempt


def _place(event_id: str, place: Stored) -> dict[str, Any]:
    return {"id": event_id, "stream": place.stream, "entry": place.entry, "duplicate": place.duplicate}


def _stored(record: Record) -> Told:
    event_id, place, began = record[_FIXED:]
    yield began, StepName.STORED, _place(event_id, place)


def _claimed(began: float, subscription: str, group: str, entry: bytes, attempt: int) -> Told:
    named = {"subscription": subscription, "group": group, "entry": entry.decode("utf-8", "replace")}
    yield began, StepName.CLAIMED, {**named, "attempt": attempt}


def _handled(record: Record) -> Told:
    about = record[_FIXED:]
    yield from _claimed(*about)
    yield record[3], StepName.HANDLED, {"subscription": about[1], "how": "handled"}


def _failed(record: Record) -> Told:
    *about, failure, end, detail = record[_FIXED:]
    said: Failure = failure
    yield from _claimed(*about)
    yield record[3], StepName.FAILED, {**said._asdict(), "attempt": about[-1]}
    yield record[3], end, detail


def _cancelled(record: Record) -> Told:
    about = record[_FIXED:]
    yield from _claimed(*about)
    yield record[3], StepName.CANCELLED, {"subscription": about[1]}


def _running(record: Record) -> Told:
    about = record[_FIXED:]
    yield from _claimed(*about)
    yield record[3], StepName.RUNNING, {"subscription": about[1], "for_ms": int((record[3] - about[0]) * 1000)}
