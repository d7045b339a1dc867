"""What the handler of a durable event may say of it. Rules: SPEC.md, section 14."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tieline.errors import ConflictError, InvalidArgumentError
from tieline.outgoing import check_text

if TYPE_CHECKING:
    from tieline.durable.lease import Lease

_LONGEST_SECONDS = 86_400 * 30


class DurableDelivery:
    """One handling of a durable event, as its handler sees it: `event.delivery`.

    A handler need not say anything: returning acknowledges, raising does not. What it says counts instead.
    """

    __slots__ = ("_delay", "_lease", "acked", "attempt", "nacked", "reason", "rejected", "said")

    def __init__(self, lease: Lease, attempt: int) -> None:
        self._lease = lease
        self.attempt = attempt
        self.acked = self.nacked = False
        self.said = False  # the handler said what is to become of it
        self.rejected: str | None = None
        self.reason = ""
        self._delay: float | None = None

    @property
    def group(self) -> str:
        """The subscription group it was delivered to."""
        return self._lease.consumer.policy.group

    @property
    def token(self) -> int:
        """Fencing token of the lease: a later lease of the key has a greater one.

        Hand it to your own storage with what you write, and have it refuse smaller ones than it has seen.
        """
        return int(self._lease.token)

    @property
    def lost(self) -> bool:
        """Whether the lease was lost, so that somebody else handles the event now."""
        return self._lease.lost

    def ack(self) -> None:
        """It is handled, whatever else the handler does; the next event of the key still waits for its end.

        Raises:
            ConflictError: the handling is over, or the lease was lost.

        """
        self._check()
        if not self.acked:
            self.acked = self.said = True
            self._lease.acknowledge()

    def nack(self, delay: float | None = None, reason: str = "") -> None:
        """It is to be handled again, after so many seconds or as the retry policy says, when the handler has ended.

        The reason is told in the log, and by the dead letter if this was the last attempt.

        Raises:
            ConflictError: it was acknowledged, the handling is over, or the lease was lost.
            InvalidArgumentError: the delay is no number of seconds from 0 to 30 days, or the reason no text.

        """
        self._check()
        if delay is not None:
            number = isinstance(delay, (int, float)) and not isinstance(delay, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
            if not (number and 0 <= delay <= _LONGEST_SECONDS):
                raise InvalidArgumentError(f"delay is in seconds, from 0 to 30 days, not {delay!r:.80}")
        check_text(reason, "reason")
        self._check_open()
        self.nacked, self._delay, self.reason = True, delay, reason
        self.said = True

    def reject(self, reason: str = "") -> None:
        """It is not to be handled again: it becomes a dead letter when the handler has ended, and its key goes on.

        Raises:
            ConflictError: it was acknowledged, the handling is over, or the lease was lost.

        """
        self._check()
        self._check_open()
        self.rejected = reason or "the handler rejected it"
        self.said = True

    def extend(self) -> None:
        """The handler is still at work: its time begins anew. The lease extends by itself.

        Raises:
            ConflictError: the handling is over, or the lease was lost.

        """
        self._check()
        self._lease.begun = self._lease.consumer.clock.monotonic()

    @property
    def delay(self) -> float | None:
        """What `nack` asked for."""
        return self._delay

    def _check(self) -> None:
        if self._lease.lost:
            raise ConflictError("the lease of this event was lost; somebody else handles it")
        if self._lease.delivery is not self:
            raise ConflictError("the handling of this event is over")

    def _check_open(self) -> None:
        if self.acked:
            raise ConflictError("the event was acknowledged already")
