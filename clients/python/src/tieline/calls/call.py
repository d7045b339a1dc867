"""One call and its current attempt; `calls.py` is what moves it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.streams import Inflow
from tieline.errors import TielineError

if TYPE_CHECKING:
    from tieline.calls.calls import Calls
    from tieline.figures.tally import Series

NO_MOMENT = 0.0
NOT_COUNTED = -1
"""Refusals of a call that a responder here has refused: it may be asked once more, in its turn."""


class State(IntEnum):
    """Where a call stands."""

    WAITING = 0
    SENT = 1
    HELD = 2
    DONE = 3


class Call:
    """One call and its current attempt. Moments are seconds of the local monotonic clock."""

    __slots__ = (
        "_envelope",
        "_sent",
        "accepted",
        "attempts",
        "avoid",
        "began",
        "call_id",
        "claimed",
        "correlation_id",
        "deadline",
        "done",
        "idempotent",
        "inflow",
        "instance",
        "joined",
        "keyed",
        "last_error",
        "local",
        "may_have_run",
        "near",
        "patience",
        "redispatch_at",
        "refusals",
        "series",
        "silent_since",
        "started",
        "state",
        "table",
        "to",
        "topic",
        "ttl_ms",
        "wait_for_link",
        "waiter",
    )

    inflow: Inflow | None
    series: Series
    waiter: Any

    def __init__(
        self,
        envelope: Envelope,
        deadline: float,
        waiter: Any = None,
        *,
        idempotent: bool = False,
        patience: float = NO_MOMENT,
        wait_for_link: float = NO_MOMENT,
        avoid: str = "",
        to: str = "",
        near: bool = False,
    ) -> None:
        self.topic = envelope.topic
        self.ttl_ms = envelope.ttl_ms
        self._envelope: Envelope | None = envelope
        self._sent = b""
        self.deadline = deadline
        self.waiter = waiter
        self.idempotent = idempotent
        self.patience = patience
        self.wait_for_link = wait_for_link
        self.avoid = avoid
        self.to = to  # the only instance that may answer
        self.near = near  # the first attempt goes to this process
        self.keyed = bool(envelope.idempotency_key)
        self.correlation_id = ""
        self.began = NO_MOMENT
        self.joined = False  # it waits for the run of another call
        self.local = False  # the attempt is at a handler of this process
        self.claimed = False  # it runs for all calls with its idempotency key
        self.inflow = None
        self.state = State.WAITING
        self.done = False
        self.accepted = False
        self.attempts = 0
        self.refusals = 0
        self.call_id = b""
        self.instance = ""
        self.last_error: TielineError | None = None
        self.may_have_run = False  # an attempt that is over was perhaps delivered
        self.redispatch_at = NO_MOMENT
        self.silent_since = NO_MOMENT
        self.started = NO_MOMENT
        self.table: Calls | None = None

    @property
    def repeatable(self) -> bool:
        """Whether another attempt does no harm, although this one may have run."""
        return self.idempotent and not (self.inflow is not None and self.inflow.received)

    @property
    def envelope(self) -> Envelope:
        """The request, as it was composed or as it was last sent."""
        return self._envelope or Envelope.FromString(self._sent)

    def next_envelope(self, call_id: bytes) -> Envelope:
        """The request for the next attempt; an earlier one may still be read elsewhere in this process."""
        envelope = self._envelope
        if envelope is None:
            envelope = self._envelope = Envelope.FromString(self._sent)
        elif self.attempts:
            earlier, envelope = envelope, Envelope()
            envelope.CopyFrom(earlier)
            self._envelope = envelope
        self.call_id = envelope.call_id = call_id
        return envelope

    def keep(self, sent: bytes) -> None:
        """Keep the request as it was sent: a message takes a kilobyte more than its bytes."""
        if sent:
            self._envelope, self._sent = None, sent

    def due(self, now: float) -> None:
        """A moment of this call has come: its deadline, the end of its patience, or its next dispatch."""
        if self.table:
            self.table.due(self, now)
