"""The way down a Link: what its port reports waits until the stream takes it. Rules: SPEC.md, section 8."""

from __future__ import annotations

from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline._contract.durable_pb2 import Wake
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import REPLY, error_to_wire
from tieline.errors import NoRespondersError, OverloadedError, TielineError
from tieline.transport import Gap, Interest, Port, Unmoved
from tieline.transports.grpc_frames import Outbox, interests_to_wire
from tieline_gateway.links.flight import Flight

OUTBOX_BYTES = contract.LIMIT_OFFLINE_BUFFER_BYTES
RETRY_AFTER = contract.DEFAULT_RETRY_AFTER_MS / 1000
_TOO_SLOW = "the client did not keep up, and the oldest events gave way"


class Downlink(Unmoved):
    """Turns what a port reports (`Receiver`) into items for the client.

    When the client does not keep up, requests are refused and the oldest events give way, which it is told; answers and
    everything else are kept.
    """

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.outbox = Outbox(OUTBOX_BYTES)
        self.source = ""
        self.open = True
        self._port: Port | None = None
        self._taken_at = 0
        self._gap_since = 0

    def attach(self, port: Port, source: str) -> None:
        """The port is open: greet the client. Nothing is reported before."""
        self._port = port
        self.source = source
        self._taken_at = port.clock.now()
        self.put(wire.GatewayItem(welcome=wire.Welcome(instance=port.instance, time=self._taken_at)))
        if not port.connected:
            self.on_disconnected("it is away")

    def put(self, item: wire.GatewayItem) -> None:
        """Add an item that is kept."""
        self.outbox.put(wire.LinkResponse(items=[item]).SerializeToString())

    def done(self, ref: int, error: TielineError | None) -> None:
        """Answer an item of the client's; a `ref` of 0 asks for no answer."""
        if ref:
            self.put(wire.GatewayItem(done=wire.Done(ref=ref, error=error_to_wire(error) if error else None)))

    async def frame(self) -> bytes:
        """Wait for the next frame to write; empty at the end."""
        if self._gap_since and not self.outbox.full:
            until = self._now()
            self.put(wire.GatewayItem(gap=wire.Gap(since=self._gap_since, until=until, reason=_TOO_SLOW)))
            self._gap_since = 0
        frame = await self.outbox.take(more_to_come=self._busy)
        self._taken_at = self._now()
        return frame

    # --- what the port reports (Receiver) ---------------------------------------------------------------------------

    def on_request(self, envelope: Envelope) -> None:
        """See `Receiver`."""
        if not self.open or self.outbox.full:
            self._refuse(envelope)
            return
        self.flight.given(envelope)
        frame = wire.LinkResponse()
        delivery = frame.items.add().delivery
        delivery.interest.route = wire.ROUTE_REQUEST
        delivery.interest.pattern = envelope.topic
        delivery.envelope = envelope.SerializeToString()
        self.outbox.put(frame.SerializeToString())

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        """See `Receiver`."""
        delivery = wire.Delivery(interest=interests_to_wire([interest])[0], envelope=envelope.SerializeToString())
        frame = wire.LinkResponse(items=[wire.GatewayItem(delivery=delivery)])
        if self.outbox.put_droppable(frame.SerializeToString()) and not self._gap_since:
            self._gap_since = self._taken_at

    def on_answer(self, envelope: Envelope) -> None:
        """See `Receiver`."""
        self.flight.down(envelope)
        frame = wire.LinkResponse()
        delivery = frame.items.add().delivery
        delivery.interest.route = wire.ROUTE_INBOX
        delivery.envelope = envelope.SerializeToString()
        self.outbox.put(frame.SerializeToString())

    def on_dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """See `Receiver`."""
        frame = wire.LinkResponse()
        dispatched = frame.items.add().dispatched
        dispatched.call_id = call_id
        if instance:
            dispatched.instance = instance
        else:
            self.flight.not_taken(call_id)
        if error is not None:
            dispatched.error.CopyFrom(error_to_wire(error))
        self.outbox.put(frame.SerializeToString())

    def on_joined(self, call_id: bytes, until: int, instance: str) -> None:
        """See `Receiver`."""
        joined = wire.Dispatched(call_id=call_id, instance=instance, joined_until=until)
        self.put(wire.GatewayItem(dispatched=joined))

    def on_mail(self, topic: str, group: str) -> None:
        """See `Receiver`."""
        self.put(wire.GatewayItem(wake=Wake(topic=topic, group=group)))

    def on_connected(self, gap: Gap | None) -> None:
        """See `Receiver`."""
        if self._port is None:
            return
        if gap is not None:
            self.put(wire.GatewayItem(gap=wire.Gap(since=gap.since, until=gap.until, reason=gap.reason)))
        self.put(wire.GatewayItem(broker=wire.BrokerState(connected=True)))

    def on_disconnected(self, reason: str) -> None:
        """See `Receiver`."""
        self.put(wire.GatewayItem(broker=wire.BrokerState(connected=False)))

    def _refuse(self, request: Envelope) -> None:
        error: TielineError
        if self.open:
            error = OverloadedError("the responder's Link is full", retry_after=RETRY_AFTER)
        else:
            error = NoRespondersError("the responder's Link has just ended")
        reply = Envelope(
            kind=REPLY,  # pyright: ignore[reportArgumentType]
            call_id=request.call_id,
            source=self.source,
            time=self._now(),
            error=error_to_wire(error),
        )
        if self._port is not None:
            self._port.answer(request.reply_to, reply)

    def _busy(self) -> bool:
        """Whether others wait for this client too, whose requests and answers may be on their way."""
        return self.flight.given_count > 1

    def _now(self) -> int:
        return self._port.clock.now() if self._port is not None else 0
