"""Since when a port's broker cannot be reached, and what its receiver is told of that."""

from __future__ import annotations

from tieline.clock import Clock
from tieline.transport import Gap, Receiver


class Absence:
    """The broker went and comes back, behind one gateway or another; the receiver is told each once, with the gap.

    A gap the gateway tells of before the broker is back belongs to its return.
    """

    def __init__(self, clock: Clock, receiver: Receiver) -> None:
        self._clock = clock
        self._receiver = receiver
        self._away: tuple[int, str] | None = None  # since when (ms, broker clock), and why
        self._gap: Gap | None = None

    def begin(self, reason: str, since: int | None = None) -> None:
        """It is away, since now or since that moment (ms, broker clock); told once, however much is lost by and by."""
        if self._away is None:
            self._away = self._clock.now() if since is None else since, reason
            self._receiver.on_disconnected(reason)

    def explain(self, reason: str) -> None:
        """If it is away, that is why."""
        if self._away is not None:
            self._away = self._away[0], reason

    def note(self, gap: Gap) -> None:
        """The gateway says what it lost; the receiver learns it at the next `end`."""
        self._gap = gap

    def end(self) -> None:
        """There is a broker; live events since it was lost, or since the gateway had to drop some, are lost."""
        gap, away = self._gap, self._away
        self._gap = self._away = None
        if away is not None:
            since, reason = away
            gap = Gap(min(since, gap.since) if gap else since, self._clock.now(), gap.reason if gap else reason)
        self._receiver.on_connected(gap)
