"""Envelopes over a Link to a gateway: `grpc://host:port`, `grpcs://:token@host:port` (SPEC.md, section 8).

A port is one Link after another: each is a new instance, on which everything is registered again. What is sent in one
turn of the event loop travels in one frame. Where a URL names several gateways, and the one in use is about to stop,
the next Link begins before the old one ends, which then only brings what is under way there to its end (`Leaving`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from tieline._contract import gateway_pb2 as wire
from tieline._contract.durable_pb2 import Wake
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.envelope import error_from_wire, error_to_wire, parse
from tieline.errors import Outcome, OverloadedError, TielineError, UnavailableError, UnsupportedError
from tieline.settings import Settings
from tieline.tape import NoTape
from tieline.transport import Gap, Interest, Place, Probed, Receiver, Route
from tieline.transports.grpc_agenda import GrpcAgenda
from tieline.transports.grpc_frames import Kept, interest_from_wire, interests_to_wire
from tieline.transports.grpc_link import ClientLink, LinkBrokenError, Target, parse_targets
from tieline.transports.grpc_mail import GrpcMail
from tieline.transports.grpc_move import Beside, Leaving, Overlap
from tieline.version import CLIENT

_log = logging.getLogger("tieline.grpc")
_BROKER_LOST = "the gateway lost its broker"
_LATE_SECONDS = 15.0
"""How long the same event may come again over a link that is slower than the one it came over first."""


class GrpcTransport:
    """The way to one gateway, or to one of several; it carries exactly one port.

    Args:
        url: `grpc://host:port`, or `grpcs://` for TLS; with commas between the addresses of several gateways in front
            of one Redis, of which one is used and the others take over. The password part is the token, or
            `?token_file=` names a file with one, which is read for each Link anew; `?ca=`, `?cert=`, `?key=` name PEM
            files: the authority that signed the gateway's certificate, and this client's own certificate and key.
        settings: times and bounds.
        token: the token, if it is not in the URL.

    """

    def __init__(self, url: str, settings: Settings | None = None, *, token: str = "") -> None:
        self._targets = parse_targets(url, token)
        self._settings = settings or Settings()
        self._port: GrpcPort | None = None

    async def open(self, service: str, receiver: Receiver) -> GrpcPort:
        """See `Transport.open`.

        Raises:
            UnsupportedError: a port is open already.

        """
        if self._port is not None:
            raise UnsupportedError("a Link is one instance: make another GrpcTransport for another event system")
        port = self._port = GrpcPort(self._targets, service, receiver, self._settings)
        try:
            await port.start()
        except BaseException:
            self._port = None
            raise
        return port

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        if self._port is not None:
            await self._port.aclose()

    def abandon(self) -> None:
        """See `Transport.abandon`: the channel is closed when it is collected."""
        self._port = None


class GrpcPort:
    """One instance at a gateway, through as many Links as it takes."""

    in_process = False

    def __init__(self, targets: Sequence[Target], service: str, receiver: Receiver, settings: Settings) -> None:
        self.clock = Clock()
        self.mail = GrpcMail(self)
        self.tape = NoTape()
        self.agenda = GrpcAgenda(self)
        self._targets = deque(random.sample(targets, len(targets)))
        self._next: Beside | None = None
        self._leaving: Leaving | None = None
        self._overlap: Overlap | None = None
        self._hello = wire.Hello(service=service, client=CLIENT)
        self._receiver = receiver
        self._settings = settings
        self._interests: dict[Interest, None] = {}
        self._kept = Kept(settings.offline_buffer)
        self._up = asyncio.Event()
        self._away: tuple[int, str] | None = None  # since when (ms, broker clock), and why
        self._gap: Gap | None = None
        self._closed = False
        self._running: asyncio.Task[None] | None = None
        self._link = self._next_link()
        self._former = ""
        self._of_the_gateway: dict[str, Callable[[Any], None]] = {
            "gap": self._on_gap,
            "wake": self._on_wake,
        }

    @property
    def instance(self) -> str:
        """See `Port.instance`; another one after each reconnect."""
        return self._link.instance

    @property
    def connected(self) -> bool:
        """See `Port.connected`."""
        return self._link.broker and self._up.is_set() and not self._closed

    @property
    def observing(self) -> bool:
        """See `Port.observing`."""
        return self._link.observing

    async def start(self) -> None:
        """Connect for the first time; errors as in `Transport.open`, of the last gateway where there are several."""
        for _ in range(len(self._targets) - 1):
            with contextlib.suppress(TielineError):
                await self._link.open(self._hello)
                break
            self._link = self._next_link()
        else:
            await self._link.open(self._hello)
        self._begin(self._link)
        self._up.set()
        self._running = asyncio.create_task(self._run())
        self._receiver.on_connected(None)
        if not self._link.broker:
            self._go_away(self.clock.now(), _BROKER_LOST)

    # --- what the event system asks for -----------------------------------------------------------------------------

    async def register(self, interests: Sequence[Interest]) -> None:
        """See `Port.register`."""
        self._interests.update(dict.fromkeys(interests))
        try:
            while not await self._registered(_register(interests)):
                pass
        except TielineError:
            for interest in interests:
                self._interests.pop(interest, None)
            raise

    async def unregister(self, interests: Sequence[Interest]) -> None:
        """See `Port.unregister`."""
        for interest in interests:
            self._interests.pop(interest, None)
        if self._up.is_set():
            await self._told(_unregister(interests))

    async def publish(self, envelope: Envelope, served: Collection[str]) -> None:
        """See `Port.publish`."""
        if refusal := self._refusal():
            raise refusal
        event = wire.SendEvent(envelope=envelope.SerializeToString(), served=served)
        if not await self._told(wire.ClientItem(event=event)):
            raise UnavailableError("the link to the gateway broke; whether the event was published is unknown")

    def dispatch(self, envelope: Envelope, avoid: str = "", to: str = "") -> bytes:
        """See `Port.dispatch`."""
        if refusal := self._refusal():
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
        self._link.outbox.put(frame.SerializeToString())
        return data

    async def responders(self, topic: str) -> list[Place]:
        """See `Port.responders`."""
        item = wire.ClientItem(find_responders=wire.FindResponders(topic=topic))
        answer: wire.Responders = await self._asked(item)
        return [Place(one.service, one.instance, tuple(one.groups)) for one in answer.responders]

    def answer(self, to: str, envelope: Envelope) -> None:
        """See `Port.answer`."""
        frame = wire.LinkRequest()
        answer = frame.items.add().answer
        answer.to = to
        answer.envelope = envelope.SerializeToString()
        beside = self._beside(envelope.call_id)
        if beside is not None:
            beside.outbox.put(frame.SerializeToString())
        elif self._up.is_set() and not self._link.broken:
            self._link.outbox.put(frame.SerializeToString())
        else:
            self._kept.add(envelope.expires_at, frame.SerializeToString())

    def release(self, request: Envelope, error: TielineError) -> None:
        """See `Port.release`."""
        link = self._beside(request.call_id) or (None if self._refusal() else self._link)
        if link is not None:
            claim = Envelope(topic=request.topic, id=request.id, kind=request.kind)
            claim.idempotency_key = request.idempotency_key
            item = wire.ClientItem(release=wire.Release(request=claim.SerializeToString(), error=error_to_wire(error)))
            link.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())

    def keep_trail(self, correlation_id: str, trail: bytes) -> None:
        """See `Port.keep_trail`."""
        if self._refusal() is None:
            item = wire.ClientItem(send_trail=wire.SendTrail(correlation_id=correlation_id, trail=trail))
            self._link.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())

    async def find_trail(self, correlation_id: str) -> bytes:
        """See `Port.find_trail`."""
        item = wire.ClientItem(find_trail=wire.FindTrail(correlation_id=correlation_id))
        found: wire.TrailFound = await self._asked(item)
        return found.trail

    def observe(self, envelope: Envelope) -> None:
        """See `Port.observe`."""
        if self._refusal() is None:
            event = wire.SendEvent(envelope=envelope.SerializeToString())
            self._link.outbox.put(wire.LinkRequest(items=[wire.ClientItem(event=event)]).SerializeToString())

    async def probe(self, instances: Collection[str]) -> Probed:
        """See `Port.probe`."""
        answer: wire.Probed = await self._asked(wire.ClientItem(probe=wire.Probe(instances=instances)))
        return Probed(frozenset(answer.silent), frozenset(answer.expired))

    def require(self) -> ClientLink:
        """The link, now.

        Raises:
            UnavailableError: there is none.
            OverloadedError: the gateway does not read what is sent to it.

        """
        if refusal := self._refusal():
            raise refusal
        return self._link

    async def linked_again(self, seconds: float) -> bool:
        """Whether there is a link again within so many seconds, after one broke."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._up.wait()
        return self._up.is_set() and not self._closed

    async def aclose(self) -> None:
        """See `Port.aclose`."""
        if self._closed:
            return
        self._closed = True
        await self._link.aclose()
        self._up.set()  # whoever waits for the link learns that it is closed
        tasks = [task for task in (self._running, self._leaving and self._leaving.task) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the gateway says --------------------------------------------------------------------------------------

    def _on_delivery(self, link: ClientLink, delivery: wire.Delivery) -> None:
        envelope = parse(delivery.envelope)
        if envelope is None:
            return
        route = delivery.interest.route
        if route == Route.INBOX:
            self._receiver.on_answer(envelope)
        elif route == Route.REQUEST:
            self._on_request(link, envelope)
        elif not self._is_own(envelope) and (
            self._overlap is None or self._overlap.lets(link, delivery.interest, envelope)
        ):
            self._receiver.on_event(interest_from_wire(delivery.interest), envelope)

    def _on_request(self, link: ClientLink, request: Envelope) -> None:
        """It is answered over the link by which it came."""
        for beside in (self._leaving, self._next):
            if beside is not None and link is beside.link:
                beside.calls.add(request.call_id)
        self._receiver.on_request(request)

    def _beside(self, call_id: bytes) -> ClientLink | None:
        """The link over which something is to be said of a call, if it is not the one in use."""
        for beside in (self._leaving, self._next):
            if beside is not None and beside.takes(call_id):
                return beside.link
        return None

    def _is_own(self, envelope: Envelope) -> bool:
        """Published here: over one link it comes back by the other one."""
        if not envelope.source or envelope.scheduled or envelope.replay:
            return False
        return envelope.source.rpartition("/")[2] in (self.instance, self._former)

    def _on_dispatched(self, dispatched: wire.Dispatched) -> None:
        if dispatched.joined_until:
            self._receiver.on_joined(dispatched.call_id, dispatched.joined_until, dispatched.instance)
            return
        error = error_from_wire(dispatched.error) if dispatched.HasField("error") else None
        self._receiver.on_dispatched(dispatched.call_id, dispatched.instance, error)

    def _on_gap(self, gap: wire.Gap) -> None:
        """A gap before the broker is back belongs to its return; at any other time the gateway had to drop events."""
        self._gap = Gap(gap.since, gap.until, gap.reason)
        if self.connected:
            self._tell_connected()

    def _on_broker(self, link: ClientLink, state: wire.BrokerState) -> None:
        was, link.broker = link.broker, state.connected
        if was == state.connected or not self._up.is_set() or link is not self._link:
            return
        if state.connected:
            self._tell_connected()
        else:
            self._go_away(self.clock.now(), _BROKER_LOST)

    def _go_away(self, since: int, reason: str) -> None:
        """The receiver is told once, however much is lost by and by."""
        if self._away is None:
            self._away = since, reason
            self._receiver.on_disconnected(reason)

    def _on_observing(self, link: ClientLink, observing: wire.Observing) -> None:
        link.observing = observing.any

    def _on_wake(self, wake: Wake) -> None:
        self._receiver.on_mail(wake.topic, wake.group)

    def _on_drain(self, link: ClientLink, _drain: wire.Drain) -> None:
        _log.info("the gateway at %s is about to stop", link.address)
        link.drained.set()

    # --- one Link after another -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            link = self._link
            if await self._has_to_move(link):
                await self._move(link)
                continue
            reason = await link.ended()
            if self._closed:
                return
            self._lost(link, reason)
            await link.aclose()
            await self._reconnect()
            self._come_back()

    def _begin(self, link: ClientLink) -> None:
        """Serve a link that was opened. What is said of the gateway counts while it is the one in use."""
        handlers: dict[str, Callable[[Any], None]] = {"dispatched": self._on_dispatched}
        handlers |= {name: partial(self._if_in_use, link, handler) for name, handler in self._of_the_gateway.items()}
        of_the_link: dict[str, Callable[[ClientLink, Any], None]] = {
            "delivery": self._on_delivery,
            "broker": self._on_broker,
            "drain": self._on_drain,
            "observing": self._on_observing,
        }
        handlers |= {name: partial(handler, link) for name, handler in of_the_link.items()}
        link.start(handlers, partial(self._lost, link))

    def _if_in_use(self, link: ClientLink, handler: Callable[[Any], None], item: Any) -> None:
        if link is self._link:
            handler(item)

    def _lost(self, link: ClientLink, reason: str) -> None:
        """The link in use broke: told once, before anybody learns it from a question that got no answer."""
        if link is self._link and self._up.is_set() and not self._closed:
            self._up.clear()
            _log.warning("the link to %s broke (%s); reconnecting", link.address, reason)
            self._go_away(self.clock.now() - int((time.monotonic() - link.seen) * 1000), reason)

    async def _reconnect(self) -> None:
        for attempt in itertools.count():
            await self._pause(attempt)
            link = await self._open_next()
            if link is not None:
                self._use(link)
                return

    async def _pause(self, attempt: int) -> None:
        ceiling = min(self._settings.reconnect_max, self._settings.reconnect_min * 2 ** min(attempt, 16))
        await asyncio.sleep(random.uniform(0, ceiling))  # noqa: S311 - jitter is no secret

    async def _open_next(self) -> ClientLink | None:
        """A link to the next gateway, which knows what is wanted of it; None if there is none."""
        link = self._next_link()
        self._next = Beside(link)
        registered = False
        try:
            await link.open(self._hello)
            self._begin(link)
            await self._register_everything(link)
            registered = True
        except (TielineError, LinkBrokenError) as error:
            _log.debug("still no link to %s: %r", link.address, error)
        finally:  # also where the port is closed meanwhile
            if not registered:
                self._next = None
                await link.aclose()
        return link if registered else None

    def _use(self, link: ClientLink) -> None:
        self._former, self._link, self._next = self._link.instance, link, None

    def _come_back(self) -> None:
        """There is another link."""
        for frame in self._kept.take(self.clock.now()):
            self._link.outbox.put(frame)
        self._up.set()
        if self._link.broker:
            self._tell_connected()
        else:
            self._go_away(self.clock.now(), _BROKER_LOST)

    # --- from a gateway that is about to stop to another one --------------------------------------------------------

    async def _has_to_move(self, link: ClientLink) -> bool:
        """Wait until the link has ended, or its gateway is about to stop and there are others; whether the latter."""
        if len(self._targets) == 1:
            return False
        either = [asyncio.ensure_future(link.ended()), asyncio.ensure_future(link.drained.wait())]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in either:
                waiting.cancel()
        return link.drained.is_set() and not link.broken

    async def _move(self, old: ClientLink) -> None:
        """Begin at another gateway, and let the calls that are under way here come to their end here."""
        self._end_overlap()
        self._overlap = Overlap(old, self._overlap)
        link = await self._open_elsewhere(old)
        if link is not None:
            if not old.broken:
                self._leave(old)
            if self._away is not None:
                self._away = self._away[0], f"the gateway at {old.address} stopped"
            self._use(link)
            _log.info("moved from the gateway at %s to the one at %s", old.address, link.address)
            self._come_back()
        if self._leaving is None or self._leaving.link is not old:
            self._end_overlap()
        if old.broken:
            await old.aclose()

    async def _open_elsewhere(self, old: ClientLink) -> ClientLink | None:
        """A link to another gateway; None if the old one ended before there was one."""
        for attempt in itertools.count():
            link = await self._open_next()
            if link is not None or old.broken:
                return link
            await self._pause(attempt)
        return None

    def _leave(self, old: ClientLink) -> None:
        if self._leaving is not None:
            self._leaving.end()
        calls = self._receiver.under_way() - (self._next.calls if self._next is not None else set())
        leaving = self._leaving = Leaving(old, calls, self.clock.monotonic())
        leaving.task = asyncio.create_task(self._see_off(leaving))

    async def _see_off(self, leaving: Leaving) -> None:
        try:
            with contextlib.suppress(LinkBrokenError):
                await leaving.link.ask(wire.ClientItem(drain=wire.Drain()))  # done: the old link has no more events
            if self._leaving is leaving:
                self._end_overlap()
            await leaving.link.ended()
        finally:
            if self._leaving is leaving:
                self._leaving = None
                self._end_overlap()
            if not self._closed:
                self._receiver.on_left(leaving.since)
            await leaving.link.aclose()

    def _end_overlap(self) -> None:
        """The new link alone is registered: what came over it only is handed on."""
        overlap = self._overlap
        if overlap is not None:
            for interest, envelope in overlap.end():
                self._receiver.on_event(interest_from_wire(interest), envelope)
            asyncio.get_running_loop().call_later(_LATE_SECONDS, self._forget_overlap, overlap)

    def _forget_overlap(self, overlap: Overlap) -> None:
        if self._overlap is overlap:
            self._overlap = None

    async def _register_everything(self, link: ClientLink) -> None:
        """Until the gateway knows what is wanted now, which may change meanwhile."""
        known: set[Interest] = set()
        while known != (wanted := set(self._interests)):
            for changed, make in ((wanted - known, _register), (known - wanted, _unregister)):
                done = await link.ask(make(changed)) if changed else wire.Done()
                if done.HasField("error"):
                    raise error_from_wire(done.error)
            known = wanted

    def _tell_connected(self) -> None:
        """There is a broker; live events since it was lost, or since the gateway had to drop some, are lost."""
        gap, away = self._gap, self._away
        self._gap = self._away = None
        if away is not None:
            since, reason = away
            gap = Gap(min(since, gap.since) if gap else since, self.clock.now(), gap.reason if gap else reason)
        self._receiver.on_connected(gap)

    def _next_link(self) -> ClientLink:
        """Where there are several gateways, to another one each time."""
        self._targets.rotate()
        return ClientLink(self._targets[0], self.clock, self._settings)

    async def _registered(self, item: wire.ClientItem) -> bool:
        """Whether the gateway confirmed; false if the link broke, and then the reconnect registers everything."""
        await self._up.wait()
        if self._closed:
            raise UnavailableError("the transport is closed", outcome=Outcome.NOT_DELIVERED)
        return await self._told(item)

    async def _told(self, item: wire.ClientItem) -> bool:
        """Whether the gateway said `Done`; raises the error it said."""
        try:
            done: wire.Done = await self._link.ask(item)
        except LinkBrokenError:
            return False
        if done.HasField("error"):
            raise error_from_wire(done.error)
        return True

    async def _asked(self, item: wire.ClientItem) -> Any:
        """Ask the gateway something that changes nothing; raises the error it said."""
        try:
            answer = await self.require().ask(item)
        except LinkBrokenError:
            raise UnavailableError(
                "the link to the gateway broke while it was asked", outcome=Outcome.NOT_DELIVERED
            ) from None
        if answer.HasField("error"):
            raise error_from_wire(answer.error)
        return answer

    def _refusal(self) -> TielineError | None:
        """Why nothing can be sent now."""
        if not self.connected:
            message = f"the gateway at {self._link.address} cannot be reached now; reconnecting"
            return UnavailableError(message, outcome=Outcome.NOT_DELIVERED)
        if self._link.outbox.full:
            message = f"the gateway at {self._link.address} does not keep up with what this process sends"
            return OverloadedError(message, retry_after=self._settings.retry_after)
        return None


def _register(interests: Collection[Interest]) -> wire.ClientItem:
    return wire.ClientItem(register=wire.Register(interests=interests_to_wire(interests)))


def _unregister(interests: Collection[Interest]) -> wire.ClientItem:
    return wire.ClientItem(unregister=wire.Unregister(interests=interests_to_wire(interests)))
