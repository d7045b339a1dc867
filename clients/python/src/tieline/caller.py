"""Calls as the caller sees them: to a handler here or to one elsewhere; deadlines; asking after responders."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import Any

from tieline import codec
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls import Call, Calls
from tieline.context import Event
from tieline.deadlines import Deadlines
from tieline.delivery import Around, Delivery, interruption, unsendable
from tieline.envelope import CANCEL, error_from_wire, error_to_wire, new_id
from tieline.errors import (
    CallTimeoutError,
    InvalidPayloadError,
    Outcome,
    TielineError,
    UnavailableError,
)
from tieline.observe import Observer, StepName, step_of
from tieline.outgoing import Origin
from tieline.settings import Settings
from tieline.subscription import Subscription
from tieline.transport import Port

_SHARED = (type(None), bool, float)


class LocalCall:
    """A call answered in this process: outlet of its delivery and waiter for its deadline.

    There is a `future` to wait for only if the handler did not end in its first step.
    """

    __slots__ = ("answered", "content_type", "data", "deadline", "delivery", "done", "error", "future", "value")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.future: asyncio.Future[None] | None = None
        self.error: TielineError | None = None
        self.delivery: Delivery | None = None
        self.done = False
        self.answered = False
        self.data = b""
        self.content_type = ""
        self.value: Any = None

    def succeeded(self, delivery: Delivery, result: Any) -> None:
        """Encode the reply exactly as it would have travelled; immutable values are shared as they are."""
        self.answered = True
        future = self.future
        if future is not None and future.done():
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
        if future is not None:
            future.set_result(None)

    def failed(self, delivery: Delivery, error: TielineError) -> None:
        """The error as the caller would have got it from elsewhere."""
        travelled = error_from_wire(error_to_wire(error))
        self.answered = True
        if self.future is None:
            self.error = travelled
        elif not self.future.done():
            self.future.set_exception(travelled)

    def interrupted(self, delivery: Delivery) -> None:
        """The handler was cancelled, perhaps although the caller still waits."""
        self.failed(delivery, interruption(delivery))

    def due(self, now: float) -> None:
        """The deadline passed."""
        envelope = self.delivery.event.envelope if self.delivery else Envelope()
        begun = self.delivery is not None and self.delivery.begun
        outcome = Outcome.MAY_HAVE_RUN if begun else Outcome.NOT_DELIVERED
        if self.future is not None and not self.future.done():
            message = f"no reply from {envelope.topic!r} within {envelope.ttl_ms} ms"
            details = {"accepted": begun, "attempts": 1}
            self.future.set_exception(CallTimeoutError(message, outcome=outcome, details=details))

    def result(self) -> Any:
        """What the caller gets, as a value or as an error."""
        if self.error is not None:
            raise self.error
        return codec.decode(self.data, self.content_type) if self.data else self.value


class Caller:
    """All calls of one event system, with one timer for all their deadlines."""

    def __init__(self, settings: Settings, origin: Origin, observer: Observer | None) -> None:
        self._settings = settings
        self._origin = origin
        self._observer = observer
        self._deadlines = Deadlines()
        self._calls = Calls(self, self._deadlines, settings)
        self._port: Port | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._watched: asyncio.Event = asyncio.Event()
        self.around: Around | None = None

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
        self._calls.link_down(monotonic())
        for call in self._calls.all():
            self._calls.close(call, UnavailableError("the event system was closed while the call was out"))
        if self._timer:
            self._timer.cancel()

    # --- a call ---------------------------------------------------------------------------------------------------

    def begin_local(self, subscription: Subscription, envelope: Envelope, data: Any) -> LocalCall:
        """Have a handler of this process answer, in a task and context of its own; `end_local` must follow."""
        event = Event(envelope, self._origin.clock)
        if subscription.by_reference:
            event.set_data(data)
        moment = monotonic() + envelope.ttl_ms / 1000
        call = LocalCall(moment)
        call.delivery = delivery = Delivery(subscription, event, call, self.around)
        if self._observer:
            self._say(StepName.ROUTED_LOCAL, envelope, subscription=subscription.name)
        subscription.mailbox.offer(delivery)
        if not call.answered:
            assert self._loop is not None
            call.future = self._loop.create_future()
            if self._deadlines.add(moment, call):
                self.wake_at(moment)
        return call

    def end_local(self, call: LocalCall) -> None:
        """The call is over: answered, timed out or cancelled. A handler that still runs is cancelled, not awaited."""
        call.done = True
        if call.future is not None:
            self._deadlines.finished()
        if not call.answered and call.delivery is not None:
            call.delivery.cancel()
        call.delivery = None  # no cycle for the collector

    def begin(
        self,
        request: Envelope,
        idempotent: bool = False,
        patience: float = 0.0,
        wait_for_link: float = 0.0,
        refusal: TielineError | None = None,
        deadline: float = 0.0,
    ) -> Call:
        """Have somebody elsewhere answer; the call's `waiter` gets the REPLY. `patience` waits for responders (s).

        After the `refusal` of a responder here this instance is avoided; it is the result if nobody else is there.
        """
        now = monotonic()
        loop, port = self._loop, self._port
        assert loop is not None
        assert port is not None
        request.id = request.id or new_id()
        request.reply_to = port.instance
        call = Call(request, deadline or now + request.ttl_ms / 1000, loop.create_future())
        if idempotent:
            call.idempotent = request.idempotent = True
        if patience or wait_for_link:
            call.patience = now + patience
            call.wait_for_link = now + wait_for_link
        if refusal is not None:
            call.avoid, call.last_error = port.instance, refusal
        self._calls.start(call, now)
        if not self._watched.is_set():
            self._watched.set()
        return call

    def abandon(self, call: Call) -> None:
        """The caller was cancelled."""
        self._calls.abandon(call)
        if self._observer:
            self._say(StepName.CANCELLED, call.envelope)

    # --- what the port reports ------------------------------------------------------------------------------------

    def dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """See `Receiver.on_dispatched`."""
        self._calls.dispatched(call_id, instance, error, monotonic())

    def answered(self, envelope: Envelope) -> None:
        """A REPLY or ACCEPTED arrived."""
        call = self._calls.answered(envelope, monotonic())
        if self._observer:
            if call is None:
                self._say(StepName.DROPPED, envelope, why="it answers no call that is out")
            elif not call.done:
                self._say(StepName.ACCEPTED, call.envelope, instance=call.instance)

    def link_down(self) -> None:
        """The broker is away."""
        self._calls.link_down(monotonic())

    def link_up(self) -> None:
        """The broker is back."""
        self._calls.link_up(monotonic())

    # --- what the calls ask for (Effects) -------------------------------------------------------------------------

    def dispatch(self, envelope: Envelope, avoid: str) -> bytes:
        """Send an attempt."""
        assert self._port is not None
        if self._observer:
            self._say(StepName.ROUTED_REMOTE, envelope, avoid=avoid)
        return self._port.dispatch(envelope, avoid)

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
        self._timer = self._loop.call_later(max(0.0005, moment - monotonic()), self._advance)

    def _advance(self) -> None:
        self._timer = None
        self._deadlines.advance(monotonic())
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
        suspects = self._calls.suspects(monotonic())
        if suspects and self._port is not None:
            probed = await self._port.probe(suspects)
            self._calls.probed(probed.silent, probed.expired, suspects, monotonic())

    def _say(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        assert self._observer is not None
        self._observer(step_of(name, self._origin.clock.now(), envelope, **detail))


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
