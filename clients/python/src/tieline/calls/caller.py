"""Calls as the caller sees them: to a handler here or to one elsewhere; deadlines; asking after responders."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from tieline import codec
from tieline._contract.contract import ASK_TOPIC
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import NOT_COUNTED, Call
from tieline.calls.call_errors import is_refusal
from tieline.calls.calls import Calls
from tieline.calls.deadlines import Deadlines
from tieline.calls.local_call import LocalCall
from tieline.calls.stream_call import StreamCall
from tieline.clock import Timer
from tieline.context import Event
from tieline.delivery import Around, Delivery
from tieline.envelope import ACCEPTED, CANCEL, CREDIT, REPLY, new_id
from tieline.errors import InvalidPayloadError, Outcome, TielineError, UnavailableError
from tieline.explain.trail import Record, Trail
from tieline.figures.tally import Tally
from tieline.observe import Observer, StepName, step_of
from tieline.outgoing import Origin
from tieline.settings import Settings
from tieline.subscription import Subscription
from tieline.transport import Port


class Own(Protocol):
    """This process as a responder of its own calls (part of `Receiver`)."""

    def on_request(self, envelope: Envelope) -> None:
        """A request for a handler here."""

    def on_answer(self, envelope: Envelope) -> None:
        """CANCEL or CREDIT for a handler here."""


class Caller:
    """All calls of one event system, with one timer for all their deadlines."""

    def __init__(
        self, settings: Settings, origin: Origin, observer: Observer | None, own: Own, trail: Trail, tally: Tally
    ) -> None:
        self._settings = settings
        self._origin = origin
        self._observer = observer
        self._own = own
        self._trail = trail
        self._tally = tally
        self._deadlines = Deadlines()
        self._calls = Calls(self, self._deadlines, settings)
        self._port: Port | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: Timer | None = None
        self._monotonic = origin.clock.monotonic
        self._watcher: asyncio.Task[None] | None = None
        self._watched: asyncio.Event = asyncio.Event()
        self.around: Around | None = None

    @property
    def active(self) -> int:
        """Remote calls that are not done."""
        return self._calls.active

    def out(self) -> list[Call]:
        """Remote calls that are not done."""
        return self._calls.all()

    def waiting(self) -> Iterator[Record]:
        """What there is to tell of them."""
        return map(self._trail.waiting, self._calls.all())

    def attach(self, port: Port) -> None:
        """Call through this port from now on."""
        self._port = port
        self._calls.in_process = port.in_process
        self._monotonic = port.clock.monotonic
        self._loop = asyncio.get_running_loop()
        self._watched = asyncio.Event()
        self._watcher = self._loop.create_task(self._watch())

    async def close(self) -> None:
        """End what is still out with UNAVAILABLE."""
        if self._watcher:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        for call in self._calls.all():
            outcome = Outcome.MAY_HAVE_RUN if call.attempts or call.may_have_run else Outcome.NOT_DELIVERED
            message = "the event system was closed while the call was out"
            self._calls.close(call, UnavailableError(message, outcome=outcome))
        if self._timer:
            self._timer.cancel()

    # --- a call ---------------------------------------------------------------------------------------------------

    def begin_local(self, subscription: Subscription, envelope: Envelope, data: Any) -> LocalCall:
        """Have a handler of this process answer, in a task and context of its own; `end_local` must follow."""
        event = Event(envelope, self._origin.clock)
        if subscription.by_reference:
            event.set_data(data)
        began = self._monotonic()
        moment = began + envelope.ttl_ms / 1000
        call = LocalCall(moment)
        call.delivery = delivery = Delivery(subscription, event, call, self.around)
        if self._observer:
            self._say(StepName.ROUTED_LOCAL, envelope, subscription=subscription.name)
        subscription.mailbox.offer(delivery)
        if call.answered:
            if call.error is None:
                subscription.calls.prompt.record(self._monotonic() - began)
            else:
                delivery.began, delivery.queued, delivery.series = began, 0.0, subscription.calls
                delivery.count(call.error)
        else:
            assert self._loop is not None
            delivery.began, delivery.queued, delivery.series = began, 0.0, subscription.calls
            call.future = self._loop.create_future()
            if self._deadlines.add(moment, call):
                self.wake_at(moment)
        return call

    def end_local(self, call: LocalCall) -> None:
        """The call is over: answered, timed out or cancelled. A handler that still runs is cancelled, not awaited."""
        call.done = True
        delivery, call.delivery = call.delivery, None  # no cycle for the collector
        assert delivery is not None
        if call.future is not None:
            self._deadlines.finished()
            self._count(call, delivery.event.envelope)
        elif call.error is not None:
            self._count(call, delivery.event.envelope)
        if not call.answered:
            delivery.cancel()
        if self._trail.room or call.failure is not None:
            self._remember(call, delivery)

    def _count(self, call: LocalCall, request: Envelope) -> None:
        """What failed, or was not answered at once; after a refusal it is somebody else's."""
        topic, failure = request.topic, call.failure
        series = self._tally.calls(topic)
        if failure is not None and is_refusal(failure):
            return
        series.published += 1
        if failure is not None:
            self._tally.call_failed(topic, failure.code)
        elif call.answered:
            series.trip.record(self._monotonic() - (call.deadline - request.ttl_ms / 1000))
        else:
            self._tally.call_failed(topic, "CANCELLED")

    def _remember(self, call: LocalCall, delivery: Delivery) -> None:
        """Only what somebody can ask for: a call that was given no name has none, unless it failed."""
        request, failure = delivery.event.envelope, call.failure
        if failure is not None or request.correlation_id or request.id:
            correlation_id = self._trail.local(delivery, call.deadline - request.ttl_ms / 1000, failure)
            if failure is not None:
                self._store(correlation_id)

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
        now, port = self._monotonic(), self._port
        assert self._loop is not None
        assert port is not None
        call = Call(request, deadline or now + request.ttl_ms / 1000, self._loop.create_future())
        if refusal is not None:
            call.avoid, call.last_error, call.refusals = port.instance, refusal, NOT_COUNTED
        self._start(call, request, now, idempotent, patience, wait_for_link)
        return call

    def begin_at(self, request: Envelope, instance: str, deadline: float) -> Call:
        """Have this instance answer, or nobody."""
        assert self._loop is not None
        call = Call(request, deadline, self._loop.create_future(), to=instance)
        self._start(call, request, self._monotonic(), False, 0.0, 0.0)
        return call

    def begin_stream(
        self,
        request: Envelope,
        limit: float,
        window: int,
        near: bool = False,
        idempotent: bool = False,
        patience: float = 0.0,
        wait_for_link: float = 0.0,
    ) -> StreamCall:
        """Have somebody stream, `near`: a responder here. `limit` is the end of it all (monotonic seconds)."""
        now = self._monotonic()
        call = StreamCall(request, now, limit=limit, window=window, near=near)
        self._start(call, request, now, idempotent, patience, wait_for_link)
        return call

    def _start(
        self, call: Call, request: Envelope, now: float, idempotent: bool, patience: float, wait_for_link: float
    ) -> None:
        assert self._port is not None
        identity = request.id
        if not identity:
            identity = request.id = new_id()
        if self._trail.room:
            call.correlation_id = request.correlation_id or identity
        call.began = now
        call.series = series = self._tally.calls(call.topic)
        series.published += 1
        request.reply_to = self._port.instance
        if idempotent:
            call.idempotent = request.idempotent = True
        if patience or wait_for_link:
            call.patience = now + patience
            call.wait_for_link = now + wait_for_link
        self._calls.start(call, now)
        if not self._watched.is_set():
            self._watched.set()

    async def await_change(self, call: StreamCall) -> None:
        """Return when there is something to read, or the call is done."""
        await call.change(self._monotonic())

    def taken(self, call: StreamCall) -> None:
        """The reader took an item."""
        self._calls.taken(call)

    def abandon(self, call: Call) -> None:
        """The caller was cancelled."""
        if not call.done:
            self._tally.call_failed(call.topic, "CANCELLED")
        self._trail.step(StepName.CANCELLED, call.envelope)
        self._calls.abandon(call)
        if self._observer:
            self._say(StepName.CANCELLED, call.envelope)

    # --- what the port reports ------------------------------------------------------------------------------------

    def dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """See `Receiver.on_dispatched`."""
        self._calls.dispatched(call_id, instance, error, self._monotonic())

    def joined(self, call_id: bytes, until: int, instance: str) -> None:
        """See `Receiver.on_joined`."""
        call = self._calls.joined(call_id, self._origin.clock.local(until), instance)
        if call is not None:
            self._unusual(StepName.JOINED, call.envelope, until=until, instance=instance)

    def answered(self, envelope: Envelope) -> None:
        """A REPLY or ACCEPTED arrived."""
        call = self._calls.answered(envelope, self._monotonic())
        if envelope.kind == REPLY and envelope.idempotency_key and call is not None:
            self._unusual(StepName.DEDUPLICATED, call.envelope)
        if self._observer:
            if call is None:
                self._say(StepName.DROPPED, envelope, why="it answers no call that is out")
            elif envelope.kind == ACCEPTED:
                self._say(StepName.ACCEPTED, call.envelope, instance=call.instance)

    def link_down(self) -> None:
        """The broker is away."""
        self._calls.link_down(self._monotonic())

    def link_up(self) -> None:
        """The broker is back."""
        self._calls.link_up(self._monotonic())

    def link_left(self, attempts: set[bytes]) -> None:
        """These attempts get no answer any more."""
        self._calls.link_left(attempts, self._monotonic())

    def under_way(self) -> set[bytes]:
        """Ids of the attempts that are out."""
        return self._calls.under_way()

    # --- what the calls ask for (Effects) -------------------------------------------------------------------------

    def dispatch(self, call: Call, envelope: Envelope) -> bytes:
        """Send an attempt."""
        port = self._port
        assert port is not None
        if call.near or call.to == port.instance:
            call.near = False
            if self._observer:
                self._say(StepName.ROUTED_LOCAL, envelope)
            self._own.on_request(envelope)
            self._calls.dispatched(envelope.call_id, port.instance, None, self._monotonic())
            return b""
        if self._observer:
            self._say(StepName.ROUTED_REMOTE, envelope, avoid=call.avoid)
        return port.dispatch(envelope, call.avoid, call.to)

    def release(self, call: Call, error: TielineError) -> None:
        """Give up the claim of an idempotency key."""
        if self._port is not None:
            self._port.release(call.envelope, error)

    def cancel(self, instance: str, call_id: bytes) -> None:
        """Send CANCEL."""
        self._tell(instance, Envelope(kind=CANCEL, call_id=call_id))  # pyright: ignore[reportArgumentType]

    def credit(self, call: StreamCall) -> None:
        """Send CREDIT."""
        self._tell(call.instance, Envelope(kind=CREDIT, call_id=call.call_id, stream=call.flow.grant()))  # pyright: ignore[reportArgumentType]

    def _tell(self, instance: str, envelope: Envelope) -> None:
        """Send something to a responder; one in this process gets it at once."""
        if self._port is not None:
            if instance in self._origin.places:
                self._own.on_answer(envelope)
            else:
                self._port.answer(instance, envelope)

    def arrived(self, call: StreamCall) -> None:
        """There is something to read."""
        call.wake()

    def resolve(self, call: Call, reply: Envelope) -> None:
        """A reply came."""
        if self._observer:
            self._say(StepName.COMPLETED, call.envelope, instance=reply.source, attempts=call.attempts)
        if self._trail.room and call.correlation_id and call.topic != ASK_TOPIC:
            self._trail.called(call)
        if isinstance(call, StreamCall):
            call.wake()
            return
        call.series.trip.record(self._monotonic() - call.began)
        if not call.waiter.done():
            call.waiter.set_result(reply)

    def reject(self, call: Call, error: TielineError) -> None:
        """The call failed."""
        if self._observer:
            self._say(StepName.FAILED, call.envelope, code=error.code, outcome=str(error.outcome))
        self._tally.call_failed(call.topic, error.code)
        if isinstance(call, StreamCall):
            call.error = error
            call.wake()
        elif not call.waiter.done():
            call.waiter.set_exception(error)
        if call.topic != ASK_TOPIC:  # whoever asks often would remember little else
            self._store(self._trail.called(call, error))

    def wake_at(self, moment: float) -> None:
        """Look at the deadlines at this moment."""
        if self._timer:
            self._timer.cancel()
        self._timer = self._origin.clock.call_at(moment, self._advance)

    def _advance(self) -> None:
        self._timer = None
        self._deadlines.advance(self._monotonic())
        moment = self._deadlines.next()
        if moment is not None and self._timer is None:
            self.wake_at(moment)

    # --- liveness -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ask after the responders of old calls, for as long as there are calls."""
        while True:
            await self._watched.wait()
            pause = self._settings.probe_confirm if self._calls.any_silent() else self._settings.probe_interval
            await self._origin.clock.sleep(pause)
            if not self._calls.active:
                self._watched.clear()
                continue
            with contextlib.suppress(TielineError):  # what could not be asked proves nothing
                await self._ask()

    async def _ask(self) -> None:
        suspects = self._calls.suspects(self._monotonic())
        if suspects and self._port is not None:
            probed = await self._port.probe(suspects)
            self._calls.probed(probed.silent, probed.expired, suspects, self._monotonic())

    def _store(self, correlation_id: str) -> None:
        if self._port is not None:
            self._trail.store(correlation_id, self._origin.source, self._port)

    def _unusual(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        self._trail.step(name, envelope, **detail)
        self._tally.step(name)
        if self._observer:
            self._say(name, envelope, **detail)

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
