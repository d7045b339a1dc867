"""Calls, streams and runs of idempotency keys without input or output, in random schedules of all that can happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tieline._contract.envelope_pb2 import Envelope, Stream
from tieline.calls.call import Call, State
from tieline.calls.calls import Calls
from tieline.calls.deadlines import Deadlines
from tieline.calls.stream_call import StreamCall
from tieline.envelope import ACCEPTED, REPLY, STREAM_END, STREAM_ITEM, error_to_wire, new_call_id
from tieline.errors import HandlerError, Outcome, OverloadedError, TielineError, UnavailableError
from tieline.settings import Settings

SETTINGS = Settings(pending_calls=50, offline_buffer=2_000)


@dataclass(eq=False)
class Attempt:
    """What is true of one dispatch, whatever the table believes."""

    call_id: bytes
    answered: bool = False
    taken_by: str = ""
    may_have_run: bool = True
    replied: bool = False
    cut_off: bool = False
    items: int = 0
    lost: bool = False


@dataclass(eq=False)
class Live:
    """A call, its attempts and its end."""

    call: Call
    abandoned: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)
    read: int = 0
    granted: int = 0

    @property
    def over(self) -> bool:
        return self.abandoned or bool(self.ends)


RECENT = st.integers(0, 4)
"""Which attempt something happens to, counted from the newest."""


class AnySchedule(RuleBasedStateMachine):
    """Whatever happens in whatever order: every call ends once, in time, truthfully, and leaves nothing behind."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 5_000.0
        self.linked = True
        self.deadlines = Deadlines()
        self.table = Calls(self, self.deadlines, SETTINGS)
        self.live: dict[Call, Live] = {}
        self.attempts: dict[bytes, Attempt] = {}
        self.cancelled: list[tuple[str, bytes]] = []
        self.starting: Live | None = None

    # --- Effects

    def dispatch(self, call: Call, envelope: Envelope) -> bytes:
        live = next((each for each in self.live.values() if each.call.call_id == envelope.call_id), self.starting)
        assert live is not None
        assert not live.over, "a call that is over was sent"
        assert self.linked, "something was sent without a link"
        assert self.now < live.call.deadline, "something was sent after the deadline"
        assert envelope.call_id not in self.attempts, "two attempts have one id"
        attempt = self.attempts[envelope.call_id] = Attempt(envelope.call_id)
        live.attempts.append(attempt)
        return b""

    def arrived(self, call: StreamCall) -> None:
        assert call.flow.items
        assert not self.live[call].over
        call.waiting = False

    def credit(self, call: StreamCall) -> None:
        live, attempt = self.live[call], self.attempts[call.call_id]
        assert call.state is State.HELD
        assert call.instance == attempt.taken_by
        credit = call.flow.grant()
        assert live.granted <= credit.consumed == live.read <= attempt.items
        assert 2 <= credit.window <= 1_024
        live.granted = credit.consumed

    def release(self, call: Call, error: TielineError) -> None:
        assert call.keyed
        assert error.code not in ("HANDLER_ERROR", "TIMEOUT", "CANCELLED")

    def cancel(self, instance: str, call_id: bytes) -> None:
        attempt = self.attempts[call_id]
        assert attempt.taken_by == instance
        assert (instance, call_id) not in self.cancelled, "cancelled twice"
        keyed = next(live.call.keyed for live in self.live.values() if attempt in live.attempts)
        assert not keyed or attempt.lost, "a run that others may wait for was cancelled"
        self.cancelled.append((instance, call_id))

    def resolve(self, call: Call, reply: Envelope) -> None:
        current = self.live[call].attempts[-1]
        assert self.attempts[reply.call_id] is current, "an earlier attempt's reply ended the call"
        if isinstance(call, StreamCall):
            assert call.flow.received == current.items + (reply.kind == REPLY), (
                "it ended well although items are missing"
            )
        self._end(call, reply)

    def reject(self, call: Call, error: TielineError) -> None:
        if error.outcome is Outcome.NOT_DELIVERED:
            unknown = any(attempt.may_have_run for attempt in self.live[call].attempts)
            assert not unknown, f"{error} although an attempt may have run"
        transient = error.code in ("TIMEOUT", "NO_RESPONDERS", "RESPONDER_LOST", "UNAVAILABLE", "OVERLOADED")
        harmless = error.outcome is Outcome.NOT_DELIVERED or call.idempotent
        assert error.retryable == (transient and harmless)
        self._end(call, error)

    def wake_at(self, moment: float) -> None:
        """The clock is turned by `pass_time`."""

    def _end(self, call: Call, how: Any) -> None:
        live = self.live[call]
        assert not live.over, "a call ended twice"
        live.ends.append(how)

    # --- what may happen

    @precondition(lambda self: self.table.active < SETTINGS.pending_calls)
    @rule(
        ttl=st.sampled_from([0.01, 0.5, 3.0, 30.0, 30.0]),
        patience=st.sampled_from([0.0, 0.0, 1.0, 60.0]),
        link=st.sampled_from([0.0, 0.0, 1.0, 60.0]),
        idempotent=st.booleans(),
        kind=st.sampled_from(["call", "call", "stream", "stream", "keyed"]),
    )
    def start(self, ttl: float, patience: float, link: float, idempotent: bool, kind: str) -> None:
        envelope = Envelope(topic="a", ttl_ms=int(ttl * 1000), data=b"x" * 300)
        if kind == "stream":
            call: Call = StreamCall(envelope, self.now)
            call.waiting = True  # type: ignore[attr-defined]
            call.idempotent = idempotent
        else:
            envelope.idempotency_key = "k" if kind == "keyed" else ""
            call = Call(envelope, self.now + ttl, idempotent=idempotent or kind == "keyed")
        call.patience = self.now + patience if patience else 0.0
        call.wait_for_link = self.now + link if link else 0.0
        self.starting = self.live[call] = Live(call)
        self.table.start(call, self.now)
        self.starting = None

    def _recent(self, recent: int) -> Attempt:
        attempts = list(self.attempts.values())
        return attempts[max(0, len(attempts) - 1 - recent)]

    any_attempt = precondition(lambda self: self.attempts)

    @any_attempt
    @rule(recent=RECENT, by=st.sampled_from(["a", "b"]))
    def taken(self, recent: int, by: str) -> None:
        attempt = self._recent(recent)
        if self._answers_first(attempt):
            attempt.taken_by = attempt.taken_by or by
            self.table.dispatched(attempt.call_id, attempt.taken_by, None, self.now)

    @any_attempt
    @rule(recent=RECENT, seconds=st.sampled_from([0.1, 5.0, 50.0]))
    def joined(self, recent: int, seconds: float) -> None:
        attempt = self._recent(recent)
        (live,) = (live for live in self.live.values() if attempt in live.attempts)
        if live.call.keyed and not attempt.replied and self._answers_first(attempt):
            attempt.cut_off, attempt.taken_by = True, "c"  # it runs there, for another call
            self.table.joined(attempt.call_id, self.now + seconds, "c")

    # --- streams

    def _streamed(self, recent: int) -> tuple[Live, Attempt] | None:
        """A stream, and one of its attempts that goes on."""
        attempt = self._recent(recent)
        (live,) = (live for live in self.live.values() if attempt in live.attempts)
        goes_on = attempt.may_have_run and not attempt.replied and not attempt.cut_off
        return (live, attempt) if isinstance(live.call, StreamCall) and goes_on else None

    @any_attempt
    @rule(recent=RECENT, count=st.integers(1, 20), large=st.booleans())
    def items(self, recent: int, count: int, large: bool) -> None:
        found = self._streamed(recent)
        if found is not None:
            _, attempt = found
            attempt.taken_by = attempt.taken_by or "a"
            for _ in range(count):
                attempt.items += 1
                self._item(attempt, attempt.items, bytes(200_000 if large else 10))

    @any_attempt
    @rule(recent=RECENT, back=st.integers(1, 3))
    def an_old_item_again(self, recent: int, back: int) -> None:
        found = self._streamed(recent)
        if found is not None and found[1].items >= back:
            self._item(found[1], found[1].items + 1 - back, b"")

    @any_attempt
    @rule(recent=RECENT)
    def an_item_is_lost(self, recent: int) -> None:
        found = self._streamed(recent)
        if found is not None:
            live, attempt = found
            attempt.taken_by = attempt.taken_by or "a"
            attempt.items += 2
            was_over = live.over
            self._item(attempt, attempt.items, b"")
            current = attempt is live.attempts[-1]
            assert was_over or not current or live.ends, "a gap was not noticed"

    @any_attempt
    @rule(recent=RECENT, missing=st.sampled_from([0, 0, 1]))
    def the_stream_ends(self, recent: int, missing: int) -> None:
        found = self._streamed(recent)
        if found is not None:
            attempt = found[1]
            attempt.taken_by = attempt.taken_by or "a"
            attempt.replied = not missing
            attempt.items += missing
            end = Envelope(kind=STREAM_END, call_id=attempt.call_id, stream=Stream(sequence=attempt.items))
            self.table.answered(end, self.now)

    def _item(self, attempt: Attempt, number: int, data: bytes) -> None:
        item = Envelope(kind=STREAM_ITEM, call_id=attempt.call_id, data=data, stream=Stream(sequence=number))
        item.source = f"s/{attempt.taken_by}"
        self.table.answered(item, self.now)

    @precondition(lambda self: self.live)
    @rule(recent=RECENT, count=st.integers(1, 30))
    def read(self, recent: int, count: int) -> None:
        live = list(self.live.values())[-1 - recent :][0]
        if isinstance(live.call, StreamCall) and not live.abandoned:
            self._read(live, min(count, len(live.call.flow.items)))

    def _read(self, live: Live, count: int) -> None:
        assert isinstance(live.call, StreamCall)
        for _ in range(count):
            live.read += 1
            assert live.call.flow.take().stream.sequence == live.read, "items out of order"
            self.table.taken(live.call)
        self._wait(live.call)

    def _wait(self, call: StreamCall) -> None:
        """A reader that has read all waits for the next item."""
        call.waiting = not call.flow.items
        if call.waiting:
            call.rest(self.now)

    @any_attempt
    @rule(recent=RECENT)
    def nobody(self, recent: int) -> None:
        attempt = self._recent(recent)
        if not attempt.replied and not attempt.items and self._answers_first(attempt):
            attempt.may_have_run = False
            self.table.dispatched(attempt.call_id, "", None, self.now)

    @any_attempt
    @rule(recent=RECENT, unsent=st.booleans(), cls=st.sampled_from([OverloadedError, UnavailableError]))
    def not_dispatched(self, recent: int, unsent: bool, cls: type[TielineError]) -> None:
        attempt = self._recent(recent)
        if not attempt.replied and not attempt.items and self._answers_first(attempt):
            attempt.may_have_run = not unsent
            attempt.cut_off = True  # nobody knows who has it; who streams to us stops for want of credit
            error = cls("no", outcome=Outcome.NOT_DELIVERED if unsent else Outcome.MAY_HAVE_RUN)
            self.table.dispatched(attempt.call_id, "", error, self.now)

    def _answers_first(self, attempt: Attempt) -> bool:
        """Whether the dispatch had no answer until now."""
        first = not attempt.answered
        attempt.answered = True
        return first

    @any_attempt
    @rule(recent=RECENT)
    def reply(self, recent: int) -> None:
        attempt = self._recent(recent)
        if attempt.may_have_run:
            self._reply(attempt, None)

    @any_attempt
    @rule(recent=RECENT)
    def fail(self, recent: int) -> None:
        attempt = self._recent(recent)
        if attempt.may_have_run:
            self._reply(attempt, HandlerError("no", outcome=Outcome.RAN))

    @any_attempt
    @rule(recent=RECENT)
    def refuse(self, recent: int) -> None:
        attempt = self._recent(recent)
        if attempt.may_have_run and not attempt.replied:
            attempt.may_have_run = False
            self._reply(attempt, OverloadedError("full"))

    def _reply(self, attempt: Attempt, error: TielineError | None) -> None:
        if attempt.items or (attempt.replied and attempt.cut_off):
            return  # who streams says so at the end of the stream
        attempt.replied = True
        reply = Envelope(kind=REPLY, call_id=attempt.call_id, source="s/a")
        if error is not None:
            reply.error.CopyFrom(error_to_wire(error))
        self.table.answered(reply, self.now)

    @any_attempt
    @rule(recent=RECENT)
    def accept(self, recent: int) -> None:
        self.table.answered(Envelope(kind=ACCEPTED, call_id=self._recent(recent).call_id), self.now)

    @rule()
    def forge(self) -> None:
        assert self.table.answered(Envelope(kind=REPLY, call_id=new_call_id()), self.now) is None
        self.table.dispatched(new_call_id(), "a", None, self.now)

    @rule(silent=st.frozensets(st.sampled_from("ab")), expired=st.frozensets(st.sampled_from("ab"), max_size=1))
    def probe(self, silent: frozenset[str], expired: frozenset[str]) -> None:
        """As long after the last one as questions are apart."""
        for attempt in self.attempts.values():
            attempt.lost = attempt.lost or attempt.taken_by in silent | expired
        self.now += 1.0
        self.table.probed(silent, expired, self.table.suspects(self.now), self.now)

    @precondition(lambda self: self.live)
    @rule(recent=RECENT)
    def abandon(self, recent: int) -> None:
        live = list(self.live.values())[-1 - recent :][0]
        if not live.over:
            live.abandoned = True
            self.table.abandon(live.call)

    @rule()
    def link_breaks(self) -> None:
        self.linked = False
        for attempt in self.attempts.values():
            attempt.answered = attempt.cut_off = True
        self.table.link_down(self.now)

    @precondition(lambda self: not self.linked)
    @rule()
    def link_comes_back(self) -> None:
        self.linked = True
        self.table.link_up(self.now)

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.5, 2.0, 100.0]), timer=st.sampled_from([True, True, False]))
    def pass_time(self, seconds: float, timer: bool) -> None:
        """The timer may come late."""
        self.now += seconds
        if timer:
            self.deadlines.advance(self.now)
            assert all(live.over or live.call.deadline > self.now for live in self.live.values())

    # --- what must be true

    @invariant()
    def sends_are_bounded(self) -> None:
        for live in self.live.values():
            may_have_run = sum(attempt.may_have_run for attempt in live.attempts)
            reached = sum(attempt.may_have_run or attempt.replied for attempt in live.attempts)
            if live.call.keyed:
                continue  # who joins a run sends nothing, however often
            assert reached <= (SETTINGS.attempts if live.call.idempotent else 2)
            assert live.call.idempotent or may_have_run <= 1

    @invariant()
    def the_table_knows_exactly_the_calls_that_are_not_over(self) -> None:
        unfinished = {live.call for live in self.live.values() if not live.over}
        assert self.table.active == len(unfinished)
        assert set(self.table.all()) == unfinished

    def teardown(self) -> None:
        """In the end every call is over, every responder that may still work was told, and nothing is left."""
        for attempt in list(self.attempts.values()):
            if self._answers_first(attempt):
                attempt.taken_by = "a"
                self.table.dispatched(attempt.call_id, "a", None, self.now)
        for live in self.live.values():
            if isinstance(live.call, StreamCall):  # as long as a reader is busy, nobody waits for the responder
                self._read(live, len(live.call.flow.items))
        self.now += 1_000.0
        self.deadlines.advance(self.now)
        for attempt in self.attempts.values():
            (call,) = (live.call for live in self.live.values() if attempt in live.attempts)
            if attempt.taken_by and not attempt.replied and not attempt.cut_off and not call.keyed:
                assert (attempt.taken_by, attempt.call_id) in self.cancelled, "a responder was not told"
        table = self.table
        assert all(live.over for live in self.live.values())
        assert not any((table._pending, table._parked, table._resting, table._orphans, table.all()))
        assert (table.active, table._waiting_bytes) == (0, 0)
        assert self.deadlines.next() is None


TestAnySchedule = AnySchedule.TestCase
TestAnySchedule.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
