"""The way up a Link: what a client says, item by item. Rules: SPEC.md, section 8.

Each item is checked, stamped and handed to the port at once; only what has to wait for the broker gets a task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from tieline import topics
from tieline._contract import gateway_pb2 as wire
from tieline._contract.agenda_pb2 import AgendaRequest, AgendaResponse
from tieline._contract.durable_pb2 import MailRequest, MailResponse
from tieline.calls.call_errors import leaves_run
from tieline.eager import start_now
from tieline.envelope import REQUEST, error_from_wire, error_to_wire
from tieline.errors import InternalError, InvalidArgumentError, Outcome, OverloadedError, TielineError, UnavailableError
from tieline.transport import Interest, Port, Transport
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Action
from tieline_gateway.links import door
from tieline_gateway.links.door import Door, UnreadableError
from tieline_gateway.links.downlink import RETRY_AFTER, Downlink
from tieline_gateway.links.flight import Given
from tieline_gateway.links.leases import Leases
from tieline_gateway.links.mailroom import MailAnswer, Mailroom
from tieline_gateway.links.parts import Answer
from tieline_gateway.links.schedule_desk import ScheduleDesk
from tieline_gateway.traffic import Traffic

_log = logging.getLogger("tieline.gateway")
_MOST_WAITING = 10_000
_TRAILS_A_SECOND = 50
_MOST_INTERESTS = 10_000

Change = Callable[[], Coroutine[Any, Any, None]]
Question = wire.Probed | wire.Responders | wire.TrailFound | MailResponse | AgendaResponse


class House(Protocol):
    """What a Link needs of the gateway it belongs to."""

    @property
    def transport(self) -> Transport:
        """The way to the broker."""
        ...

    @property
    def draining(self) -> bool:
        """The gateway is about to stop, and takes no new Links."""
        ...

    @property
    def ready(self) -> bool:
        """The broker is there, and the gateway is not about to stop."""
        ...

    @property
    def refusing(self) -> bool:
        """The gateway is about to stop, and takes no new calls."""
        ...

    @property
    def traffic(self) -> Traffic:
        """Counts what goes through."""
        ...

    @property
    def leases(self) -> Leases:
        """Who was given which durable events."""
        ...

    def calls_of(self, principal: str) -> dict[bytes, Given]:
        """Calls that Links of a principal were given which have just ended."""
        ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that outlives the Link."""
        ...


class Uplink:
    """Does what one client says, through its port.

    Attributes:
        door: what it may say.
        left: it said that all that begins from now on begins elsewhere.

    """

    def __init__(self, house: House, port: Port, door_: Door, down: Downlink) -> None:
        self.door = door_
        self.left = False
        self._house = house
        self._port = port
        self._down = down
        self._meter = door_.principal.meter
        self._mailroom = Mailroom(port, door_, down, house.leases)
        self._desk = ScheduleDesk(port, door_, down)
        self._interests: dict[Interest, None] = {}
        self._changes: asyncio.Queue[tuple[int, Change]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._now = 0
        self._second = 0
        self._trails = 0
        self._observing = False
        self._handlers: dict[str | None, Callable[[Any], None]] = {
            "register": self._register,
            "unregister": self._unregister,
            "event": self._event,
            "request": self._request,
            "answer": self._answer,
            "release": self._release,
            "send_trail": self._send_trail,
            "find_trail": self._find_trail,
            "probe": self._probe,
            "find_responders": self._find_responders,
            "mail": self._mail,
            "agenda": self._agenda,
            "ping": self._ping,
            "drain": self._drain,
        }

    def take(self, items: Sequence[wire.ClientItem]) -> None:
        """Do what the items say.

        Raises:
            UnreadableError: one of them cannot be read.

        """
        self._now = self._port.clock.now()
        handlers = self._handlers
        for item in items:
            name = item.WhichOneof("item")
            handler = handlers.get(name)
            if handler is None or name is None:
                raise UnreadableError(f"an item {name or 'of unknown kind'} has no place here")
            handler(getattr(item, name))
        self._tell_observing()

    def _tell_observing(self) -> None:
        """Say when observers come, or the last one goes; looked at with each frame, so at least with each ping."""
        if self._port.observing != self._observing:
            self._observing = self._port.observing
            self._down.put(wire.GatewayItem(observing=wire.Observing(any=self._observing)))

    async def change_interests(self) -> None:
        """Register and unregister, one after the other, in the order that was asked for."""
        while True:
            ref, change = await self._changes.get()
            await self._finish(ref, change)

    def leave(self, ref: int) -> None:
        """Give up all memberships."""
        interests, self._interests = list(self._interests), {}
        self._changes.put_nowait((ref, partial(self._port.unregister, interests)))

    async def settle(self, seconds: float) -> None:
        """Wait for what was begun."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """The instance is gone."""
        for task in self._tasks:
            task.cancel()
        await self._port.aclose()

    def _register(self, item: wire.Register) -> None:
        try:
            interests = rights.allowed_interests(self.door.principal, door.interests(item.interests))
            more = sum(interest not in self._interests for interest in interests)
            if len(self._interests) + more > _MOST_INTERESTS:
                raise OverloadedError(f"a Link may hold {_MOST_INTERESTS} interests")
            self._check_room()
        except TielineError as error:
            self._down.done(item.ref, error)
            return
        self._interests.update(dict.fromkeys(interests))
        self._changes.put_nowait((item.ref, partial(self._port.register, interests)))

    def _unregister(self, item: wire.Unregister) -> None:
        try:
            interests = door.interests(item.interests)
            self._check_room()
        except TielineError as error:
            self._down.done(item.ref, error)
            return
        for interest in interests:
            self._interests.pop(interest, None)
        self._changes.put_nowait((item.ref, partial(self._port.unregister, interests)))

    def _drain(self, item: wire.Drain) -> None:
        try:
            self._check_room()
        except OverloadedError as error:
            self._down.done(item.ref, error)
        else:
            self.left = True
            self.leave(item.ref)

    def _check_room(self) -> None:
        if self._changes.qsize() > _MOST_WAITING:
            raise OverloadedError("too many changes wait for the broker", retry_after=RETRY_AFTER)

    def _event(self, item: wire.SendEvent) -> None:
        try:
            envelope = self.door.event(item.envelope, self._now)
            self._meter.spend(len(item.envelope))
            if len(self._tasks) >= _MOST_WAITING:
                raise OverloadedError("too many events wait for the broker", retry_after=RETRY_AFTER)
        except UnreadableError:
            raise
        except TielineError as error:
            self._down.done(item.ref, error)
            return
        if envelope.kind == REQUEST:
            self._port.observe(envelope)
            self._down.done(item.ref, None)
        else:
            self._house.traffic.published += 1
            self._spawn(self._finish(item.ref, partial(self._port.publish, envelope, list(item.served))))

    def _request(self, item: wire.SendRequest) -> None:
        envelope, error = self.door.request(item.envelope, self._now)
        if error is None and self._house.refusing and not envelope.hops:
            error = UnavailableError("the gateway is about to stop", outcome=Outcome.NOT_DELIVERED)
        if self._down.flight.is_out(envelope.call_id):
            error = InvalidArgumentError("a call with this call_id is under way; each attempt has a call_id of its own")
        if item.to and not door.is_instance(item.to):
            error = InvalidArgumentError(f"no instance is called {item.to[:32]!r}")
        error = error or self._no_room(len(item.envelope))
        if error is not None:
            self._down.on_dispatched(envelope.call_id, "", error)
            return
        self._down.flight.made(envelope)
        self._port.dispatch(envelope, item.avoid, item.to)

    def _no_room(self, size: int) -> TielineError | None:
        """Why a call more is too much now."""
        try:
            self._down.flight.check_room(self._now)
            self._meter.spend(size)
        except OverloadedError as error:
            return error
        return None

    def _answer(self, item: wire.SendAnswer) -> None:
        """Send a step of a call on; what belongs to no call of this Link's is somebody else's, and is not."""
        envelope = self.door.answer(item.envelope, self._now)
        if envelope is not None and self._down.flight.may_say(envelope, item.to) and door.is_instance(item.to):
            self._down.flight.up(envelope)
            self._port.answer(item.to, envelope)

    def _release(self, item: wire.Release) -> None:
        request, error = self.door.claim(item.request), error_from_wire(item.error)
        if request is not None and not leaves_run(error) and self._down.flight.may_release(request):
            self._port.release(request, error)

    def _probe(self, item: wire.Probe) -> None:
        answer = wire.Probed(ref=item.ref)

        async def ask() -> None:
            silent, expired = await self._port.probe(frozenset(filter(door.is_instance, item.instances)))
            answer.silent.extend(silent)
            answer.expired.extend(expired)

        self._ask("probed", answer, ask)

    def _find_responders(self, item: wire.FindResponders) -> None:
        answer = wire.Responders(ref=item.ref)

        async def ask() -> None:
            rights.check_responders(self.door.principal, item.topic)
            self._meter.spend(0)
            for place in await self._port.responders(topics.check_topic(item.topic)):
                answer.responders.add(service=place.service, instance=place.instance, groups=place.groups)

        self._ask("responders", answer, ask)

    def _send_trail(self, item: wire.SendTrail) -> None:
        second = self._now // 1000
        if second != self._second:
            self._second, self._trails = second, 0
        self._trails += 1
        if self._trails <= _TRAILS_A_SECOND and door.is_trail(item):
            self._port.keep_trail(item.correlation_id, item.trail)

    def _find_trail(self, item: wire.FindTrail) -> None:
        answer = wire.TrailFound(ref=item.ref)

        async def ask() -> None:
            self.door.principal.check(Action.ADMIN, rights.EVERYTHING)
            self._meter.spend(0)
            answer.trail = await self._port.find_trail(item.correlation_id)

        self._ask("trail_found", answer, ask)

    def _mail(self, item: MailRequest) -> None:
        self._house.traffic.published += len(item.append.drafts)
        answer = MailAnswer(item.ref, self._down)
        self._ask("mail", answer.message, partial(self._mailroom.answer, item, answer))

    def _agenda(self, item: AgendaRequest) -> None:
        answer = Answer("agenda", AgendaResponse(ref=item.ref), self._down)
        self._ask("agenda", answer.message, partial(self._desk.answer, item, answer))

    def _ask(self, name: str, answer: Question, ask: Change) -> None:
        """Ask the broker, and say what it answered, or why there is no answer, as the item of this name."""
        if len(self._tasks) < _MOST_WAITING:
            self._spawn(self._tell(name, answer, ask))
        else:
            crowded = OverloadedError("too much waits for the broker", retry_after=RETRY_AFTER)
            answer.error.CopyFrom(error_to_wire(crowded))
            self._say(name, answer)

    async def _tell(self, name: str, answer: Question, ask: Change) -> None:
        try:
            await ask()
        except TielineError as error:
            answer.error.CopyFrom(error_to_wire(error))
        except Exception:  # a defect of ours must not keep the client waiting
            _log.exception("asking for %s failed", name)
            answer.error.CopyFrom(error_to_wire(InternalError("the gateway failed; its log says why")))
        self._say(name, answer)

    def _say(self, name: str, answer: Any) -> None:
        self._down.put(wire.GatewayItem(**{name: answer}))

    def _ping(self, item: wire.Ping) -> None:
        self._down.put(wire.GatewayItem(pong=wire.Pong(ref=item.ref, time=self._now)))

    async def _finish(self, ref: int, work: Change) -> None:
        try:
            await work()
        except TielineError as error:
            self._down.done(ref, error)
        else:
            self._down.done(ref, None)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = start_now(asyncio.get_running_loop(), coroutine)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
