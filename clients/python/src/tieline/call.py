"""One call and its current attempt; `calls.py` is what moves it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from tieline._contract.envelope_pb2 import Envelope
from tieline.errors import TielineError

if TYPE_CHECKING:
    from tieline.calls import Calls

NO_MOMENT = 0.0


class State(IntEnum):
    """Where a call stands."""

    WAITING = 0
    SENT = 1
    HELD = 2
    DONE = 3


class Call:
    """One call and its current attempt. Moments are seconds of the local monotonic clock."""

    __slots__ = (
        "accepted",
        "attempts",
        "avoid",
        "call_id",
        "deadline",
        "done",
        "envelope",
        "idempotent",
        "instance",
        "last_error",
        "patience",
        "redispatch_at",
        "refusals",
        "silent_since",
        "started",
        "state",
        "table",
        "wait_for_link",
        "waiter",
    )

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
    ) -> None:
        self.envelope = envelope
        self.deadline = deadline
        self.waiter = waiter
        self.idempotent = idempotent
        self.patience = patience
        self.wait_for_link = wait_for_link
        self.avoid = avoid
        self.state = State.WAITING
        self.done = False
        self.accepted = False
        self.attempts = 0
        self.refusals = 0
        self.call_id = b""
        self.instance = ""
        self.last_error: TielineError | None = None
        self.redispatch_at = NO_MOMENT
        self.silent_since = NO_MOMENT
        self.started = NO_MOMENT
        self.table: Calls | None = None

    def due(self, now: float) -> None:
        """A moment of this call has come: its deadline, the end of its patience, or its next dispatch."""
        if self.table:
            self.table.due(self, now)
