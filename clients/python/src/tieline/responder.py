"""What arrives for this instance: requests to answer, events to handle, cancels to obey."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tieline import codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope, Stream
from tieline.calls.streams import Outflow
from tieline.clock import Timer
from tieline.context import Event
from tieline.delivery import Around, Delivery, crowded, interruption, unsendable, unsendable_reply
from tieline.envelope import ACCEPTED, REPLY, STREAM_END, STREAM_ITEM, error_to_wire
from tieline.errors import ExpiredError, NoRespondersError, TielineError
from tieline.event_outlet import HANDLED, EventOutlet
from tieline.explain.trail import Trail
from tieline.figures.tally import LIVE, NOWHERE, Tally
from tieline.observe import Observer, StepName, step_of
from tieline.outgoing import Origin
from tieline.router import Router
from tieline.settings import Settings
from tieline.subscription import Subscription
from tieline.system_events import SystemEvents
from tieline.transport import Interest, Port, Route

log = logging.getLogger("tieline")

_SWEEP_SECONDS = 0.1
_WARN_SECONDS = 1.0
_HANDLER_ERROR = contract.ERRORS["HANDLER_ERROR"].number
_STREAM_LEASE_SECONDS = contract.DEFAULT_STREAM_LEASE_MS / 1000


class Responder:
    """Runs this instance's handlers for what the port brings; `own` is told what answers a call of this instance."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        origin: Origin,
        observer: Observer | None,
        system: SystemEvents,
        own: Callable[[Envelope], None],
        trail: Trail,
        tally: Tally,
    ) -> None:
        self._settings = settings
        self._router = router
        self._origin = origin
        self._observer = observer
        self._system = system
        self._port: Port | None = None
        self._source = ""
        self._own = own
        self._trail = trail
        self._tally = tally
        self._serving: dict[bytes, Delivery] = {}
        self._sweeper: Timer | None = None
        self._monotonic = origin.clock.monotonic
        self._event_outlet = EventOutlet(self)
        self.around: Around | None = None

    def attach(self, port: Port, source: str) -> None:
        """Answer through this port from now on."""
        self._port = port
        self._monotonic = port.clock.monotonic
        self._source = source

    def under_way(self) -> set[bytes]:
        """Ids of the calls that are being answered."""
        return set(self._serving)

    def forget(self) -> None:
        """The loop is gone, and all that ran on it."""
        self._serving.clear()
        self._sweeper = None

    # --- requests -------------------------------------------------------------------------------------------------

    def request(self, envelope: Envelope) -> None:
        """See `Receiver.on_request`."""
        if envelope.call_id in self._serving:
            self.unusual(StepName.DROPPED, envelope, why="it is being answered already")
            return
        subscription = self._router.taker(envelope.topic, envelope.group)
        clock = self._origin.clock
        broker_now = clock.now()
        if self._observer:
            self.say(StepName.RECEIVED, envelope)
        if 0 < envelope.expires_at <= broker_now:
            (subscription.calls if subscription is not None else NOWHERE).expired += 1
            self._refuse(envelope, ExpiredError(f"the request on {envelope.topic!r} had expired on arrival"))
        elif subscription is None:
            self._refuse(envelope, self._no_taker(envelope))
        else:
            around = None if subscription.internal else self.around
            delivery = Delivery(subscription, Event(envelope, clock), self, around)
            delivery.started = now = self._monotonic()
            delivery.series, delivery.queued = subscription.calls, (broker_now - envelope.time) / 1000
            if envelope.HasField("stream"):
                delivery.flow = Outflow(envelope.stream.window, now)
            self._serving[envelope.call_id] = delivery
            if self._sweeper is None:
                self._sweeper = self._origin.clock.call_later(_SWEEP_SECONDS, self._sweep)
            subscription.mailbox.offer(delivery)

    def credited(self, credit: Envelope) -> None:
        """The reader of a stream said how far it is; unknown and finished streams are ignored."""
        delivery = self._serving.get(credit.call_id)
        if delivery is not None and delivery.flow is not None:
            delivery.flow.credited(credit.stream, self._monotonic())

    def cancel(self, call_id: bytes) -> None:
        """The caller gave up; unknown and finished calls are ignored."""
        delivery = self._serving.get(call_id)
        if delivery is not None:
            self._give_up(delivery)

    def _give_up(self, delivery: Delivery) -> None:
        """Nobody waits for the reply any more: it has expired, or the caller says so, or both."""
        if delivery.event.cancelled:
            return
        self._trail.given_up(delivery)
        self.say(StepName.CANCELLED, delivery.event.envelope)
        delivery.cancel()

    def succeeded(self, delivery: Delivery, result: Any) -> None:
        """A handler returned: send the reply."""
        request = delivery.event.envelope
        try:
            data, content_type = codec.encode_reply(result, request.content_type)
        except TielineError as error:
            self.failed(delivery, unsendable_reply(delivery, error))
            return
        self._reply(
            delivery,
            Envelope(
                kind=REPLY,  # pyright: ignore[reportArgumentType]
                call_id=request.call_id,
                source=self._source,
                content_type=content_type,
                data=data,
            ),
        )

    def item(self, delivery: Delivery, value: Any) -> None:
        """A handler yielded: send the item."""
        request, flow = delivery.event.envelope, delivery.flow
        assert flow is not None
        try:
            data, content_type = codec.encode_reply(value, request.content_type)
        except TielineError as error:
            raise unsendable(error, "what the handler yielded") from error
        number = flow.next()
        item = Envelope(kind=STREAM_ITEM, call_id=request.call_id, data=data, stream=Stream(sequence=number))  # pyright: ignore[reportArgumentType]
        if content_type:
            item.content_type = content_type
        if number == 1:
            item.source = self._source
            delivery.accepted = True
        self._answer(request.reply_to, item)

    def ended(self, delivery: Delivery) -> None:
        """A handler yielded for the last time."""
        self._reply(delivery, self._end(delivery))

    def failed(self, delivery: Delivery, error: TielineError) -> None:
        """A handler raised or could not be run: send the error."""
        if delivery.flow is None or not delivery.flow.sent:
            self._reply(delivery, self._error_reply(delivery.event.envelope, error))
        else:
            end = self._end(delivery)
            end.error.CopyFrom(error_to_wire(error))
            self._reply(delivery, end)

    def _end(self, delivery: Delivery) -> Envelope:
        return Envelope(
            kind=STREAM_END,  # pyright: ignore[reportArgumentType]
            call_id=delivery.event.envelope.call_id,
            source=self._source,
            stream=Stream(sequence=delivery.flow.sent if delivery.flow is not None else 0),
        )

    def interrupted(self, delivery: Delivery) -> None:
        """A handler was cancelled: silence if the caller asked for it, else the caller must know."""
        if delivery.event.cancelled:
            self._serving.pop(delivery.event.envelope.call_id, None)
        else:
            self.failed(delivery, interruption(delivery))

    def _remember(self, delivery: Delivery, code: int) -> None:
        call_id = delivery.event.envelope.call_id
        if code:
            self.store_trail(self._trail.served(delivery, call_id, code))
        elif self._trail.room:
            self._trail.served(delivery, call_id, 0)

    def _reply(self, delivery: Delivery, reply: Envelope) -> None:
        request = delivery.event.envelope
        if self._serving.pop(request.call_id, None) is None:
            return
        failed = reply.HasField("error")
        if request.topic != contract.ASK_TOPIC:  # whoever is asked often would remember little else
            self._remember(delivery, reply.error.code if failed else 0)
        if self._observer:
            code = reply.error.code if failed else 0
            self.say(StepName.REPLIED, request, subscription=delivery.subscription.name, error=code)
        if request.idempotency_key and self._port is not None and _is_result(reply):
            reply.topic, reply.idempotency_key = request.topic, request.idempotency_key
            reply.fingerprint, reply.causation_id = request.fingerprint, request.id
            self._port.answer(request.reply_to, reply)
        else:
            self._answer(request.reply_to, reply)

    def _answer(self, to: str, envelope: Envelope) -> None:
        """Send something to whoever made the request; a caller in this process gets it at once."""
        if to in self._origin.places:
            self._own(envelope)
        elif self._port is not None:
            self._port.answer(to, envelope)

    def _refuse(self, request: Envelope, error: TielineError) -> None:
        self.unusual(StepName.DROPPED, request, why=error.code)
        self.store_trail(request.correlation_id or request.id)
        self._answer(request.reply_to, self._error_reply(request, error))

    def _error_reply(self, request: Envelope, error: TielineError) -> Envelope:
        return Envelope(
            kind=REPLY,  # pyright: ignore[reportArgumentType]
            call_id=request.call_id,
            source=self._source,
            error=error_to_wire(error),
        )

    def _no_taker(self, request: Envelope) -> TielineError:
        topic = request.topic
        if not self._router.has_responder(topic, request.group):
            return NoRespondersError(f"the responder of {topic!r} has just unsubscribed")
        self._tally.count("overloads")
        self._system.overload(request)
        return crowded(topic, self._settings.retry_after)

    def _sweep(self) -> None:
        """Say ACCEPTED for what takes long; cancel what has expired. Requests are in the order of their start."""
        self._sweeper = None
        oldest, broker_now = self._monotonic() - self._settings.accept_after, self._origin.clock.now()
        for delivery in list(self._serving.values()):
            if delivery.started > oldest:
                break
            self._tend(delivery, broker_now)
        if self._serving:
            self._sweeper = self._origin.clock.call_later(_SWEEP_SECONDS, self._sweep)

    def _tend(self, delivery: Delivery, broker_now: int) -> None:
        request, flow = delivery.event.envelope, delivery.flow
        if flow is not None and self._monotonic() - flow.heard > _STREAM_LEASE_SECONDS:
            delivery.subscription.mailbox.cancel(delivery)  # and say so: perhaps the reader only slept
        elif flow is None and 0 < request.expires_at <= broker_now:
            self._give_up(delivery)
        elif not delivery.accepted:
            delivery.accepted = True
            self._answer(
                request.reply_to,
                Envelope(kind=ACCEPTED, call_id=request.call_id, source=self._source),  # pyright: ignore[reportArgumentType]
            )

    # --- events ---------------------------------------------------------------------------------------------------

    def event(self, interest: Interest, envelope: Envelope) -> None:
        """See `Receiver.on_event`."""
        takers = self._router.takers(interest)
        now = self._origin.clock.now()
        queued = (now - envelope.time) / 1000
        if 0 < envelope.expires_at <= now:
            if interest.route != Route.OBSERVER:
                self._tally.series(envelope.topic, interest.group, LIVE).expired += 1
            self.unusual(StepName.DROPPED, envelope, why="EXPIRED")
        elif not takers:
            self.unusual(StepName.DROPPED, envelope, why="no subscription any more")
        elif interest.route == Route.GROUP:
            self.deliver(self._router.member(interest) or takers[0], envelope, queued=queued)
        else:
            for subscription in takers:
                self.deliver(subscription, envelope, queued=queued)

    def deliver(
        self,
        subscription: Subscription,
        envelope: Envelope,
        outlet: EventOutlet | None = None,
        data: Any = None,
        queued: float = 0.0,
    ) -> None:
        """Give an event to one subscription; what has to give way is counted and reported."""
        if envelope.replay and not subscription.replays:
            self.unusual(StepName.DROPPED, envelope, why="a replay", subscription=subscription.name)
            return
        event = Event(envelope, self._origin.clock)
        if subscription.by_reference and outlet is not None:
            event.set_data(data)
        delivery = Delivery(subscription, event, outlet or self._event_outlet, self.around)
        delivery.series = subscription.events or self._tally.series(envelope.topic, subscription.group, LIVE)
        delivery.queued = queued
        pushed_out = subscription.take(delivery)
        if pushed_out is not None:
            pushed_out.give_way()
            self.unusual(StepName.DROPPED, pushed_out.event.envelope, why="OVERLOADED", subscription=subscription.name)
            self._overloaded(subscription, envelope)

    def _overloaded(self, subscription: Subscription, envelope: Envelope) -> None:
        now = self._monotonic()
        if now - subscription.warned_at >= _WARN_SECONDS:
            subscription.warned_at = now
            dropped = subscription.mailbox.dropped
            log.warning("subscription %r is too slow: %d events dropped so far", subscription.name, dropped)
            self._system.slow_consumer(subscription, envelope)

    def stop(self) -> None:
        """No more sweeping."""
        if self._sweeper:
            self._sweeper.cancel()
            self._sweeper = None

    def handled(self, delivery: Delivery, how: str) -> None:
        """The handler of an event has ended."""
        if self._trail.room or how != HANDLED:
            self._trail.handled(delivery, how)
        self.say(StepName.HANDLED, delivery.event.envelope, how=how, subscription=delivery.subscription.name)

    def event_failed(self, delivery: Delivery, error: TielineError) -> None:
        """The handler of an event raised or could not be run."""
        self._system.failed(delivery.subscription, delivery.event.envelope, error)

    def unusual(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        """Remember a step that most envelopes do not take, and tell the observer."""
        self._trail.step(name, envelope, **detail)
        self._tally.step(name)
        self.say(name, envelope, **detail)

    def store_trail(self, correlation_id: str) -> None:
        """Store what is remembered of a chain in which something has just failed."""
        if self._port is not None:
            self._trail.store(correlation_id, self._source, self._port)

    def say(self, name: StepName, envelope: Envelope, **detail: Any) -> None:
        """Tell the observer, if there is one."""
        if self._observer:
            self._observer(step_of(name, self._origin.clock.now(), envelope, **detail))


def _is_result(reply: Envelope) -> bool:
    """Whether a REPLY is kept for those who call again with the same idempotency key."""
    return not reply.HasField("error") or reply.error.code == _HANDLER_ERROR
