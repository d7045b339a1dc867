"""What an instance talks to where its broker is behind a gateway (SPEC.md, section 8).

A port goes on over one Link after another (`Links`), each of which is a new instance. What is sent in one turn of the
event loop travels in one frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from tieline._contract import gateway_pb2 as wire
from tieline._contract.durable_pb2 import Wake
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.envelope import error_from_wire, error_to_wire, parse
from tieline.errors import TielineError, UnavailableError
from tieline.history.tape import NoTape
from tieline.settings import Settings
from tieline.transport import Gap, Interest, Place, Probed, Receiver, Route
from tieline.transports.grpc_absence import Absence
from tieline.transports.grpc_agenda import GrpcAgenda
from tieline.transports.grpc_frames import Kept, interest_from_wire, register_of, unregister_of
from tieline.transports.grpc_link import ClientLink
from tieline.transports.grpc_links import Links
from tieline.transports.grpc_mail import GrpcMail
from tieline.transports.grpc_move import Moves
from tieline.transports.grpc_target import Target
from tieline.version import CLIENT

_BROKER_LOST = "the gateway lost its broker"


class GrpcPort:
    """One instance at a gateway, through as many Links as it takes."""

    in_process = False

    def __init__(self, targets: Sequence[Target], service: str, receiver: Receiver, settings: Settings) -> None:
        self.clock = Clock()
        self._receiver = receiver
        self._moves = Moves(receiver)
        hello = wire.Hello(service=service, client=CLIENT, moves=len(targets) > 1)
        self._links = Links(targets, hello, self.clock, settings, self, self._moves)
        self._absence = Absence(self.clock, receiver)
        self._kept = Kept(settings.offline_buffer)
        self.mail = GrpcMail(self._links)
        self.tape = NoTape()
        self.agenda = GrpcAgenda(self.clock, self._links)

    @property
    def instance(self) -> str:
        """See `Port.instance`; another one after each reconnect."""
        return self._links.in_use.instance

    @property
    def connected(self) -> bool:
        """See `Port.connected`."""
        return self._links.connected

    @property
    def observing(self) -> bool:
        """See `Port.observing`."""
        return self._links.in_use.observing

    async def start(self) -> None:
        """Connect for the first time; errors as in `Transport.open`, of the last gateway where there are several."""
        await self._links.start()
        self._receiver.on_connected(None)
        if not self._links.in_use.broker:
            self._absence.begin(_BROKER_LOST)

    async def aclose(self) -> None:
        """See `Port.aclose`."""
        await self._links.aclose()

    # --- what the event system asks for -----------------------------------------------------------------------------

    async def register(self, interests: Sequence[Interest]) -> None:
        """See `Port.register`."""
        wanted = self._links.wanted
        wanted.update(dict.fromkeys(interests))
        try:
            await self._links.until_up()
            while not await self._links.told(register_of(interests)):  # it broke: the reconnect registers everything
                await self._links.until_up()
        except TielineError:
            for interest in interests:
                wanted.pop(interest, None)
            raise

    async def unregister(self, interests: Sequence[Interest]) -> None:
        """See `Port.unregister`."""
        for interest in interests:
            self._links.wanted.pop(interest, None)
        if self._links.up:
            await self._links.told(unregister_of(interests))

    async def publish(self, envelope: Envelope, served: Collection[str]) -> None:
        """See `Port.publish`."""
        if refusal := self._links.refusal():
            raise refusal
        event = wire.SendEvent(envelope=envelope.SerializeToString(), served=served)
        if not await self._links.told(wire.ClientItem(event=event)):
            raise UnavailableError("the link to the gateway broke; whether the event was published is unknown")

    def dispatch(self, envelope: Envelope, avoid: str = "", to: str = "") -> bytes:
        """See `Port.dispatch`."""
        if refusal := self._links.refusal():
            call_id = envelope.call_id
            asyncio.get_running_loop().call_soon(self._receiver.on_dispatched, call_id, "", refusal)
            return b""
        frame = wire.LinkRequest()
        request = frame.items.add().request
        request.envelope = data = envelope.SerializeToString()
        if avoid:
            request.avoid = avoid
        if to:
            request.to = to
        self._links.in_use.outbox.put(frame.SerializeToString())
        return data

    async def responders(self, topic: str) -> list[Place]:
        """See `Port.responders`."""
        item = wire.ClientItem(find_responders=wire.FindResponders(topic=topic))
        answer: wire.Responders = await self._links.asked(item)
        return [Place(one.service, one.instance, tuple(one.groups)) for one in answer.responders]

    def answer(self, to: str, envelope: Envelope) -> None:
        """See `Port.answer`."""
        frame = wire.LinkRequest()
        answer = frame.items.add().answer
        answer.to = to
        answer.envelope = envelope.SerializeToString()
        beside = self._moves.link_of(envelope.call_id)
        if beside is not None:
            beside.outbox.put(frame.SerializeToString())
        elif self._links.up and not self._links.in_use.broken:
            self._links.in_use.outbox.put(frame.SerializeToString())
        else:
            self._kept.add(envelope.expires_at, frame.SerializeToString())

    def release(self, request: Envelope, error: TielineError) -> None:
        """See `Port.release`."""
        link = self._moves.link_of(request.call_id) or (None if self._links.refusal() else self._links.in_use)
        if link is not None:
            claim = Envelope(topic=request.topic, id=request.id, kind=request.kind)
            claim.idempotency_key = request.idempotency_key
            item = wire.ClientItem(release=wire.Release(request=claim.SerializeToString(), error=error_to_wire(error)))
            link.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())

    def keep_trail(self, correlation_id: str, trail: bytes) -> None:
        """See `Port.keep_trail`."""
        if self._links.refusal() is None:
            item = wire.ClientItem(send_trail=wire.SendTrail(correlation_id=correlation_id, trail=trail))
            self._links.in_use.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())

    async def find_trail(self, correlation_id: str) -> bytes:
        """See `Port.find_trail`."""
        item = wire.ClientItem(find_trail=wire.FindTrail(correlation_id=correlation_id))
        found: wire.TrailFound = await self._links.asked(item)
        return found.trail

    def observe(self, envelope: Envelope) -> None:
        """See `Port.observe`."""
        if self._links.refusal() is None:
            event = wire.SendEvent(envelope=envelope.SerializeToString())
            self._links.in_use.outbox.put(wire.LinkRequest(items=[wire.ClientItem(event=event)]).SerializeToString())

    async def probe(self, instances: Collection[str]) -> Probed:
        """See `Port.probe`."""
        answer: wire.Probed = await self._links.asked(wire.ClientItem(probe=wire.Probe(instances=instances)))
        return Probed(frozenset(answer.silent), frozenset(answer.expired))

    # --- what becomes of the Links (LinksUser) ------------------------------------------------------------------------

    def handlers(self, link: ClientLink) -> Mapping[str, Callable[[Any], None]]:
        """See `LinksUser`."""
        handlers: dict[str, Callable[[ClientLink, Any], None]] = {
            "delivery": self._on_delivery,
            "dispatched": self._on_dispatched,
            "broker": self._on_broker,
            "gap": self._on_gap,
            "wake": self._on_wake,
        }
        return {name: partial(handler, link) for name, handler in handlers.items()}

    def on_lost(self, since: int, reason: str) -> None:
        """See `LinksUser`."""
        self._absence.begin(reason, since)

    def on_moved(self, reason: str) -> None:
        """See `LinksUser`."""
        self._absence.explain(reason)

    def on_linked(self) -> None:
        """See `LinksUser`."""
        link = self._links.in_use
        for frame in self._kept.take(self.clock.now()):
            link.outbox.put(frame)
        self._broker_is(link.broker)

    # --- what the gateway says --------------------------------------------------------------------------------------

    def _on_delivery(self, link: ClientLink, delivery: wire.Delivery) -> None:
        envelope = parse(delivery.envelope)
        if envelope is None:
            return
        route = delivery.interest.route
        if route == Route.INBOX:
            self._receiver.on_answer(envelope)
        elif route == Route.REQUEST:
            self._moves.came(link, envelope.call_id)
            self._receiver.on_request(envelope)
        elif not self._is_own(envelope) and self._moves.lets(link, delivery.interest, envelope):
            self._receiver.on_event(interest_from_wire(delivery.interest), envelope)

    def _is_own(self, envelope: Envelope) -> bool:
        """Published here: over one link it comes back by the other one."""
        if not envelope.source or envelope.scheduled or envelope.replay:
            return False
        return envelope.source.rpartition("/")[2] in (self.instance, self._links.former)

    def _on_dispatched(self, _link: ClientLink, dispatched: wire.Dispatched) -> None:
        if dispatched.joined_until:
            self._receiver.on_joined(dispatched.call_id, dispatched.joined_until, dispatched.instance)
            return
        error = error_from_wire(dispatched.error) if dispatched.HasField("error") else None
        self._receiver.on_dispatched(dispatched.call_id, dispatched.instance, error)

    def _on_broker(self, link: ClientLink, state: wire.BrokerState) -> None:
        was, link.broker = link.broker, state.connected
        if was != state.connected and link is self._links.in_use and self._links.up:
            self._broker_is(state.connected)

    def _broker_is(self, there: bool) -> None:
        if there:
            self._absence.end()
        else:
            self._absence.begin(_BROKER_LOST)

    def _on_gap(self, link: ClientLink, gap: wire.Gap) -> None:
        """What another gateway than the one in use lost did not get lost."""
        if link is self._links.in_use:
            self._absence.note(Gap(gap.since, gap.until, gap.reason))
            if self.connected:
                self._absence.end()

    def _on_wake(self, link: ClientLink, wake: Wake) -> None:
        if link is self._links.in_use:
            self._receiver.on_mail(wake.topic, wake.group)
