"""A broker inside one process: for programs without Redis, for tests, and for the embedded gateway.

It does what the Redis scripts do, with the same turns, groups and probes, so that one suite of tests covers both.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Sequence

from tieline import topics
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.envelope import new_instance
from tieline.transport import Interest, Place, Probed, Receiver, Route


class _Members:
    """Ports registered under one interest, who take turns."""

    __slots__ = ("_turn", "ports")

    def __init__(self) -> None:
        self.ports: list[MemoryPort] = []
        self._turn = 0

    def in_turn(self) -> Iterator[MemoryPort]:
        count = len(self.ports)
        self._turn += 1
        for step in range(count):
            yield self.ports[(self._turn + step) % count]


class MemoryBroker:
    """Membership and delivery for any number of instances in one process."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._ports: dict[str, MemoryPort] = {}
        self._members: dict[Interest, _Members] = {}
        self._responders: dict[str, _Members] = {}
        self._patterns: topics.PatternTrie[Interest] = topics.PatternTrie()
        self.observed = 0

    def join(self, port: MemoryPort) -> None:
        """A new instance."""
        self._ports[port.instance] = port

    def leave(self, port: MemoryPort) -> None:
        """An instance is gone, with all it registered."""
        if self._ports.pop(port.instance, None):
            for interest in [i for i, members in self._members.items() if port in members.ports]:
                self.unregister(port, interest)

    def register(self, port: MemoryPort, interest: Interest) -> None:
        """An instance wants to receive something."""
        members = self._members.get(interest)
        if members is None:
            members = self._members[interest] = _Members()
            self.observed += interest.route == Route.OBSERVER
            if interest.route == Route.REQUEST:
                self._responders[interest.pattern] = members
            else:
                self._patterns.insert(interest.pattern, interest)
        if port not in members.ports:
            members.ports.append(port)

    def unregister(self, port: MemoryPort, interest: Interest) -> None:
        """An instance no longer wants it."""
        members = self._members.get(interest)
        if members is None or port not in members.ports:
            return
        members.ports.remove(port)
        if not members.ports:
            del self._members[interest]
            self.observed -= interest.route == Route.OBSERVER
            if interest.route == Route.REQUEST:
                del self._responders[interest.pattern]
            else:
                self._patterns.remove(interest.pattern, interest)

    def publish(self, sender: MemoryPort, envelope: Envelope, served: Collection[str]) -> None:
        """A copy for everyone but the sender, one for each group not served."""
        done = set(served)
        for _, interest in self._patterns.match(envelope.topic):
            members = self._members[interest]
            if interest.route == Route.GROUP:
                if interest.group not in done:
                    done.add(interest.group)
                    next(members.in_turn()).receiver.on_event(interest, envelope)
            else:
                for port in [port for port in members.ports if port is not sender]:
                    port.receiver.on_event(interest, envelope)

    def observe(self, sender: MemoryPort, envelope: Envelope) -> None:
        """A copy for every observer but the sender."""
        for _, interest in self._patterns.match(envelope.topic) if self.observed else ():
            if interest.route == Route.OBSERVER:
                for port in [port for port in self._members[interest].ports if port is not sender]:
                    port.receiver.on_event(interest, envelope)

    def dispatch(self, sender: MemoryPort, envelope: Envelope, avoid: str, to: str) -> None:
        """Hand a request to the next responder, or to that one."""
        members = self._responders.get(envelope.topic)
        able = (p for p in members.in_turn() if p.instance == (to or p.instance) != avoid) if members else iter(())
        taker = next(able, None)
        if taker is not None:
            taker.receiver.on_request(envelope)
        sender.receiver.on_dispatched(envelope.call_id, taker.instance if taker else "", None)

    def responders(self, topic: str) -> list[Place]:
        """Who answers a topic, and the groups of each there."""
        members = self._responders.get(topic)
        found: dict[MemoryPort, list[str]] = {port: [] for port in members.ports} if members else {}
        for interest, members in self._members.items() if found else ():
            if interest.route == Route.GROUP and interest.pattern == topic:
                for port in members.ports:
                    if port in found:
                        found[port].append(interest.group)
        return [Place(port.service, port.instance, tuple(groups)) for port, groups in found.items()]

    def answer(self, to: str, envelope: Envelope) -> None:
        """Put something into an inbox; nothing happens if it is gone."""
        port = self._ports.get(to)
        if port is not None:
            port.receiver.on_answer(envelope)

    def probe(self, instances: Collection[str]) -> Probed:
        """Which instances are gone."""
        gone = frozenset(instance for instance in instances if instance not in self._ports)
        return Probed(gone, gone)


class MemoryPort:
    """One instance's place at a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, service: str, receiver: Receiver) -> None:
        self.instance = new_instance()
        self.service = service
        self.clock = broker.clock
        self.receiver = receiver
        self.connected = True
        self._broker = broker
        broker.join(self)

    @property
    def observing(self) -> bool:
        """See `Port.observing`."""
        return self._broker.observed > 0

    async def register(self, interests: Sequence[Interest]) -> None:
        """See `Port.register`."""
        for interest in interests:
            self._broker.register(self, interest)

    async def unregister(self, interests: Sequence[Interest]) -> None:
        """See `Port.unregister`."""
        for interest in interests:
            self._broker.unregister(self, interest)

    async def publish(self, envelope: Envelope, served: Collection[str]) -> None:
        """See `Port.publish`."""
        self._broker.publish(self, envelope, served)

    def dispatch(self, envelope: Envelope, avoid: str = "", to: str = "") -> bytes:
        """See `Port.dispatch`."""
        self._broker.dispatch(self, envelope, avoid, to)
        return b""

    async def responders(self, topic: str) -> list[Place]:
        """See `Port.responders`."""
        return self._broker.responders(topic)

    def answer(self, to: str, envelope: Envelope) -> None:
        """See `Port.answer`."""
        self._broker.answer(to, envelope)

    def observe(self, envelope: Envelope) -> None:
        """See `Port.observe`."""
        self._broker.observe(self, envelope)

    async def probe(self, instances: Collection[str]) -> Probed:
        """See `Port.probe`."""
        return self._broker.probe(instances)

    async def aclose(self) -> None:
        """See `Port.aclose`."""
        self.connected = False
        self._broker.leave(self)


class MemoryTransport:
    """The way to a `MemoryBroker`; one of its own unless several event systems are to share one."""

    def __init__(self, broker: MemoryBroker | None = None) -> None:
        self.broker = broker or MemoryBroker()
        self._ports: weakref.WeakSet[MemoryPort] = weakref.WeakSet()

    async def open(self, service: str, receiver: Receiver) -> MemoryPort:
        """See `Transport.open`; always succeeds."""
        port = MemoryPort(self.broker, service, receiver)
        self._ports.add(port)
        receiver.on_connected(None)
        return port

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        for port in list(self._ports):
            await port.aclose()
