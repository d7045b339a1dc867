"""A transport, port and receiver with faults, around those of any transport."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.durable.mail import Mail
from tieline.errors import Outcome, TielineError, UnavailableError
from tieline.history.tape import Tape
from tieline.schedules.agenda import Agenda
from tieline.transport import Gap, Interest, Place, Port, Probed, Receiver, Route, Transport

_KEPT = 1_000
_LEASE_MS = contract.DEFAULT_LEASE_MS
_WHY = "the link was cut by the test"


class Fate(NamedTuple):
    """What becomes of an envelope: how often it arrives, and how much later (seconds)."""

    copies: int
    seconds: float


class Network(Protocol):
    """What decides the fate of what travels."""

    @property
    def away(self) -> bool:
        """Whether the broker cannot be reached by anybody."""
        ...

    def opened(self, port: FaultyPort) -> None:
        """A system has its place."""

    def called(self, request: Envelope) -> None:
        """A request leaves."""

    def ports(self) -> list[FaultyPort]:
        """All places."""
        ...

    def fate(self, envelope: Envelope, instance: str, *, observed: bool) -> Fate:
        """What becomes of an envelope that arrives at an instance."""
        ...


class FaultyTransport:
    """A way to a broker over a network with faults."""

    def __init__(self, inner: Transport, network: Network) -> None:
        self._inner = inner
        self._network = network

    async def open(self, service: str, receiver: Receiver) -> FaultyPort:
        """See `Transport.open`."""
        if self._network.away:
            raise _cut_off()
        arrivals = Arrivals(receiver, self._network)
        port = FaultyPort(await self._inner.open(service, arrivals), receiver, self._network)
        arrivals.port = port
        self._network.opened(port)
        return port

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._inner.aclose()

    def abandon(self) -> None:
        """See `Transport.abandon`."""
        self._inner.abandon()


class Arrivals:
    """The `Receiver` between a port and an instance: here what arrives meets its fate."""

    def __init__(self, receiver: Receiver, network: Network) -> None:
        self._receiver = receiver
        self._network = network
        self.port: FaultyPort | None = None

    def on_request(self, envelope: Envelope) -> None:
        """See `Receiver`."""
        self._arrive(envelope, self._receiver.on_request)

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        """See `Receiver`."""
        observed = interest.route == Route.OBSERVER
        self._arrive(envelope, partial(self._receiver.on_event, interest), observed=observed)

    def on_answer(self, envelope: Envelope) -> None:
        """See `Receiver`."""
        self._arrive(envelope, self._receiver.on_answer)

    def on_dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """See `Receiver`."""
        if self.port is not None and self.port.up:
            self._receiver.on_dispatched(call_id, instance, error)

    def on_joined(self, call_id: bytes, until: int, instance: str) -> None:
        """See `Receiver`."""
        if self.port is not None and self.port.up:
            self._receiver.on_joined(call_id, until, instance)

    def under_way(self) -> set[bytes]:
        """See `Receiver`."""
        return self._receiver.under_way()

    def on_left(self, calls: set[bytes]) -> None:
        """See `Receiver`."""
        self._receiver.on_left(calls)

    def on_mail(self, topic: str, group: str) -> None:
        """See `Receiver`."""
        self._receiver.on_mail(topic, group)

    def on_connected(self, gap: Gap | None) -> None:
        """See `Receiver`."""
        if self.port is None or self.port.up:
            self._receiver.on_connected(gap)

    def on_disconnected(self, reason: str) -> None:
        """See `Receiver`."""
        if self.port is None or self.port.up:
            self._receiver.on_disconnected(reason)

    def _arrive(self, envelope: Envelope, take: Callable[[Envelope], None], *, observed: bool = False) -> None:
        port = self.port
        if port is None or not port.up:
            return
        fate = self._network.fate(envelope, port.instance, observed=observed)
        for number in range(fate.copies):
            copy = envelope if number == 0 else _copy(envelope)
            if fate.seconds:
                port.clock.call_later(fate.seconds, partial(port.let_in, take, copy))
            else:
                take(copy)


class FaultyPort:
    """One instance's place at a broker, whose link can be cut."""

    in_process = False

    def __init__(self, inner: Port, receiver: Receiver, network: Network) -> None:
        self._inner = inner
        self._receiver = receiver
        self._network = network
        self._interests: dict[Interest, None] = {}
        self._kept: deque[tuple[str, Envelope]] = deque(maxlen=_KEPT)
        self._mended = asyncio.Event()
        self._mended.set()
        self._cut_at = 0
        self._dead = False
        self.closed = False

    # --- what the test does ---------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether anything can pass."""
        return self._mended.is_set() and not self._dead and not self.closed

    def gone(self, now: int) -> bool:
        """Whether its lease has ended (ms since 1970, broker clock)."""
        return self._dead or bool(self._cut_at and now - self._cut_at >= _LEASE_MS)

    async def cut(self) -> None:
        """Nothing passes any more, and the instance is told."""
        if self.up:
            self._mended.clear()
            self._cut_at = self.clock.now()
            await self._inner.unregister(list(self._interests))
            self._receiver.on_disconnected(_WHY)

    async def come_back(self) -> None:
        """All is registered again; `restored` must follow."""
        if not self.closed and not self._dead and not self._mended.is_set():
            await self._inner.register(list(self._interests))
            self._mended.set()

    def restored(self) -> None:
        """The instance is told that it has its link again; what it answered meanwhile is sent."""
        if not self.up or not self._cut_at:
            return
        gap, self._cut_at = Gap(self._cut_at, self.clock.now(), _WHY), 0
        self._receiver.on_connected(gap)
        while self._kept:
            self._inner.answer(*self._kept.popleft())

    async def kill(self) -> None:
        """Nothing passes any more, for good, and nobody is told."""
        self._dead = True
        await self._inner.aclose()

    def let_in(self, take: Callable[[Envelope], None], envelope: Envelope) -> None:
        """Something was on its way for long."""
        if self.up:
            take(envelope)

    # --- what the instance does -----------------------------------------------------------------------------------

    @property
    def instance(self) -> str:
        """See `Port.instance`."""
        return self._inner.instance

    @property
    def clock(self) -> Clock:
        """See `Port.clock`."""
        return self._inner.clock

    @property
    def tape(self) -> Tape:
        """See `Port.tape`."""
        return self._inner.tape

    @property
    def agenda(self) -> Agenda:
        """See `Port.agenda`."""
        return self._inner.agenda

    @property
    def mail(self) -> Mail:
        """See `Port.mail`."""
        return self._inner.mail

    @property
    def connected(self) -> bool:
        """See `Port.connected`."""
        return self._mended.is_set() and (self._dead or self._inner.connected)

    @property
    def observing(self) -> bool:
        """See `Port.observing`."""
        return self._inner.observing

    async def register(self, interests: Sequence[Interest]) -> None:
        """See `Port.register`."""
        self._interests |= dict.fromkeys(interests)
        while not self._mended.is_set():
            await self._mended.wait()
        if not self._dead:
            await self._inner.register([interest for interest in interests if interest in self._interests])

    async def unregister(self, interests: Sequence[Interest]) -> None:
        """See `Port.unregister`."""
        for interest in interests:
            self._interests.pop(interest, None)
        if self.up:
            await self._inner.unregister(interests)

    async def publish(self, envelope: Envelope, served: Collection[str]) -> None:
        """See `Port.publish`."""
        self._require()
        if not self._dead:
            await self._inner.publish(envelope, served)

    def dispatch(self, envelope: Envelope, avoid: str = "", to: str = "") -> bytes:
        """See `Port.dispatch`."""
        if not self._mended.is_set():
            self._receiver.on_dispatched(envelope.call_id, "", _cut_off())
        elif not self._dead:
            self._network.called(envelope)
            return self._inner.dispatch(envelope, avoid, to)
        return b""

    def answer(self, to: str, envelope: Envelope) -> None:
        """See `Port.answer`."""
        if not self._mended.is_set():
            self._kept.append((to, envelope))
        elif not self._dead:
            self._inner.answer(to, envelope)

    def release(self, request: Envelope, error: TielineError) -> None:
        """See `Port.release`."""
        if self.up:
            self._inner.release(request, error)

    async def responders(self, topic: str) -> list[Place]:
        """See `Port.responders`."""
        self._require()
        return await self._inner.responders(topic)

    def keep_trail(self, correlation_id: str, trail: bytes) -> None:
        """See `Port.keep_trail`."""
        if self.up:
            self._inner.keep_trail(correlation_id, trail)

    async def find_trail(self, correlation_id: str) -> bytes:
        """See `Port.find_trail`."""
        self._require()
        return await self._inner.find_trail(correlation_id)

    def observe(self, envelope: Envelope) -> None:
        """See `Port.observe`."""
        if self.up:
            self._inner.observe(envelope)

    async def probe(self, instances: Collection[str]) -> Probed:
        """See `Port.probe`; who is cut off does not listen."""
        self._require()
        found, now = await self._inner.probe(instances), self.clock.now()
        off = [port for port in self._network.ports() if port.instance in instances and not port.up]
        gone = (port.instance for port in off if port.gone(now))
        return Probed(found.silent | {port.instance for port in off}, found.expired | frozenset(gone))

    async def aclose(self) -> None:
        """See `Port.aclose`."""
        self.closed = True
        await self._inner.aclose()

    def _require(self) -> None:
        if not self._mended.is_set():
            raise _cut_off()


def _cut_off() -> UnavailableError:
    return UnavailableError(f"the broker cannot be reached: {_WHY}", outcome=Outcome.NOT_DELIVERED)


def _copy(envelope: Envelope) -> Envelope:
    copy = Envelope()
    copy.CopyFrom(envelope)
    return copy
