"""Watching what goes by: events and requests of some patterns, in bounds, with gaps told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from tieline import topics
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import REQUEST
from tieline.errors import TielineError
from tieline.history.tape import TapeEntry
from tieline.transport import Gap, Interest, Port, Route, Transport, Unmoved

_SERVICE = "tap"
_MOST_WAITING = 1_000
_MOST_BYTES = 4 * 1024 * 1024
_ROUNDS_A_SECOND = 10
_TOO_FAST = "more went by than is shown in a second, or than the reader took, and the oldest gave way"


class Sight(NamedTuple):
    """Something that went by: an `event` that was published, a `request`, or an event that was `stored`."""

    name: str
    envelope: Envelope


class Seen(NamedTuple):
    """What went by since the last look: gaps first, as they came before the rest."""

    gaps: Sequence[Gap]
    lost: int
    """Of this reader's, as it was too slow; they are in one of the gaps."""
    sights: Sequence[Sight]


class Tap(Unmoved):
    """An observer (`Receiver`), also of what is stored; what waits for its reader is bounded in number and in bytes."""

    def __init__(self, transport: Transport, most_a_second: int) -> None:
        self._transport = transport
        self._most = max(1, most_a_second // _ROUNDS_A_SECOND)
        self._waiting: deque[Sight] = deque()
        self._bytes = self._lost = self._lost_since = 0
        self._gaps: list[Gap] = []
        self._came = asyncio.Event()
        self._port: Port | None = None
        self._patterns: Sequence[str] = ()
        self._watching: asyncio.Task[None] | None = None

    async def open(self, patterns: Sequence[str]) -> None:
        """Begin to watch.

        Raises:
            TielineError: the broker is away.

        """
        port = self._port = await self._transport.open(_SERVICE, self)
        try:
            await port.register([Interest(Route.OBSERVER, pattern) for pattern in patterns])
            self._patterns = patterns
            await self._watch(port)
        except BaseException:
            await self.aclose()
            raise

    async def _watch(self, port: Port) -> None:
        """Hear of what is stored, too."""
        began = asyncio.Event()
        task = self._watching = asyncio.create_task(port.tape.watch(self._stored, began.set))
        waiting = asyncio.create_task(began.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()

    async def aclose(self) -> None:
        """Watch no more."""
        if self._watching is not None:
            self._watching.cancel()
        if self._port is not None:
            await asyncio.shield(self._port.aclose())

    async def look(self) -> Seen:
        """Wait for something, and for a moment more, so that a second does not bring more than it may."""
        await self._came.wait()
        await asyncio.sleep(1 / _ROUNDS_A_SECOND)
        gaps, self._gaps = self._gaps, []
        lost, self._lost = self._lost, 0
        if lost and self._port is not None:
            until = self._waiting[0].envelope.time if self._waiting else self._now()
            gaps.append(Gap(self._lost_since, until, _TOO_FAST))
            self._lost_since = 0
        some = [self._take() for _ in range(min(self._most, len(self._waiting)))]
        if not self._waiting:
            self._came.clear()
        return Seen(gaps, lost, some)

    def _take(self) -> Sight:
        sight = self._waiting.popleft()
        self._bytes -= len(sight.envelope.data)
        return sight

    def _stored(self, entry: TapeEntry) -> None:
        if any(topics.matches(pattern, entry.envelope.topic) for pattern in self._patterns):
            self._add(Sight("stored", entry.envelope))

    def _add(self, sight: Sight) -> None:
        waiting = self._waiting
        waiting.append(sight)
        self._bytes += len(sight.envelope.data)
        while len(waiting) > _MOST_WAITING or self._bytes > _MOST_BYTES:
            oldest = self._take().envelope
            self._lost += 1
            self._lost_since = self._lost_since or oldest.time
        self._came.set()

    def _now(self) -> int:
        return self._port.clock.now() if self._port is not None else 0

    # --- what the port reports (Receiver) ---------------------------------------------------------------------------

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        """See `Receiver`. What fits several patterns comes several times, one after the other."""
        last = self._waiting[-1].envelope if self._waiting else None
        if last is None or (last.id, last.topic) != (envelope.id, envelope.topic):
            self._add(Sight("request" if envelope.kind == REQUEST else "event", envelope))

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
