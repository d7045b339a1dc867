"""One Link: a client's instance for as long as its stream lives. Rules: SPEC.md, section 8.

Frames are read, each item is checked, stamped and handed to the port at once; only what has to wait for the broker gets
a task. One writer sends everything that waits on the way down as one frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline.eager import start_now
from tieline.envelope import REQUEST, error_to_wire
from tieline.errors import Outcome, OverloadedError, TielineError, UnavailableError
from tieline.transport import Interest, Port, Transport
from tieline_gateway import door
from tieline_gateway.door import Door, UnreadableError
from tieline_gateway.downlink import OUTBOX_BYTES, RETRY_AFTER, Downlink

_log = logging.getLogger("tieline.gateway")
_LEASE_SECONDS = contract.DEFAULT_LINK_LEASE_MS / 1000
_FLUSH_SECONDS = 1.0
_MOST_WAITING = 10_000
_MOST_INTERESTS = 10_000
_MOST_UNREAD_BYTES = 8 * OUTBOX_BYTES

Write = Callable[[bytes], Awaitable[Any]]
Change = Callable[[], Coroutine[Any, Any, None]]


class House(Protocol):
    """What a Link needs of the gateway it belongs to."""

    @property
    def transport(self) -> Transport:
        """The way to the broker."""
        ...

    @property
    def draining(self) -> bool:
        """The gateway is about to stop."""
        ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something that outlives the Link."""
        ...


class Link:
    """Carries one client's frames to its port, and back."""

    def __init__(self, house: House) -> None:
        self.down = Downlink()
        self._house = house
        self._ending = asyncio.Event()
        self._up: Uplink | None = None

    async def serve(self, frames: AsyncIterator[bytes], write: Write) -> None:
        """Live until the client ends the stream, goes silent, breaks a rule, or `end` is called.

        Raises:
            UnreadableError: the client sent what cannot be read.
            UnavailableError: the client was silent for too long, or the broker is away.
            TielineError: the client may not be an instance under that name.

        """
        steps: list[asyncio.Task[Any]] = []
        try:
            up = await self._greet(frames)
            begun = (self._read(frames, up), self._write(write), self._ending.wait(), up.change_interests())
            steps = [asyncio.create_task(step) for step in begun]
            done, _ = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
            self.down.open = False
            await self._finish(steps[1])
            for step in done:
                step.result()
        finally:
            self.down.open = False
            self._house.spawn(self._leave(steps))

    def end(self) -> None:
        """Write what waits, then end the stream."""
        self._ending.set()

    def tell_drain(self, *, leave: bool) -> None:
        """Tell the client that the gateway is about to stop; `leave` all memberships if others can take over."""
        if self._up is not None:
            self.down.put(wire.GatewayItem(drain=wire.Drain()))
            if leave:
                self._up.leave(0)

    async def _leave(self, steps: list[asyncio.Task[Any]]) -> None:
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
        if self._up is not None:
            await self._up.close()

    async def _greet(self, frames: AsyncIterator[bytes]) -> Uplink:
        try:
            async with asyncio.timeout(_LEASE_SECONDS):
                items = _items(await anext(frames, b""))
        except TimeoutError:
            raise UnavailableError("nobody said hello") from None
        if not items or items[0].WhichOneof("item") != "hello":
            raise UnreadableError("the first item of a Link must be Hello")
        service = door.check_service(items[0].hello.service)
        port = await self._house.transport.open(service, self.down)
        up = self._up = Uplink(self._house, port, Door(service, port.instance), self.down)
        self.down.attach(port, up.door.source)
        _log.debug("%s is here (%r)", up.door.source, items[0].hello.client[:80])
        up.take(items[1:])
        return up

    async def _read(self, frames: AsyncIterator[bytes], up: Uplink) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LEASE_SECONDS) as lease:
                async for frame in frames:
                    lease.reschedule(loop.time() + _LEASE_SECONDS)
                    up.take(_items(frame))
                    if self.down.outbox.size > _MOST_UNREAD_BYTES:
                        raise OverloadedError("the client does not read what it is sent")
        except TimeoutError:
            raise UnavailableError(f"the Link was silent for {_LEASE_SECONDS:.0f} s") from None

    async def _write(self, write: Write) -> None:
        while frame := await self.down.frame():
            await write(frame)

    async def _finish(self, writing: asyncio.Task[Any]) -> None:
        """Let what was begun reach the broker and the client, but not for long."""
        if self._up is not None:
            await self._up.settle(_FLUSH_SECONDS)
        self.down.outbox.close()
        await asyncio.wait([writing], timeout=_FLUSH_SECONDS)


class Uplink:
    """The way up: what a client says, item by item."""

    def __init__(self, house: House, port: Port, door_: Door, down: Downlink) -> None:
        self.door = door_
        self._house = house
        self._port = port
        self._down = down
        self._interests: dict[Interest, None] = {}
        self._changes: asyncio.Queue[tuple[int, Change]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._now = 0
        self._observing = False
        self._handlers: dict[str | None, Callable[[Any], None]] = {
            "register": self._register,
            "unregister": self._unregister,
            "event": self._event,
            "request": self._request,
            "answer": self._answer,
            "probe": self._probe,
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
            interests = door.interests(item.interests)
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
            self.leave(item.ref)

    def _check_room(self) -> None:
        if self._changes.qsize() > _MOST_WAITING:
            raise OverloadedError("too many changes wait for the broker", retry_after=RETRY_AFTER)

    def _event(self, item: wire.SendEvent) -> None:
        try:
            envelope = self.door.event(item.envelope, self._now)
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
            self._spawn(self._finish(item.ref, partial(self._port.publish, envelope, list(item.served))))

    def _request(self, item: wire.SendRequest) -> None:
        envelope, error = self.door.request(item.envelope, self._now)
        if error is None and self._house.draining and not envelope.hops:
            error = UnavailableError("the gateway is about to stop", outcome=Outcome.NOT_DELIVERED)
        if error is not None:
            self._down.on_dispatched(envelope.call_id, "", error)
            return
        self._down.flight.made(envelope)
        self._port.dispatch(envelope, item.avoid)

    def _answer(self, item: wire.SendAnswer) -> None:
        envelope = self.door.answer(item.envelope, self._now)
        if envelope is not None and door.is_instance(item.to):
            self._down.flight.up(envelope)
            self._port.answer(item.to, envelope)

    def _probe(self, item: wire.Probe) -> None:
        if len(self._tasks) < _MOST_WAITING:
            self._spawn(self._ask(item.ref, frozenset(filter(door.is_instance, item.instances))))
        else:
            error = error_to_wire(OverloadedError("too much waits for the broker", retry_after=RETRY_AFTER))
            self._down.put(wire.GatewayItem(probed=wire.Probed(ref=item.ref, error=error)))

    async def _ask(self, ref: int, instances: frozenset[str]) -> None:
        answer = wire.Probed(ref=ref)
        try:
            silent, expired = await self._port.probe(instances)
            answer.silent.extend(silent)
            answer.expired.extend(expired)
        except TielineError as error:
            answer.error.CopyFrom(error_to_wire(error))
        self._down.put(wire.GatewayItem(probed=answer))

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


def _items(frame: bytes) -> Sequence[wire.ClientItem]:
    try:
        return wire.LinkRequest.FromString(frame).items
    except DecodeError:
        raise UnreadableError(f"{len(frame)} bytes are no LinkRequest") from None
