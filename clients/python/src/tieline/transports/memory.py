"""A broker inside one process: for programs without Redis, for tests, and for the embedded gateway.

It does what the Redis scripts do, with the same turns, groups and probes, so that one suite of tests covers both.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tieline import topics
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.ledger import Caller, Ledger, Results, error_reply, reply_for
from tieline.clock import Clock
from tieline.durable.mail import Mail
from tieline.envelope import REPLY, new_instance
from tieline.errors import TielineError, UnavailableError
from tieline.explain.trail_bytes import joined
from tieline.history.tape import Tape
from tieline.schedules.agenda import Agenda
from tieline.settings import Settings
from tieline.transport import Interest, Place, Probed, Receiver, Route
from tieline.transports.sqlite_agenda import SqliteAgenda
from tieline.transports.sqlite_mail import SqliteMail
from tieline.transports.sqlite_results import SqliteResults
from tieline.transports.sqlite_tape import SqliteTape


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
    """Membership and delivery for any number of instances in one process.

    Args:
        results: where results of idempotency keys are kept; in memory unless given.
        clock: what time it is.
        mail: SQLite file of durable and planned events; in memory unless given.
        served: other processes reach it through this one.

    """

    def __init__(
        self,
        results: Results | None = None,
        clock: Clock | None = None,
        *,
        mail: Path | None = None,
        served: bool = False,
    ) -> None:
        self.clock = clock or Clock()
        self.ledger = Ledger(results)
        self.mail = SqliteMail(mail, self.clock, self._on_mail, served=served)
        self.tape = SqliteTape(self.mail.writer, self.clock, self._hand)
        self.agenda = SqliteAgenda(self.mail.writer, self.clock, self._publish_planned, lambda who: who in self._ports)
        self._ports: dict[str, MemoryPort] = {}
        self._members: dict[Interest, _Members] = {}
        self._responders: dict[str, _Members] = {}
        self._patterns: topics.PatternTrie[Interest] = topics.PatternTrie()
        self.observed = 0
        self._trails: OrderedDict[str, bytes] = OrderedDict()

    def join(self, port: MemoryPort) -> None:
        """A new instance."""
        self._ports[port.instance] = port

    def leave(self, port: MemoryPort) -> None:
        """An instance is gone, with all it registered."""
        if self._ports.pop(port.instance, None):
            for interest in list(port.interests):
                self.unregister(port, interest)
            self.agenda.leave(port.instance)

    def register(self, port: MemoryPort, interest: Interest) -> None:
        """An instance wants to receive something."""
        members = self._members.get(interest)
        if members is None:
            members = self._members[interest] = _Members()
            self.observed += interest.route == Route.OBSERVER
            if interest.route == Route.REQUEST:
                self._responders[interest.pattern] = members
            elif interest.route != Route.MAIL:
                self._patterns.insert(interest.pattern, interest)
        if interest not in port.interests:
            port.interests[interest] = None
            members.ports.append(port)

    def unregister(self, port: MemoryPort, interest: Interest) -> None:
        """An instance no longer wants it."""
        if interest not in port.interests:
            return
        del port.interests[interest]
        members = self._members[interest]
        members.ports.remove(port)
        if not members.ports:
            del self._members[interest]
            self.observed -= interest.route == Route.OBSERVER
            if interest.route == Route.REQUEST:
                del self._responders[interest.pattern]
            elif interest.route != Route.MAIL:
                self._patterns.remove(interest.pattern, interest)

    def publish(self, sender: MemoryPort | None, envelope: Envelope, served: Collection[str]) -> None:
        """A copy for everyone but the sender, one for each group not served; what was planned has no sender."""
        if not envelope.replay:
            self.tape.published(envelope)
        done = set(served)
        for _, interest in self._patterns.match(envelope.topic):
            members = self._members[interest]
            if interest.route == Route.GROUP:
                if interest.group not in done:
                    done.add(interest.group)
                    next(members.in_turn()).receiver.on_event(interest, envelope)
            else:
                for port in [port for port in members.ports if envelope.replay or port is not sender]:
                    port.receiver.on_event(interest, envelope)

    def _hand(self, group: str, envelope: Envelope) -> bool:
        """Give an event to the next member of a group."""
        for _, interest in self._patterns.match(envelope.topic):
            if interest.route == Route.GROUP and interest.group == group:
                next(self._members[interest].in_turn()).receiver.on_event(interest, envelope)
                return True
        return False

    def _publish_planned(self, envelope: Envelope) -> None:
        self.publish(None, envelope, ())

    def observe(self, sender: MemoryPort, envelope: Envelope) -> None:
        """A copy for every observer but the sender."""
        for _, interest in self._patterns.match(envelope.topic) if self.observed else ():
            if interest.route == Route.OBSERVER:
                for port in [port for port in self._members[interest].ports if port is not sender]:
                    port.receiver.on_event(interest, envelope)

    def dispatch(self, sender: MemoryPort, envelope: Envelope, avoid: str, to: str) -> None:
        """Hand a request to the next responder, or to that one."""
        try:
            found = self.ledger.look(envelope, avoid, self.clock.now()) if envelope.idempotency_key else None
        except UnavailableError as error:
            sender.receiver.on_dispatched(envelope.call_id, "", error)
            return
        if isinstance(found, Envelope):
            sender.receiver.on_answer(found)
            return
        if found is not None:
            sender.receiver.on_joined(envelope.call_id, found.until, found.instance)
            return
        taker = self._taker(envelope.topic, avoid, to)
        if taker is not None:
            if envelope.idempotency_key:
                self.ledger.claim(envelope, taker.instance)
            taker.receiver.on_request(envelope)
        sender.receiver.on_dispatched(envelope.call_id, taker.instance if taker else "", None)

    def _taker(self, topic: str, avoid: str, to: str) -> MemoryPort | None:
        """Whose turn it is, or that one if it answers the topic."""
        members = self._responders.get(topic)
        if members is None:
            return None
        if to:
            port = self._ports.get(to)
            return port if port is not None and Interest(Route.REQUEST, topic) in port.interests else None
        return next((port for port in members.in_turn() if port.instance != avoid), None)

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

    def settle(self, to: str, reply: Envelope, window: float) -> None:
        """Store a REPLY for so many seconds, and answer everyone who waits for it."""

        def then(counts: bytes, waiting: list[Caller]) -> None:
            for caller in {Caller(to, reply.call_id): None, **dict.fromkeys(waiting)}:
                self.answer(caller.instance, reply_for(counts, caller.call_id))

        now = self.clock.now()
        self.ledger.settle(reply, now, now + int(window * 1000), then)

    def release(self, request: Envelope, error: TielineError) -> None:
        """Tell everyone who waits for a run that there is no result."""
        for caller in self.ledger.release(request):
            self.answer(caller.instance, error_reply(caller.call_id, error))

    def keep_trail(self, correlation_id: str, trail: bytes) -> None:
        """Join steps to what is kept; the oldest steps give way, and the oldest trails."""
        there = self._trails.pop(correlation_id, b"")
        self._trails[correlation_id] = joined(there, trail, contract.LIMIT_TRAIL_BYTES)
        if len(self._trails) > contract.LIMIT_TRAILS:
            self._trails.popitem(last=False)

    def find_trail(self, correlation_id: str) -> bytes:
        """What is kept."""
        return self._trails.get(correlation_id, b"")

    def _on_mail(self, topic: str, group: str) -> None:
        """A subscription group has something to claim; without a topic, a recorder has something to read."""
        if not topic:
            self.tape.woken()
        members = self._members.get(Interest(Route.MAIL, topic, group))
        for port in list(members.ports) if members else ():
            port.receiver.on_mail(topic, group)

    async def aclose(self) -> None:
        """Close the files. Idempotent."""
        await self.mail.aclose()
        await self.ledger.aclose()

    def abandon(self) -> None:
        """As `aclose`, where there is no loop to wait in. Idempotent."""
        self.mail.abandon()
        self.ledger.abandon()

    def probe(self, instances: Collection[str]) -> Probed:
        """Which instances are gone."""
        gone = frozenset(instance for instance in instances if instance not in self._ports)
        return Probed(gone, gone)


class MemoryPort:
    """One instance's place at a `MemoryBroker`."""

    def __init__(
        self, broker: MemoryBroker, service: str, receiver: Receiver, settings: Settings, *, in_process: bool
    ) -> None:
        self.instance = new_instance()
        self.in_process = in_process
        self.service = service
        self.clock = broker.clock
        self.receiver = receiver
        self.connected = True
        self.interests: dict[Interest, None] = {}
        self._broker = broker
        self.mail: Mail = broker.mail
        self.tape: Tape = broker.tape
        self.agenda: Agenda = broker.agenda
        self._window = settings.idempotency_window
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
        if envelope.kind == REPLY and envelope.idempotency_key:
            self._broker.settle(to, envelope, self._window)
        else:
            self._broker.answer(to, envelope)

    def release(self, request: Envelope, error: TielineError) -> None:
        """See `Port.release`."""
        self._broker.release(request, error)

    def keep_trail(self, correlation_id: str, trail: bytes) -> None:
        """See `Port.keep_trail`."""
        self._broker.keep_trail(correlation_id, trail)

    async def find_trail(self, correlation_id: str) -> bytes:
        """See `Port.find_trail`."""
        return self._broker.find_trail(correlation_id)

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


def _broker(store: Path | None, clock: Clock, *, served: bool) -> MemoryBroker:
    if store is None:
        return MemoryBroker(clock=clock)
    mail = store.with_name(f"{store.name}-mail")
    broker = MemoryBroker(SqliteResults(store, clock), clock, mail=mail, served=served)
    if served:
        broker.mail.open()  # whoever runs a gateway shall know at once that its file cannot be used
    return broker


class MemoryTransport:
    """The way to a `MemoryBroker`; one of its own unless several event systems are to share one.

    Args:
        broker: the one to share; whoever made it closes what it keeps its results in.
        store: SQLite file of its own broker's results; its durable events are in one beside it, whose name ends with
            `-mail`; both in memory unless given.
        settings: how long results stay.
        served: other processes reach its broker through this one.

    """

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        *,
        store: Path | None = None,
        settings: Settings | None = None,
        served: bool = False,
    ) -> None:
        self._shared = broker is not None
        self._served = served
        self._settings = settings or Settings()
        clock = Clock()
        self.broker = broker or _broker(store, clock, served=served)
        self._ports: weakref.WeakSet[MemoryPort] = weakref.WeakSet()

    async def open(self, service: str, receiver: Receiver) -> MemoryPort:
        """See `Transport.open`; always succeeds."""
        in_process = not (self._shared or self._served)
        port = MemoryPort(self.broker, service, receiver, self._settings, in_process=in_process)
        self._ports.add(port)
        receiver.on_connected(None)
        return port

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        for port in list(self._ports):
            await port.aclose()
        if not self._shared:
            await self.broker.aclose()

    def abandon(self) -> None:
        """See `Transport.abandon`."""
        if not self._shared:
            self.broker.abandon()
