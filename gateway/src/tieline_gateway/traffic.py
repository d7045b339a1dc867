"""What goes through this gateway: how much, how fast, and what is under way. Nobody else is asked."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import new_id
from tieline.errors import TielineError
from tieline.figures.histogram import Histogram


class LiveCall(NamedTuple):
    """A call that is under way.

    Attributes:
        correlation_id: of its chain.
        topic: that is called.
        source: who calls.
        since: when it came here (ms since 1970, broker clock).
        until: when it must be over; 0 for never.
        streams: its replies are a stream.
        began: the same as `since`, in seconds of the local monotonic clock.

    """

    correlation_id: str
    topic: str
    source: str
    since: int
    until: int
    streams: bool
    began: float


class Traffic:
    """Counters of one gateway: of its Links, and of what comes by simple calls and over HTTP.

    Attributes:
        published: events that were published, stored or planned.
        called: calls that were made; each attempt of a client's call is one.
        failed: calls that ended with an error, or that nobody took.
        round_trips: of the calls that were answered; streams do not count.

    """

    def __init__(self) -> None:
        self.published = self.called = self.failed = 0
        self.round_trips = Histogram()
        self._simple: dict[int, LiveCall] = {}

    @property
    def simple(self) -> Iterator[LiveCall]:
        """Calls of those who have no Link."""
        return iter(list(self._simple.values()))

    def began(self, request: Envelope, until: int, *, streams: bool) -> LiveCall:
        """A call comes in."""
        self.called += 1
        chain = request.correlation_id or request.id
        return LiveCall(chain, request.topic, request.source, request.time, until, streams, monotonic())

    def ended(self, call: LiveCall, *, failed: bool) -> None:
        """A call is over; nothing is told of one whose caller gave up."""
        if failed:
            self.failed += 1
        elif not call.streams:
            self.round_trips.record(monotonic() - call.began)

    @contextmanager
    def under_way(self, request: Envelope, *, streams: bool = False) -> Generator[None]:
        """Count a simple call for as long as this lasts."""
        request.id = request.id or new_id()
        call = self.began(request, 0 if streams else request.expires_at, streams=streams)
        mark = id(call)
        self._simple[mark] = call
        try:
            yield
        except TielineError:
            self.ended(call, failed=True)
            raise
        else:
            self.ended(call, failed=False)
        finally:
            del self._simple[mark]
