"""The life of a call, without input or output: told the time and what happened, it says what to do.

Normative: SPEC.md, section 6. One object per call, one table per event system.

    WAITING ──dispatch──► SENT ──taken by R──► HELD ──reply──► DONE
       ▲                   │ nobody: again soon, or NO_RESPONDERS
       └───────────────────┴─ refused, lost, link broken: next attempt, or the error

A call is in `_pending` under the id of its current attempt exactly while it is SENT or HELD. Each attempt has an id of
its own, so whatever answers an earlier attempt finds nothing and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Protocol

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import NO_MOMENT, Call, State
from tieline.calls.call_errors import away, broken, is_refusal, leaves_run, lost, nobody_answers, timed_out
from tieline.calls.deadlines import Deadlines
from tieline.calls.liveness import suspects, why_lost
from tieline.calls.stream_call import Progress, StreamCall
from tieline.envelope import ACCEPTED, REPLY, STREAM_END, error_from_wire, new_call_id
from tieline.errors import Outcome, OverloadedError, TielineError
from tieline.settings import Settings

_WAITING, _SENT, _HELD, _DONE = State
_CREDIT_SECONDS = contract.DEFAULT_CREDIT_MS / 1000


class Effects(Protocol):
    """What the table asks its owner to do."""

    def dispatch(self, call: Call, envelope: Envelope) -> bytes:
        """Send this attempt to a responder, as the call wants it; returns what was sent, or nothing."""
        ...

    def cancel(self, instance: str, call_id: bytes) -> None:
        """Tell a responder that nobody waits any longer."""

    def resolve(self, call: Call, reply: Envelope) -> None:
        """The call succeeded."""

    def reject(self, call: Call, error: TielineError) -> None:
        """The call failed."""

    def release(self, call: Call, error: TielineError) -> None:
        """The run of an idempotency key ended without a result."""

    def arrived(self, call: StreamCall) -> None:
        """There is something to read."""

    def credit(self, call: StreamCall) -> None:
        """Tell the responder how far the reader is."""

    def wake_at(self, moment: float) -> None:
        """Call `Deadlines.advance` at this moment (local monotonic seconds)."""


class Calls:
    """All calls of one event system that are not done."""

    def __init__(self, effects: Effects, deadlines: Deadlines, settings: Settings) -> None:
        self._effects = effects
        self._deadlines = deadlines
        self._settings = settings
        self._pending: dict[bytes, Call] = {}
        self._parked: dict[Call, int] = {}
        self._resting: set[Call] = set()
        self._orphans: set[bytes] = set()
        self._waiting_bytes = 0
        self._grace_until = NO_MOMENT
        self._linked = True
        self.in_process = False
        self.active = 0

    # --- what the caller does -------------------------------------------------------------------------------------

    def start(self, call: Call, now: float) -> None:
        """Begin a call."""
        if self.active >= self._settings.pending_calls:
            raise OverloadedError(
                f"{self.active} calls are pending already; slow down, or raise Settings.pending_calls",
                retry_after=self._settings.retry_after,
            )
        self.active += 1
        call.table = self
        if isinstance(call, StreamCall):
            self._tend(call, now)
        else:
            self._wake(call, call.deadline)
        if self._linked or call.near:
            self._attempt(call, now)
        else:
            self._without_link(call, now, away())

    def abandon(self, call: Call) -> None:
        """The caller gave up: nothing is told to it any more, and the responder is cancelled when it is known."""
        if not call.done:
            self._call_off(call)
            self._finish(call)

    def taken(self, call: StreamCall) -> None:
        """The reader took an item."""
        if not call.done and call.flow.credit_due and call.state is _HELD:
            self._effects.credit(call)

    def all(self) -> list[Call]:
        """Calls that are not done and wait for something of the broker."""
        return [*self._pending.values(), *self._parked, *self._resting]

    def close(self, call: Call, error: TielineError) -> None:
        """End a call, whatever it waits for; the responder is cancelled, if it is known."""
        if not call.done:
            if call.state is _HELD:
                self._call_off(call)
            self._reject(call, error)

    # --- what the port reports ------------------------------------------------------------------------------------

    def dispatched(self, call_id: bytes, instance: str, error: TielineError | None, now: float) -> None:
        """An attempt was taken by an instance, by nobody (empty), or it failed."""
        call = self._pending.get(call_id)
        if call is None:
            if call_id in self._orphans:
                self._orphans.discard(call_id)
                if instance:
                    self._effects.cancel(instance, call_id)
        elif call.state is _SENT:
            if instance:
                call.state = _HELD
                call.instance = instance
                call.claimed = call.keyed
            elif error is not None:
                self._set_aside(call)
                if error.outcome is Outcome.NOT_DELIVERED:
                    call.attempts -= 1
                else:
                    call.may_have_run = True
                self._without_link(call, now, error)
            else:
                self._set_aside(call)
                self._nobody(call, now)

    def joined(self, call_id: bytes, until: float, instance: str) -> Call | None:
        """An attempt waits for another call's run with the same idempotency key, there and until then."""
        call = self._pending.get(call_id)
        if call is None or call.state is not _SENT:
            return None
        call.state = _HELD
        call.instance = instance
        call.attempts -= 1  # nothing was sent
        call.joined = True
        call.redispatch_at = until
        self._wake(call, until)
        return call

    def answered(self, envelope: Envelope, now: float) -> Call | None:
        """A REPLY or ACCEPTED arrived; returns the call it belongs to, None if it changes nothing."""
        call = self._pending.get(envelope.call_id)
        if call is None:
            return None
        kind = envelope.kind
        if isinstance(call, StreamCall):
            self._flowed(call, envelope, now)
        elif kind == REPLY:
            if envelope.HasField("error"):
                self._failed(call, error_from_wire(envelope.error), envelope, now)
            else:
                self._finish(call)
                self._effects.resolve(call, envelope)
        elif kind == ACCEPTED:
            call.accepted = True
        return call

    def link_down(self, now: float) -> None:
        """The broker is away: every attempt under way is unknown."""
        self._linked = False
        self._orphans.clear()
        for call in [call for call in self._pending.values() if not call.local]:
            self._break_off(call)
            self._without_link(call, now, broken(call))

    def link_left(self, attempts: set[bytes], now: float) -> None:
        """A link that was used before the present one has ended, and these attempts, which were made over it."""
        for call in [call for call_id, call in self._pending.items() if call_id in attempts and not call.local]:
            self._break_off(call)
            if call.repeatable and call.attempts < self._settings.attempts:
                self._attempt(call, now)
            else:
                self._reject(call, broken(call))

    def under_way(self) -> set[bytes]:
        """Ids of the attempts that are out."""
        return set(self._pending)

    def _break_off(self, call: Call) -> None:
        """What became of the attempt is not known, and will not be."""
        if call.inflow is not None and call.state is _HELD:
            self._effects.cancel(call.instance, call.call_id)  # kept until the link is back
        self._set_aside(call)
        call.avoid = ""
        call.may_have_run = True

    def link_up(self, now: float) -> None:
        """The broker is back; responders may need a moment to come back too."""
        self._linked = True
        self._grace_until = now + self._settings.responders_grace
        parked, self._parked, self._waiting_bytes = self._parked, {}, 0
        for call in parked:
            self._attempt(call, now)

    # --- liveness of responders -----------------------------------------------------------------------------------

    def suspects(self, now: float) -> set[str]:
        """Responders that have held a call for so long that one should ask after them."""
        return suspects(self._pending.values(), now - self._settings.probe_after)

    def probed(self, silent: Collection[str], expired: Collection[str], asked: Collection[str], now: float) -> None:
        """Learn which of the instances asked about do not listen, and whose lease ended."""
        for call in list(self._pending.values()):
            if call.state is _HELD and call.instance in asked:
                why = why_lost(call, silent, expired, now, self._settings.probe_confirm)
                if why:
                    self._lost(call, now, why)

    def any_silent(self) -> bool:
        """Whether a second question is due soon."""
        return any(call.silent_since for call in self._pending.values())

    # --- steps ----------------------------------------------------------------------------------------------------

    def due(self, call: Call, now: float) -> None:
        """A moment of this call has come."""
        if isinstance(call, StreamCall) and not call.waiting:
            call.rest(now)  # the reader is busy, nobody waits for the responder
        if now >= call.deadline:
            self._timed_out(call)
        elif call in self._parked and call.attempts == 0 and now >= call.wait_for_link:
            self._reject(call, away())
        elif call.redispatch_at and now >= call.redispatch_at:
            call.redispatch_at = NO_MOMENT
            self._resting.discard(call)
            self._set_aside(call)  # who joined a run that is over
            if self._linked:
                self._attempt(call, now)
            else:
                self._without_link(call, now, away())
        if isinstance(call, StreamCall) and not call.done and now >= call.tend_at:
            self._tend(call, now)

    def _tend(self, call: StreamCall, now: float) -> None:
        """Repeat the credit, and look at the deadline, which moves with every item."""
        if call.state is _HELD:
            self._effects.credit(call)
        call.tend_at = min(call.deadline, now + _CREDIT_SECONDS)
        self._wake(call, call.tend_at)

    def _flowed(self, call: StreamCall, envelope: Envelope, now: float) -> None:
        progress = call.flowed(envelope)
        if progress is Progress.ITEM:
            self._effects.arrived(call)
        elif isinstance(progress, TielineError):
            if envelope.kind == REPLY and not call.flow.received:
                self._failed(call, progress, envelope, now)
            else:
                if envelope.kind != STREAM_END or not envelope.HasField("error"):
                    self._call_off(call)
                self._reject(call, progress)
        elif progress is not Progress.NOTHING:
            self._finish(call)
            self._effects.resolve(call, envelope)

    def _attempt(self, call: Call, now: float) -> None:
        if now >= call.deadline:  # the timer is late
            self._timed_out(call)
            return
        call_id = new_call_id()
        envelope = call.next_envelope(call_id)
        call.state = _SENT
        call.local = call.near
        call.redispatch_at = NO_MOMENT
        call.started = now
        call.attempts += 1
        call.silent_since = NO_MOMENT
        self._pending[call_id] = call
        call.keep(self._effects.dispatch(call, envelope))

    def _set_aside(self, call: Call) -> None:
        """End the attempt, not the call."""
        self._pending.pop(call.call_id, None)
        call.state = _WAITING
        call.instance = ""
        call.local = False
        call.redispatch_at = NO_MOMENT
        if call.joined:
            call.joined, call.may_have_run = False, True

    def _nobody(self, call: Call, now: float) -> None:
        call.attempts -= 1  # nothing was sent
        refusal = call.last_error
        if (refusal is None or refusal.code == "NO_RESPONDERS") and self._is_patient(call, now):
            self._rest(call, now)
        else:
            self._reject(call, refusal or nobody_answers(call, in_process=self.in_process))

    def _is_patient(self, call: Call, now: float) -> bool:
        """Whether it waits for somebody who answers."""
        return not call.to and now < max(call.patience, self._grace_until)

    def _rest(self, call: Call, now: float) -> None:
        """Ask again soon, anybody."""
        call.avoid, call.refusals = "", 0
        call.redispatch_at = now + self._settings.redispatch
        self._resting.add(call)
        self._wake(call, call.redispatch_at)

    def _failed(self, call: Call, error: TielineError, reply: Envelope, now: float) -> None:
        if reply.source:  # a responder's, so the key was claimed, although the broker has not said so yet
            call.claimed = call.keyed
        spent = call.to or (call.idempotent and call.attempts >= self._settings.attempts)
        again = call.refusals < 1 and not spent
        if not is_refusal(error) or not (again or (error.code == "NO_RESPONDERS" and self._is_patient(call, now))):
            self._reject(call, error)
            return
        call.last_error = error
        sent = not call.joined
        call.joined = False  # the run it joined was refused: nothing has run
        refuser = call.instance or reply.source.rpartition("/")[2]
        self._set_aside(call)
        if again:
            call.refusals += 1
            call.avoid = refuser
            self._attempt(call, now)
        else:
            call.attempts -= sent  # it counts as nobody
            self._rest(call, now)

    def _lost(self, call: Call, now: float, why: str) -> None:
        error = lost(call, why)
        self._effects.cancel(call.instance, call.call_id)
        call.may_have_run = True
        if call.repeatable and not call.to and call.attempts < self._settings.attempts:
            call.last_error = error
            call.avoid = call.instance
            self._set_aside(call)
            self._attempt(call, now)
        else:
            self._reject(call, error)

    def _without_link(self, call: Call, now: float, error: TielineError) -> None:
        """Wait for the link where the caller allowed it, else end the call."""
        unsent = error.outcome is Outcome.NOT_DELIVERED
        begun = call.attempts > 0 or call.may_have_run
        again = call.repeatable and begun and call.attempts < self._settings.attempts
        if error.code != "UNAVAILABLE" or self._linked or not (again or (unsent and now < call.wait_for_link)):
            self._reject(call, error)
            return
        size = call.envelope.ByteSize()
        if self._waiting_bytes + size > self._settings.offline_buffer:
            self._reject(call, OverloadedError("too much is waiting for the broker", details={"bytes": size}))
            return
        self._waiting_bytes += size
        self._parked[call] = size
        if not again:
            self._wake(call, call.wait_for_link)

    def _timed_out(self, call: Call) -> None:
        waited_in_vain = not call.attempts and call.state is _WAITING and self._linked
        total = call.total if isinstance(call, StreamCall) and call.deadline >= call.limit else math.inf
        nobody = nobody_answers(call, in_process=self.in_process) if waited_in_vain else None
        error = nobody or timed_out(call, total)
        self._call_off(call)
        self._reject(call, error)

    def _call_off(self, call: Call) -> None:
        if call.keyed:
            return  # others may wait for the run
        if call.state is _HELD:
            self._effects.cancel(call.instance, call.call_id)
        elif call.state is _SENT:
            self._orphans.add(call.call_id)

    def _reject(self, call: Call, error: TielineError) -> None:
        error.idempotent = call.idempotent
        begun = call.may_have_run or (call.inflow is not None and call.inflow.received > 0)
        if begun and error.outcome is Outcome.NOT_DELIVERED:
            error.outcome = Outcome.MAY_HAVE_RUN  # true of the last attempt, not of the call
        self._finish(call)
        if call.claimed and not leaves_run(error):
            self._effects.release(call, error)
        self._effects.reject(call, error)

    def _finish(self, call: Call) -> None:
        self._pending.pop(call.call_id, None)
        if self._parked:
            self._waiting_bytes -= self._parked.pop(call, 0)
        if self._resting:
            self._resting.discard(call)
        call.state = _DONE
        call.done = True
        self.active -= 1
        self._deadlines.finished()

    def _wake(self, call: Call, moment: float) -> None:
        if self._deadlines.add(moment, call):
            self._effects.wake_at(moment)
