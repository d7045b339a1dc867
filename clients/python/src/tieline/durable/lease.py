"""A lease on a key, or on one event without key: its events are handled in order. Rules: SPEC.md, section 14.

A handler that returns acknowledges its event, one that raises does not; through `event.delivery` it may say otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tieline._contract.durable_pb2 import DeadLetter
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.streaming import NO_STREAMS
from tieline.context import CURRENT, Event
from tieline.delivery import handler_error, passes
from tieline.durable.delivery import DurableDelivery
from tieline.durable.idempotency import IdempotencyStore, Once
from tieline.durable.mail import Entry, Member, Settlement, Verdict
from tieline.envelope import error_to_wire
from tieline.errors import (
    CallTimeoutError,
    ExpiredError,
    HandlerError,
    InvalidPayloadError,
    Outcome,
    ResponderLostError,
    TielineError,
)
from tieline.observe import StepName

if TYPE_CHECKING:
    from tieline.durable.consumer import Consumer

log = logging.getLogger("tieline")

FAILED, REJECTED, EXPIRED = "failed", "rejected", "expired"

_LOST_AT_LEAST = 5
"""So often the processes that handled an event must be lost before it is taken for the cause; from the second time on
the broker leases one such member at a time, so that the innocent are not lost with it."""


class Lease:
    """What one claim leased of one member. It ends in exactly one settlement that is not KEEP or DEAD."""

    __slots__ = (
        "begun",
        "consumer",
        "delivery",
        "event",
        "failures",
        "handled",
        "key",
        "lost",
        "member",
        "stopping",
        "task",
        "timed_out",
        "token",
        "waiting",
    )

    def __init__(self, consumer: Consumer, member: Member, token: bytes, claimed: float) -> None:
        self.consumer = consumer
        self.member = member.name
        self.key = member.key
        self.token = token
        self.failures = member.failures
        self.waiting = deque(member.entries)
        self.handled: list[bytes] = []
        self.delivery: DurableDelivery | None = None
        self.event: Event | None = None
        self.begun = claimed
        self.task: asyncio.Task[None] | None = None
        self.stopping = self.timed_out = self.lost = False

    async def run(self) -> None:
        """Handle what is here, in order, until something fails."""
        consumer, waiting = self.consumer, self.waiting
        verdict, argument = Verdict.FREE, b""
        try:
            if self.failures and not await consumer.begins(self):
                return
            while waiting and not self.stopping:
                entry = waiting[0]
                settled = await self._handle(entry)
                if settled is not None:
                    verdict, argument = settled
                    return
                waiting.popleft()
                self.failures = 0
            if not waiting:
                verdict = Verdict.DONE
        except asyncio.CancelledError:
            if self.event is not None:
                consumer.series.cancelled += 1
                consumer.steps.cancelled(self, self.event.envelope, waiting[0].id)
            if not (self.stopping or self.lost):
                raise
        except Exception:  # a defect of ours must not keep the key from being handled
            log.exception("handling %r of %r failed", self.key, consumer.topic)
            verdict, argument = Verdict.RETRY, b"1000"
        finally:
            self.delivery = self.event = None
            consumer.ended(self, verdict, argument)

    def acknowledge(self) -> None:
        """The first entry is handled."""
        if not self.handled:
            self.consumer.acknowledged(self)
        self.handled.append(self.waiting[0].id)

    def settlement(self, verdict: Verdict, argument: bytes = b"") -> Settlement:
        """What was handled since the last one, and what is to become of the rest."""
        handled, self.handled = self.handled, []
        return Settlement(self.member, self.token, verdict, argument, handled)

    def stop(self) -> None:
        """End after the event that is being handled."""
        self.stopping = True

    def interrupt(self) -> None:
        """End now; nothing has failed."""
        self.stopping = True
        if self.task is not None:
            self.task.cancel()

    def lose(self) -> None:
        """Somebody else has it now."""
        self.lost = True
        self.interrupt()

    def time_out(self) -> None:
        """The handler has taken too long."""
        self.timed_out = True
        if self.task is not None:
            self.task.cancel()

    # --- one event ------------------------------------------------------------------------------------------------

    async def _handle(self, entry: Entry) -> tuple[Verdict, bytes] | None:
        """Handle one event; returns nothing when the next one may be handled."""
        consumer = self.consumer
        if entry.group and entry.group != consumer.policy.group:
            self.acknowledge()
            return None
        try:
            envelope = self.envelope_of(entry)
        except TielineError as hindrance:
            return self.refuse(entry, hindrance)
        self.event = event = Event(envelope, consumer.clock)
        if consumer.policy.idempotency is not None:
            return await self._handle_once(entry, event, consumer.policy.idempotency)
        self.begun = consumer.clock.monotonic()
        event.delivery = delivery = self.delivery = DurableDelivery(self, self.failures + 1)
        raised = await self._attempt(event)
        self.count(event, self.begun)
        return self._conclude(entry, event, delivery, raised)

    async def _handle_once(self, entry: Entry, event: Event, store: IdempotencyStore) -> tuple[Verdict, bytes] | None:
        """Handle one event unless the store says that this was done."""
        self.delivery, once = None, Once(store, self, f"{event.id}#{event.replay}" if event.replay else event.id)
        if not await once.begin():
            self.consumer.known()
            self.acknowledge()
            return None
        self.begun = self.consumer.clock.monotonic()
        event.delivery = delivery = self.delivery = DurableDelivery(self, self.failures + 1)
        try:
            raised = await self._attempt(event)
        except BaseException:
            once.drop()
            raise
        self.delivery = None
        self.count(event, self.begun)
        await once.end(done=delivery.acked or (raised is None and not delivery.said))
        return self._conclude(entry, event, delivery, raised)

    def count(self, event: Event, began: float, *, first: bool = True) -> None:
        """A handler has ended; how long its event waited is counted the first time it is handled."""
        consumer, envelope = self.consumer, event.envelope
        series, clock = consumer.series, consumer.clock
        again = first and self.failures > 0
        if again:
            series.redelivered += 1
        waited = not (again or envelope.redriven or envelope.replay)
        series.ended((clock.at(began) - envelope.time) / 1000 if waited else None, clock.monotonic() - began)

    def envelope_of(self, entry: Entry) -> Envelope:
        """The next event.

        Raises:
            ResponderLostError, InvalidPayloadError, ExpiredError: why it is not to be handled.

        """
        consumer = self.consumer
        if self.failures >= max(consumer.policy.retry.max_attempts, _LOST_AT_LEAST):
            raise ResponderLostError("the processes that handled it did not live to tell; it may be what ends them")
        try:
            envelope = Envelope.FromString(entry.envelope)
        except DecodeError as error:
            raise InvalidPayloadError(f"entry {entry.id.decode()} is no event of ours: {error}") from None
        if 0 < envelope.expires_at <= consumer.clock.now():
            raise ExpiredError(f"it expired before {consumer.subscription.name!r} could handle it")
        return envelope

    def refuse(self, entry: Entry, error: TielineError) -> tuple[Verdict, bytes] | None:
        """What becomes of the first event, which cannot be handled."""
        if isinstance(error, ExpiredError):
            return self._bury(entry, EXPIRED, error, self.failures)
        if isinstance(error, ResponderLostError):
            return self._poisoned(entry, error, self.failures)
        self.consumer.series.ended(0.0, 0.0)
        return self.fail(entry, error)

    async def _attempt(self, event: Event) -> Exception | None:
        """Run the handler; returns what it raised."""
        consumer = self.consumer
        CURRENT.set(event)
        around = consumer.around
        try:
            if around is None:
                await self._run_handler(event)
            else:
                await around(event, lambda: self._run_handler(event))
        except asyncio.CancelledError as cancelled:
            if self.timed_out:
                seconds = consumer.policy.timeout
                return CallTimeoutError(f"the handler took longer than {seconds:g} s", outcome=Outcome.MAY_HAVE_RUN)
            return self._raised(failure_in(cancelled))
        except Exception as raised:
            return self._raised(raised)
        finally:
            if self.timed_out:
                self._time_is_over()
        return None

    def _raised(self, raised: Exception) -> Exception:
        consumer, attempt = self.consumer, self.failures + 1
        name = consumer.subscription.name
        log.error("handler %r of %r raised (attempt %d)", name, consumer.topic, attempt, exc_info=raised)
        return raised

    def _time_is_over(self) -> None:
        """Whatever the handler made of being stopped, the next one is not."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        self.timed_out = False

    async def _run_handler(self, event: Event) -> Any:
        subscription = self.consumer.subscription
        if event.replay and not subscription.replays:
            return None
        data = event.data if subscription.versions is None else subscription.versions.lift(event)
        if subscription.filter is not None and not passes(subscription, data):
            return None
        handler = subscription.handler
        result = await handler.invoke(data if handler.convert is None else handler.convert(data), event)
        if type(result) not in NO_STREAMS and hasattr(result, "__aiter__"):
            async for _ in result:  # nobody reads what it yields
                pass
        return result

    def _conclude(
        self, entry: Entry, event: Event, delivery: DurableDelivery, raised: Exception | None
    ) -> tuple[Verdict, bytes] | None:
        """What becomes of an event whose handler returned, raised, or said something itself."""
        if delivery.acked or (raised is None and not delivery.said):
            self.consumer.steps.handled(self, event.envelope, entry.id)
            if not delivery.acked:
                self.acknowledge()
            return None
        if delivery.rejected is not None:
            self.consumer.series.failed += 1
            error = HandlerError(delivery.rejected, outcome=Outcome.RAN, type="Rejected")
            return self._bury(entry, REJECTED, error, delivery.attempt)
        return self.fail(entry, raised, nacked=delivery.nacked, delay=delivery.delay, reason=delivery.reason)

    def fail(
        self,
        entry: Entry,
        raised: Exception | None,
        *,
        nacked: bool = False,
        delay: float | None = None,
        reason: str = "",
    ) -> tuple[Verdict, bytes] | None:
        """What becomes of the first event, whose handler failed."""
        error, attempt, retry = _error_of(raised, reason), self.failures + 1, self.consumer.policy.retry
        self.consumer.series.failed += 1
        unfit = isinstance(raised, InvalidPayloadError) and not nacked  # it will not get better
        if unfit or attempt >= retry.max_attempts:
            return self._poisoned(entry, error, attempt)
        self.consumer.series.retried += 1
        pause = retry.pause(attempt) if delay is None else delay
        self.consumer.failed(self, entry, attempt, error, pause)
        return Verdict.RETRY, b"%d" % int(pause * 1000)

    def _poisoned(self, entry: Entry, error: TielineError, attempts: int) -> tuple[Verdict, bytes] | None:
        """It failed for the last time."""
        on_poison = self.consumer.policy.on_poison or ("park" if self.key else "dead_letter")
        if on_poison == "park" and self.key:
            self.consumer.series.parked += 1
            self._give_up(entry, attempts, error, "its key is parked", StepName.PARKED, key=self.key)
            return Verdict.PARK, self._letter(entry, FAILED, error, attempts)
        if on_poison == "skip":
            self.consumer.series.skipped += 1
            self._give_up(entry, attempts, error, "it is skipped", StepName.DROPPED, why="skip")
            self.acknowledge()
            return None
        return self._bury(entry, FAILED, error, attempts)

    def _bury(self, entry: Entry, reason: str, error: TielineError, attempts: int) -> None:
        """Keep it as a dead letter, and go on."""
        self.consumer.series.dead += 1
        self.consumer.series.expired += reason == EXPIRED
        self._give_up(entry, attempts, error, f"it is a dead letter ({reason})", StepName.DEAD_LETTER, reason=reason)
        self.handled.append(entry.id)
        self.consumer.tell(self.settlement(Verdict.DEAD, self._letter(entry, reason, error, attempts)))

    def _give_up(
        self, entry: Entry, attempts: int, error: TielineError, what: str, end: StepName, **detail: Any
    ) -> None:
        self.consumer.gave_up(self, what, error)
        self.consumer.steps.failed(self, entry, attempts, error, end, {"group": self.consumer.policy.group, **detail})

    def _letter(self, entry: Entry, reason: str, error: TielineError, attempts: int) -> bytes:
        return DeadLetter(
            envelope=entry.envelope,
            topic=self.consumer.topic,
            group=self.consumer.policy.group,
            reason=reason,
            attempts=attempts,
            error=error_to_wire(error),
            time=self.consumer.clock.now(),
            entry=entry.id.decode(),
        ).SerializeToString()


def failure_in(cancelled: asyncio.CancelledError) -> HandlerError:
    """What a handler failed of that was cancelled although nobody asked for it: it waited for what somebody cancelled.

    Raises:
        asyncio.CancelledError: somebody asked for it.

    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise cancelled
    error = HandlerError("what the handler waited for was cancelled", outcome=Outcome.RAN, type="CancelledError")
    error.__cause__ = cancelled
    return error


def _error_of(raised: Exception | None, reason: str) -> TielineError:
    if raised is None:
        asked = reason or "the handler asked for another attempt"
        return HandlerError(asked, outcome=Outcome.RAN, type="Nacked")
    if isinstance(raised, (InvalidPayloadError, CallTimeoutError)):
        return raised
    return handler_error(raised)
