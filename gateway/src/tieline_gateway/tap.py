"""Watching what goes by: events and requests of some patterns, in bounds, with gaps told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import REQUEST
from tieline.errors import TielineError
from tieline.transport import Gap, Interest, Port, Route, Transport, Unmoved

_SERVICE = "tap"
_MOST_WAITING = 1_000
_MOST_BYTES = 4 * 1024 * 1024
_ROUNDS_A_SECOND = 10
_TOO_FAST = "more went by than is shown in a second, or than the reader took, and the oldest gave way"


class Seen(NamedTuple):
    """What went by since the last look: gaps first, as they came before the rest."""

    gaps: Sequence[Gap]
    lost: int
    """Of this reader's, as it was too slow; they are in one of the gaps."""
    envelopes: Sequence[Envelope]


class Tap(Unmoved):
    """An observer (`Receiver`); what waits for its reader is bounded in number and in bytes."""

    def __init__(self, transport: Transport, most_a_second: int) -> None:
        self._transport = transport
        self._most = max(1, most_a_second // _ROUNDS_A_SECOND)
        self._waiting: deque[Envelope] = deque()
        self._bytes = self._lost = self._lost_since = 0
        self._gaps: list[Gap] = []
        self._came = asyncio.Event()
        self._port: Port | None = None

    async def open(self, patterns: Sequence[str]) -> None:
        """Begin to watch.

        Raises:
            TielineError: the broker is away.

        """
        port = self._port = await self._transport.open(_SERVICE, self)
        try:
            await port.register([Interest(Route.OBSERVER, pattern) for pattern in patterns])
        except BaseException:
            await asyncio.shield(port.aclose())
            raise

    async def aclose(self) -> None:
        """Watch no more."""
        if self._port is not None:
            await asyncio.shield(self._port.aclose())

    async def look(self) -> Seen:
        """Wait for something, and for a moment more, so that a second does not bring more than it may."""
        await self._came.wait()
        await asyncio.sleep(1 / _ROUNDS_A_SECOND)
        gaps, self._gaps = self._gaps, []
        lost, self._lost = self._lost, 0
        if lost and self._port is not None:
            gaps.append(Gap(self._lost_since, self._waiting[0].time if self._waiting else self._now(), _TOO_FAST))
            self._lost_since = 0
        some = [self._take() for _ in range(min(self._most, len(self._waiting)))]
        if not self._waiting:
            self._came.clear()
        return Seen(gaps, lost, some)

    def _take(self) -> Envelope:
        envelope = self._waiting.popleft()
        self._bytes -= len(envelope.data)
        return envelope

    def _now(self) -> int:
        return self._port.clock.now() if self._port is not None else 0

    # --- what the port reports (Receiver) ---------------------------------------------------------------------------

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        """See `Receiver`. What fits several patterns comes several times, one after the other."""
        waiting = self._waiting
        if waiting and waiting[-1].id == envelope.id and waiting[-1].topic == envelope.topic:
            return
        waiting.append(envelope)
        self._bytes += len(envelope.data)
        while len(waiting) > _MOST_WAITING or self._bytes > _MOST_BYTES:
            oldest = self._take()
            self._lost += 1
            self._lost_since = self._lost_since or oldest.time
        self._came.set()

    def on_connected(self, gap: Gap | None) -> None:
        """See `Receiver`."""
        if gap is not None:
            self._gaps.append(gap)
            self._came.set()

    def on_request(self, envelope: Envelope) -> None:
        """Nothing is registered for requests."""

    def on_answer(self, envelope: Envelope) -> None:
        """Nothing was asked."""

    def on_dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """Nothing was dispatched."""

    def on_joined(self, call_id: bytes, until: int, instance: str) -> None:
        """Nothing was dispatched."""

    def on_mail(self, topic: str, group: str) -> None:
        """Nothing is claimed."""

    def on_disconnected(self, reason: str) -> None:
        """The gap is told when the broker is back."""


def is_request(envelope: Envelope) -> bool:
    """Whether somebody waits for the reply."""
    return envelope.kind == REQUEST
