"""Calls as the caller sees them: to a handler here or to one elsewhere; deadlines; asking after responders."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

from tieline import codec
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls import Call, Calls
from tieline.clock import Clock
from tieline.context import Event
from tieline.deadlines import Deadlines
from tieline.delivery import Around, Delivery, unsendable
from tieline.envelope import CANCEL, new_id
from tieline.errors import (
    CallCancelledError,
    CallTimeoutError,
    InvalidPayloadError,
    Outcome,
    TielineError,
    UnavailableError,
)
from tieline.observe import Observer, StepName, step_of
from tieline.settings import Settings
from tieline.subscription import Subscription
from tieline.transport import Port

_SHARED = (type(None), bool, float)


class Reply(Protocol):
    """What ends a call well: an encoded payload and its media type ("" is msgpack)."""

    data: bytes
    content_type: str


class LocalCall:
    """A call answered in this process: outlet of its delivery and waiter for its deadline."""

    __slots__ = ("content_type", "data", "delivery", "done", "future", "value")

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future
        self.delivery: Delivery | None = None
        self.done = False
        self.data = b""
        self.content_type = ""
        self.value: Any = None

    def succeeded(self, delivery: Delivery, result: Any) -> None:
        """Encode the reply exactly as it would have travelled; immutable values are shared as they are."""
        if self.future.done():
            return
        try:
            if type(result) in _SHARED or delivery.subscription.by_reference:
                self.value = result
            else:
                requested = delivery.event.envelope.content_type
                self.data, self.content_type = codec.encode_reply(result, requested)
        except TielineError as error:
            self.failed(delivery, unsendable(error))
            return
        self.future.set_result(self)

    def failed(self, delivery: Delivery, error: TielineError) -> None:
        """The error as the caller would have got it from elsewhere."""
        if not self.future.done():
            self.future.set_exception(error)

    def interrupted(self, delivery: Delivery) -> None:
        """The handler was cancelled although the caller still waits."""
        self.failed(delivery, CallCancelledError("the handler was cancelled", outcome=Outcome.MAY_HAVE_RUN))

    def due(self, now: float) -> None:
        """The deadline passed."""
        envelope = self.delivery.event.envelope if self.delivery else Envelope()
        begun = self.delivery is not None and self.delivery.begun
        outcome = Outcome.MAY_HAVE_RUN if begun else Outcome.NOT_DELIVERED
        if not self.future.done():
            message = f"no reply from {envelope.topic!r} within {envelope.ttl_ms} ms"
            self.future.set_exception(CallTimeoutError(message, outcome=outcome, details={"accepted": begun}))

    def result(self) -> Any:
        """What the caller gets."""
        return codec.decode(self.data, self.content_type) if self.data else self.value

    def encoded(self) -> tuple[bytes, str]:
        """The reply as it would have travelled."""
        return (self.data, self.content_type) if self.data else (codec.encode(self.value), "")


class Caller:
    """All calls of one event system, with one timer for all their deadlines."""

    def __init__(self, settings: Settings, clock: Callable[[], Clock], observer: Observer | None) -> None:
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._deadlines = Deadlines()
        self._calls = Calls(self, self._deadlines, settings)
        self._port: Port | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._watched: asyncio.Event = asyncio.Event()

    @property
    def active(self) -> int:
        """Remote calls that are not done."""
        return self._calls.active

    def attach(self, port: Port) -> None:
        """Call through this port from now on."""
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._watched = asyncio.Event()
        self._watcher = self._loop.create_task(self._watch())

    async def close(self) -> None:
        """End what is still out with UNAVAILABLE."""
        if self._watcher:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        self._calls.link_down(time.monotonic())
        for call in self._calls.all():
            self._calls.close(call, UnavailableError("the event system was closed while the call was out"))
        if self._timer:
            self._timer.cancel()

    # --- a call ---------------------------------------------------------------------------------------------------

    async def local(self, subscription: Subscription, envelope: Envelope, data: Any, around: Around | None) -> LocalCall:
        """Have a handler of this process answer; it runs in a task and context of its own."""
        assert self._loop is not None
        call = LocalCall(self._loop.create_future())
        event = Event(envelope, self._clock())
        if subscription.by_reference:
            event.set_data(data)
        call.delivery = delivery = Delivery(subscription, event, call, around)
        moment = time.monotonic() + envelope.ttl_ms / 1000
        if self._deadlines.add(moment, call):
            self.wake_at(moment)
        if self._observer:
            self._say(StepName.ROUTED_LOCAL, envelope, subscription=subscription.name)
        subscription.mailbox.offer(delivery)
        try:
            return await call.future
        except (asyncio.CancelledError, CallTimeoutError):
            delivery.cancel()
            raise
        finally:
            call.done = True
            self._deadlines.finished()

    async def remote(
        self, envelope: Envelope, *, idempotent: bool, patience: float, wait_for_link: float, avoid: str
    ) -> Envelope:
        """Have somebody elsewhere answer; returns the REPLY."""
        assert self._loop is not None
        now = time.monotonic()
        envelope.id = envelope.id or new_id()
        envelope.idempotent = idempotent
        future: asyncio.Future[Envelope] = self._loop.create_future()
        deadline = now + envelope.ttl_ms / 1000
        call = Call(
            envelope,
            deadline,
            future,
            idempotent=idempotent,
            patience=now + patience if patience else 0.0,
            wait_for_link=now + wait_for_link if wait_for_link else 0.0,
            avoid=avoid,
        )
        self._calls.start(call, now)
        self._watched.set()
        try:
            return await future
        except asyncio.CancelledError:
            self._calls.abandon(call)
            if self._observer:
                self._say(StepName.CANCELLED, envelope)
            raise

    # --- what the port reports ------------------------------------------------------------------------------------

    def dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """See `Receiver.on_dispatched`."""
        self._calls.dispatched(call_id, instance, error, time.monotonic())

    def answered(self, envelope: Envelope) -> None:
        """A REPLY or ACCEPTED arrived."""
        call = self._calls.answered(envelope, time.monotonic())
        if self._observer:
            if call is None:
                self._say(StepName.DROPPED, envelope, why="it answers no call that is out")
            elif not call.done:
                self._say(StepName.ACCEPTED, call.envelope, instance=call.instance)

    def link_down(self) -> None:
        """The broker is away."""
        self._calls.link_down(time.monotonic())

    def link_up(self) -> None:
        """The broker is back."""
        self._calls.link_up(time.monotonic())

    # --- what the calls ask for (Effects) -------------------------------------------------------------------------

    def dispatch(self, envelope: Envelope, avoid: str) -> None:
        """Send an attempt."""
        assert self._port is not None
        if self._observer:
            self._say(StepName.ROUTED_REMOTE, envelope, avoid=avoid)
        self._port.dispatch(envelope, avoid)

    def cancel(self, instance: str, call_id: bytes) -> None:
        """Send CANCEL."""
        if self._port is not None:
            self._port.answer(instance, Envelope(kind=CANCEL, call_id=call_id))  # pyright: ignore[reportArgumentType]

    def resolve(self, call: Call, reply: Envelope) -> None:
        """A reply came."""
        if self._observer:
            self._say(StepName.COMPLETED, call.envelope, instance=reply.source, attempts=call.attempts)
        if not call.waiter.done():
            call.waiter.set_result(reply)

    def reject(self, call: Call, error: TielineError) -> None:
        """The call failed."""
        if self._observer:
            self._say(StepName.FAILED, call.envelope, code=error.code, outcome=str(error.outcome))
        if not call.waiter.done():
            call.waiter.set_exception(error)

    def wake_at(self, moment: float) -> None:
        """Look at the deadlines at this moment."""
        assert self._loop is not None
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0005, moment - time.monotonic()), self._advance)

    def _advance(self) -> None:
        self._timer = None
        self._deadlines.advance(time.monotonic())
        moment = self._deadlines.next()
        if moment is not None and self._timer is None:
            self.wake_at(moment)

    # --- liveness -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ask after the responders of old calls, for as long as there are calls."""
        while True:
            await self._watched.wait()
            pause = self._settings.probe_confirm if self._calls.any_silent() else self._settings.probe_interval
            await asyncio.sleep(pause)
            if not self._calls.active:
                self._watched.clear()
                continue
            with contextlib.suppress(TielineError):  # what could not be asked proves nothing
                await self._ask()

    async def _ask(self) -> None:
        suspects = self._calls.suspects(time.monotonic())
        if suspects and self._port is not None:
            probed = await self._port.probe(suspects)
            self._calls.probed(probed.silent, probed.expired, suspects, time.monotonic())

    def _say(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        assert self._observer is not None
        self._observer(step_of(name, self._clock().now(), envelope, **detail))


def reply_value(reply: Envelope) -> Any:
    """The payload of a REPLY.

    Raises:
        InvalidPayloadError: it cannot be read; the call ran.

    """
    try:
        return codec.decode(reply.data, reply.content_type)
    except InvalidPayloadError as error:
        error.outcome = Outcome.RAN
        raise
