"""`Subscribe`: a stream of events for a program with plain stubs. Each stream is an instance of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from tieline import topics
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.errors import TielineError
from tieline.transport import Gap, Interest, Port, Route, Transport, Unmoved
from tieline.transports.grpc_frames import Outbox
from tieline_gateway.links.downlink import OUTBOX_BYTES

_SERVICE = "subscriber"
_TOO_SLOW = "the subscriber did not keep up, and the oldest events gave way"


class Feed(Unmoved):
    """The events of one topic or pattern, oldest first (`Receiver`)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._outbox = Outbox(OUTBOX_BYTES)
        self._port: Port | None = None
        self._taken_at = 0
        self._gap_since = 0

    async def messages(self, request: wire.SubscribeRequest) -> AsyncGenerator[bytes, None]:
        """Serialized `SubscribeResponse` messages: `subscribed`, then events and gaps, until `end`.

        Raises:
            TielineError: the topic or group is not allowed, or the broker is away.

        """
        interest = _interest(request)
        port = self._port = await self._transport.open(_SERVICE, self)
        try:
            await port.register([interest])
            yield wire.SubscribeResponse(subscribed=wire.Subscribed()).SerializeToString()
            while message := await self._next(port):
                yield message
        finally:
            await asyncio.shield(port.aclose())

    def end(self) -> None:
        """Hand out what waits, then end."""
        self._outbox.close()

    async def _next(self, port: Port) -> bytes:
        if self._gap_since and not self._outbox.full:
            self._tell(Gap(self._gap_since, port.clock.now(), _TOO_SLOW))
            self._gap_since = 0
        message = await self._outbox.take(0)
        self._taken_at = port.clock.now()
        return message

    def _tell(self, gap: Gap) -> None:
        told = wire.Gap(since=gap.since, until=gap.until, reason=gap.reason)
        self._outbox.put(wire.SubscribeResponse(gap=told).SerializeToString())

    # --- what the port reports (Receiver) ---------------------------------------------------------------------------

    def on_request(self, envelope: Envelope) -> None:
        """Nothing is registered for requests."""

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        """See `Receiver`."""
        if envelope.expires_at and self._port and envelope.expires_at <= self._port.clock.now():
            return
        if self._outbox.put_droppable(wire.SubscribeResponse(event=envelope).SerializeToString()):
            self._gap_since = self._gap_since or self._taken_at or envelope.time

    def on_answer(self, envelope: Envelope) -> None:
        """Nothing was asked."""

    def on_dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """Nothing was dispatched."""

    def on_joined(self, call_id: bytes, until: int, instance: str) -> None:
        """Nothing was dispatched."""

    def on_mail(self, topic: str, group: str) -> None:
        """Nothing is claimed."""

    def on_connected(self, gap: Gap | None) -> None:
        """See `Receiver`."""
        if gap is not None:
            self._tell(gap)

    def on_disconnected(self, reason: str) -> None:
        """The gap is told when the broker is back."""


def _interest(request: wire.SubscribeRequest) -> Interest:
    pattern = topics.check_pattern(request.topic)
    if not request.group:
        return Interest(Route.EVENT, pattern)
    return Interest(Route.GROUP, pattern, topics.check_group(request.group))
