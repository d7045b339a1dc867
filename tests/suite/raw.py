"""An instance without an event system, for doing what no client of ours would do."""

from __future__ import annotations

from typing import Any

from tests.suite.seen import Seen
from tieline import codec
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import REPLY, REQUEST, new_call_id, new_id
from tieline.errors import TielineError
from tieline.transport import Gap, Interest, Port, Route, Transport, Unmoved


class Raw(Unmoved):
    """Keeps what arrives and answers nothing by itself."""

    port: Port

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.requests = Seen()
        self.events = Seen()
        self.answers = Seen()
        self.dispatched = Seen()

    async def open(self) -> Raw:
        self.port = await self.transport.open("raw", self)
        return self

    async def answers_to(self, topic: str) -> Raw:
        """Register as a responder."""
        await self.port.register([Interest(Route.REQUEST, topic)])
        return self

    async def request(self) -> Envelope:
        """The first request that comes."""
        await self.requests.reach(1)
        first: Envelope = self.requests[0]
        return first

    def reply(self, request: Envelope, value: Any, **fields: Any) -> None:
        """Answer a request; `fields` change the envelope."""
        given: dict[str, Any] = {"kind": REPLY, "call_id": request.call_id, "data": codec.encode(value)}
        envelope = Envelope(**{**given, "source": f"raw/{self.port.instance}", **fields})
        self.port.answer(request.reply_to, envelope)

    def envelope(self, kind: int, topic: str, value: Any = None, **fields: Any) -> Envelope:
        """An event or request of ours, alive for ten seconds."""
        now = self.port.clock.now()
        given: dict[str, Any] = {
            "id": new_id(),
            "kind": kind,
            "topic": topic,
            "source": f"raw/{self.port.instance}",
            "time": now,
            "ttl_ms": 10_000,
            "expires_at": now + 10_000,
            "data": codec.encode(value),
        }
        if kind == REQUEST:
            given |= {"call_id": new_call_id(), "reply_to": self.port.instance}
        return Envelope(**{**given, **fields})

    # --- Receiver ---------------------------------------------------------------------------------------------------

    def on_request(self, envelope: Envelope) -> None:
        self.requests.append(envelope)

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        self.events.append(envelope)

    def on_answer(self, envelope: Envelope) -> None:
        self.answers.append(envelope)

    def on_dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        self.dispatched.append((call_id, instance, error))

    def on_joined(self, call_id: bytes, until: int, instance: str) -> None:
        self.dispatched.append((call_id, instance, None))

    def on_mail(self, topic: str, group: str) -> None:
        """Nothing is claimed."""

    def on_connected(self, gap: Gap | None) -> None:
        """See `Receiver`."""

    def on_disconnected(self, reason: str) -> None:
        """See `Receiver`."""
