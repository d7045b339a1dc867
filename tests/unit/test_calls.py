"""The life of a call without input or output, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.calls import Call, Calls
from tieline.calls.deadlines import Deadlines
from tieline.envelope import ACCEPTED, REPLY, error_to_wire, new_call_id
from tieline.errors import (
    CallTimeoutError,
    HandlerError,
    NoRespondersError,
    Outcome,
    OverloadedError,
    ResponderLostError,
    TielineError,
    UnavailableError,
)
from tieline.settings import Settings

SETTINGS = Settings(pending_calls=50, offline_buffer=2_000)
GRACE, AGAIN = SETTINGS.responders_grace, SETTINGS.redispatch


class Table:
    """A table of calls, the effects it asked for, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.deadlines = Deadlines()
        self.calls = Calls(self, self.deadlines, SETTINGS)
        self.sent: list[tuple[bytes, str]] = []
        self.cancelled: list[tuple[str, bytes]] = []
        self.ends: dict[Call, list[Any]] = {}
        self.woken: float | None = None

    # --- Effects

    def dispatch(self, call: Call, envelope: Envelope) -> bytes:
        self.sent.append((envelope.call_id, call.avoid))
        return b""

    def cancel(self, instance: str, call_id: bytes) -> None:
        self.cancelled.append((instance, call_id))

    def resolve(self, call: Call, reply: Envelope) -> None:
        self.ends.setdefault(call, []).append(reply)

    def reject(self, call: Call, error: TielineError) -> None:
        self.ends.setdefault(call, []).append(error)

    def wake_at(self, moment: float) -> None:
        self.woken = moment

    # --- what tests do

    def start(self, ttl: float = 30.0, *, patience: float = 0.0, link: float = 0.0, idempotent: bool = False) -> Call:
        """Begin a call; `patience` and `link` are seconds to wait for responders and for the connection."""
        envelope = Envelope(topic="a.b", ttl_ms=int(ttl * 1000), data=b"x" * 100)
        call = Call(envelope, self.now + ttl, idempotent=idempotent)
        call.patience = self.now + patience if patience else 0.0
        call.wait_for_link = self.now + link if link else 0.0
        self.calls.start(call, self.now)
        return call

    def taken(self, instance: str, index: int = -1) -> None:
        self.calls.dispatched(self.sent[index][0], instance, None, self.now)

    def nobody(self) -> None:
        self.taken("")

    def failed(self, error: TielineError) -> None:
        self.calls.dispatched(self.sent[-1][0], "", error, self.now)

    def reply(self, value: bytes = b"", index: int = -1) -> Call | None:
        return self.calls.answered(Envelope(kind=REPLY, call_id=self.sent[index][0], data=value), self.now)

    def error(self, error: TielineError, source: str = "s/a", index: int = -1) -> None:
        reply = Envelope(kind=REPLY, call_id=self.sent[index][0], source=source, error=error_to_wire(error))
        self.calls.answered(reply, self.now)

    def accepted(self) -> None:
        self.calls.answered(Envelope(kind=ACCEPTED, call_id=self.sent[-1][0]), self.now)

    def probed(self, *, silent: str = "", expired: str = "") -> None:
        self.calls.probed(set(silent), set(expired), self.calls.suspects(self.now), self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.deadlines.advance(self.now)

    def link_down(self) -> None:
        self.calls.link_down(self.now)

    def link_up(self) -> None:
        self.calls.link_up(self.now)

    def end(self, call: Call) -> Any:
        """How the call ended; it ended once."""
        (only,) = self.ends[call]
        return only

    @property
    def at_rest(self) -> bool:
        """Whether nothing of any call is left."""
        calls = self.calls
        kept = (calls._pending, calls._parked, calls._resting, calls._orphans)
        return not any(kept) and calls.active == 0 and calls._waiting_bytes == 0 and calls.all() == []


@pytest.fixture
def table() -> Table:
    return Table()


def lost(table: Table) -> None:
    """The responder that holds the call is found out by two questions."""
    table.wait(SETTINGS.probe_after)
    table.probed(silent="a")
    table.wait(SETTINGS.probe_confirm)
    table.probed(silent="a")


REFUSED = OverloadedError("full", retry_after=1.5)


# --- replies --------------------------------------------------------------------------------------------------------


def test_a_reply_ends_the_call_and_leaves_nothing(table: Table) -> None:
    call = table.start()
    table.taken("a")
    assert table.reply(b"\x01") is call
    assert table.end(call).data == b"\x01"
    assert call.done
    assert table.cancelled == []
    assert table.at_rest


def test_a_reply_may_come_before_the_dispatch_answer(table: Table) -> None:
    call = table.start()
    table.reply()
    table.taken("a")
    assert table.end(call).kind == REPLY
    assert table.cancelled == []
    assert table.at_rest


def test_late_duplicate_and_forged_replies_change_nothing(table: Table) -> None:
    call = table.start()
    forged = Envelope(kind=REPLY, call_id=new_call_id())
    assert table.calls.answered(forged, table.now) is None
    assert table.calls.answered(Envelope(kind=REPLY), table.now) is None
    assert not call.done
    table.reply()
    assert table.reply() is None
    assert table.end(call).kind == REPLY


def test_a_reply_to_an_earlier_attempt_changes_nothing(table: Table) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    lost(table)
    table.taken("b")
    assert table.reply(index=0) is None
    assert not call.done
    table.reply(b"\x02")
    assert table.end(call).data == b"\x02"


def test_an_error_reply_ends_the_call_with_that_error(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.error(HandlerError("no", type="KeyError", outcome=Outcome.RAN))
    error = table.end(call)
    assert (error.code, error.message, error.type, error.outcome) == ("HANDLER_ERROR", "no", "KeyError", Outcome.RAN)
    assert error.from_wire
    assert not error.retryable


def test_each_attempt_has_a_call_id_of_its_own_and_the_envelope_of_the_last_one_stays_as_it_was(table: Table) -> None:
    call = table.start(idempotent=True)
    first = call.envelope
    before = first.SerializeToString()
    table.taken("a")
    lost(table)
    assert table.sent[0][0] != table.sent[1][0]
    assert first.SerializeToString() == before


# --- deadline -------------------------------------------------------------------------------------------------------


def test_at_the_deadline_a_call_that_somebody_holds_times_out_and_is_cancelled(table: Table) -> None:
    call = table.start(2.0)
    table.taken("a")
    table.wait(1.99)
    assert not call.done
    table.wait(0.01)
    error = table.end(call)
    assert isinstance(error, CallTimeoutError)
    assert error.outcome is Outcome.MAY_HAVE_RUN
    assert error.details["accepted"] is False
    assert table.cancelled == [("a", table.sent[0][0])]
    assert table.at_rest


def test_accepted_is_remembered(table: Table) -> None:
    call = table.start(2.0)
    table.taken("a")
    table.accepted()
    table.wait(2.0)
    assert table.end(call).details["accepted"] is True


def test_a_call_that_timed_out_before_its_responder_was_known_is_cancelled_when_it_is(table: Table) -> None:
    call = table.start(2.0)
    table.wait(2.0)
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN
    assert table.cancelled == []
    table.taken("a")
    assert table.cancelled == [("a", table.sent[0][0])]
    assert table.at_rest


def test_a_call_that_timed_out_and_was_taken_by_nobody_leaves_nothing(table: Table) -> None:
    table.start(2.0)
    table.wait(2.0)
    table.nobody()
    assert table.cancelled == []
    assert table.at_rest


def test_the_owner_is_asked_to_wake_at_the_earliest_deadline(table: Table) -> None:
    table.start(20.0)
    assert table.woken == table.now + 20.0
    table.start(10.0)
    assert table.woken == table.now + 10.0
    table.start(15.0)
    assert table.woken == table.now + 10.0


# --- nobody ---------------------------------------------------------------------------------------------------------


def test_nobody_is_told_at_once(table: Table) -> None:
    call = table.start()
    table.nobody()
    error = table.end(call)
    assert isinstance(error, NoRespondersError)
    assert error.outcome is Outcome.NOT_DELIVERED
    assert error.retryable
    assert table.at_rest


def test_with_patience_a_call_is_sent_again_until_somebody_takes_it(table: Table) -> None:
    call = table.start(patience=1.0)
    for _ in range(3):
        table.nobody()
        assert not call.done
        table.wait(AGAIN)
    assert len(table.sent) == 4
    table.taken("a")
    table.reply()
    assert table.end(call).kind == REPLY
    assert table.at_rest


def test_patience_ends(table: Table) -> None:
    call = table.start(patience=1.0)
    while not call.done:
        table.nobody()
        table.wait(AGAIN)
    assert table.now <= 1_000.0 + 1.0 + 2 * AGAIN
    assert table.end(call).code == "NO_RESPONDERS"
    assert table.at_rest


def test_a_deadline_within_the_patience_gives_no_responders_too(table: Table) -> None:
    call = table.start(0.5, patience=10.0)
    table.nobody()
    table.wait(0.5)
    assert table.end(call).code == "NO_RESPONDERS"
    assert table.end(call).outcome is Outcome.NOT_DELIVERED
    assert table.at_rest


def test_after_a_reconnect_responders_have_a_moment_to_come_back(table: Table) -> None:
    table.link_down()
    table.link_up()
    call = table.start()
    table.nobody()
    assert not call.done
    table.wait(GRACE)
    table.nobody()
    assert table.end(call).code == "NO_RESPONDERS"


# --- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["OVERLOADED", "NO_RESPONDERS", "UNAVAILABLE"])
def test_a_refusal_is_sent_once_more_to_somebody_else(table: Table, code: str) -> None:
    refusal = next(c for c in TielineError.__subclasses__() if c.code == code)("no", outcome=Outcome.NOT_DELIVERED)
    call = table.start()
    table.taken("a")
    table.error(refusal)
    assert [avoid for _, avoid in table.sent] == ["", "a"]
    table.taken("b")
    table.reply()
    assert table.end(call).kind == REPLY
    assert table.at_rest


def test_a_refusal_before_the_dispatch_answer_avoids_the_one_who_said_it(table: Table) -> None:
    table.start()
    table.error(REFUSED, source="service/abc")
    assert table.sent[1][1] == "abc"
    table.taken("abc", index=0)  # the answer to the first dispatch comes late
    assert table.cancelled == []


def test_without_anybody_else_the_refusal_is_the_result(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.error(REFUSED)
    table.nobody()
    error = table.end(call)
    assert error.code == "OVERLOADED"
    assert error.retry_after == 1.5
    assert error.outcome is Outcome.NOT_DELIVERED
    assert table.at_rest


def test_who_has_just_left_is_waited_out_like_nobody(table: Table) -> None:
    call = table.start(patience=1.0, idempotent=True)
    left = NoRespondersError("left")
    for name in "abcdef":  # each of them was there a moment ago
        table.taken(name)
        table.error(left)
        assert not call.done
        table.wait(AGAIN)
    table.nobody()
    assert not call.done
    table.wait(AGAIN)
    table.taken("g")
    table.reply()
    assert table.end(call).kind == REPLY
    assert table.at_rest


def test_patience_with_those_who_leave_ends(table: Table) -> None:
    call = table.start(patience=1.0)
    while not call.done:
        table.taken("a")
        table.error(NoRespondersError("left"))
        if not call.done:
            table.nobody()
            table.wait(AGAIN)
    assert table.end(call).message == "left"
    assert table.now <= 1_000.0 + 1.0 + 2 * AGAIN
    assert table.at_rest


def test_a_second_refusal_is_the_result(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.error(REFUSED)
    table.taken("b")
    table.error(NoRespondersError("left"))
    assert table.end(call).code == "NO_RESPONDERS"
    assert len(table.sent) == 2


@pytest.mark.parametrize(
    "error",
    [
        OverloadedError("after it ran", outcome=Outcome.RAN),
        UnavailableError("perhaps"),
        HandlerError("not a refusal", outcome=Outcome.NOT_DELIVERED),
    ],
    ids=lambda error: error.code,
)
def test_what_may_have_run_or_is_no_refusal_is_not_sent_again(table: Table, error: TielineError) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    table.error(error)
    assert table.end(call).code == error.code
    assert len(table.sent) == 1


# --- lost -----------------------------------------------------------------------------------------------------------


def test_only_those_who_hold_an_old_call_are_asked_after(table: Table) -> None:
    table.start()
    table.taken("a")
    assert table.calls.suspects(table.now) == set()
    table.wait(SETTINGS.probe_after)
    table.start()
    table.taken("b")
    assert table.calls.suspects(table.now) == {"a"}


def test_two_negative_answers_half_a_second_apart_mean_lost(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.wait(SETTINGS.probe_after)
    table.probed(silent="a")
    assert table.calls.any_silent()
    table.wait(SETTINGS.probe_confirm - 0.01)
    table.probed(silent="a")
    assert not call.done
    table.wait(0.01)
    table.probed(silent="a")
    error = table.end(call)
    assert isinstance(error, ResponderLostError)
    assert error.outcome is Outcome.MAY_HAVE_RUN
    assert not error.retryable
    assert table.cancelled == [("a", table.sent[0][0])]
    assert table.at_rest


def test_a_positive_answer_in_between_begins_anew(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.wait(SETTINGS.probe_after)
    table.probed(silent="a")
    table.wait(SETTINGS.probe_confirm)
    table.probed()
    assert not table.calls.any_silent()
    table.wait(SETTINGS.probe_confirm)
    table.probed(silent="a")
    assert not call.done


def test_a_lease_that_ended_means_lost_at_once(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.wait(SETTINGS.probe_after)
    table.probed(expired="a")
    assert table.end(call).code == "RESPONDER_LOST"


def test_an_answer_about_somebody_who_was_not_asked_about_changes_nothing(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.calls.probed({"a"}, {"a"}, {"b"}, table.now)
    assert not call.done


def test_an_idempotent_call_is_sent_to_somebody_else_when_its_responder_is_lost(table: Table) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    lost(table)
    assert not call.done
    assert table.sent[1][1] == "a"
    assert table.cancelled == [("a", table.sent[0][0])]
    table.taken("b")
    table.reply()
    assert table.end(call).kind == REPLY
    assert table.at_rest


def test_an_idempotent_call_is_attempted_three_times(table: Table) -> None:
    call = table.start(idempotent=True)
    for _ in range(SETTINGS.attempts):
        assert not call.done
        table.taken("a")
        lost(table)
    assert len(table.sent) == SETTINGS.attempts
    error = table.end(call)
    assert error.code == "RESPONDER_LOST"
    assert error.retryable


def test_a_refusal_does_not_add_to_the_attempts_of_an_idempotent_call(table: Table) -> None:
    call = table.start(idempotent=True)
    for _ in range(SETTINGS.attempts - 1):
        table.taken("a")
        lost(table)
    table.taken("b")
    table.error(REFUSED)
    assert len(table.sent) == SETTINGS.attempts
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN


def test_lost_with_nobody_left_says_lost(table: Table) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    lost(table)
    table.nobody()
    assert table.end(call).code == "RESPONDER_LOST"
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN


def test_a_refusal_after_a_loss_does_not_claim_that_nothing_ran(table: Table) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    lost(table)
    table.taken("b")
    table.error(REFUSED)
    table.nobody()
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN


# --- link -----------------------------------------------------------------------------------------------------------


def test_a_broken_link_ends_calls_in_flight_as_unknown(table: Table) -> None:
    sent, held = table.start(), table.start()
    table.taken("a")
    table.link_down()
    for call in (sent, held):
        error = table.end(call)
        assert isinstance(error, UnavailableError)
        assert error.outcome is Outcome.MAY_HAVE_RUN
        assert not error.retryable
    assert table.at_rest


def test_attempts_over_a_link_that_was_left_have_ended(table: Table) -> None:
    once, again = table.start(), table.start(idempotent=True)
    table.taken("a")
    left = table.calls.under_way()
    new = table.start()
    assert table.calls.under_way() == {call_id for call_id, _ in table.sent}
    table.calls.link_left(left, table.now)
    error = table.end(once)
    assert error.code == "UNAVAILABLE"
    assert error.outcome is Outcome.MAY_HAVE_RUN
    assert len(table.sent) == 4
    for call, index in ((again, 3), (new, 2)):
        assert call not in table.ends
        table.taken("b", index)
        table.reply(index=index)
        assert table.end(call).kind == REPLY
    assert table.at_rest


def test_an_idempotent_call_waits_for_the_link_and_is_sent_again(table: Table) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    table.link_down()
    table.wait(5.0)
    assert not call.done
    table.link_up()
    assert len(table.sent) == 2
    table.taken("a")
    table.reply()
    assert table.end(call).kind == REPLY
    assert table.at_rest


def test_new_calls_fail_at_once_while_the_link_is_down(table: Table) -> None:
    table.link_down()
    for idempotent in (False, True):
        error = table.end(table.start(idempotent=idempotent))
        assert error.code == "UNAVAILABLE"
        assert error.outcome is Outcome.NOT_DELIVERED
        assert error.retryable
    assert table.sent == []
    assert table.at_rest


def test_a_new_call_may_wait_for_the_link(table: Table) -> None:
    table.link_down()
    call = table.start(link=5.0)
    table.wait(4.9)
    table.link_up()
    assert len(table.sent) == 1
    table.taken("a")
    table.reply()
    assert table.end(call).kind == REPLY
    assert table.at_rest


def test_a_new_call_waits_for_the_link_no_longer_than_it_said(table: Table) -> None:
    table.link_down()
    call = table.start(link=5.0)
    table.wait(5.0)
    assert table.end(call).code == "UNAVAILABLE"
    assert table.end(call).outcome is Outcome.NOT_DELIVERED
    assert table.at_rest


def test_a_deadline_while_waiting_for_the_link_is_a_timeout_of_what_was_not_delivered(table: Table) -> None:
    table.link_down()
    call = table.start(2.0, link=5.0)
    table.wait(2.0)
    assert table.end(call).code == "TIMEOUT"
    assert table.end(call).outcome is Outcome.NOT_DELIVERED
    assert table.at_rest


def test_what_waits_for_the_link_is_bounded(table: Table) -> None:
    table.link_down()
    calls = [table.start(link=5.0) for _ in range(40)]
    refused = [call for call in calls if call.done]
    assert 0 < len(refused) < 40
    assert {table.end(call).code for call in refused} == {"OVERLOADED"}
    assert {table.end(call).outcome for call in refused} == {Outcome.NOT_DELIVERED}
    table.link_up()
    assert len(table.sent) == 40 - len(refused)
    table.link_down()
    assert table.calls._waiting_bytes == 0


def test_a_call_that_waits_for_responders_when_the_link_breaks_was_not_delivered(table: Table) -> None:
    call = table.start(patience=10.0)
    table.nobody()
    table.link_down()
    table.wait(AGAIN)
    assert table.end(call).code == "UNAVAILABLE"
    assert table.end(call).outcome is Outcome.NOT_DELIVERED
    assert table.at_rest


def test_nobody_after_a_broken_link_does_not_claim_that_nothing_ran(table: Table) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    table.link_down()
    table.link_up()
    table.nobody()
    table.wait(GRACE)
    table.nobody()
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN


def test_a_link_that_refuses_the_second_attempt_does_not_claim_that_nothing_ran(table: Table) -> None:
    call = table.start(idempotent=True)
    table.taken("a")
    table.link_down()
    table.link_up()
    table.failed(OverloadedError("congested"))
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN


def test_nothing_is_sent_after_the_deadline(table: Table) -> None:
    """Although the timer that should have ended the call comes late."""
    parked, held, refused = table.start(2.0, idempotent=True), table.start(2.0, idempotent=True), table.start(2.0)
    table.link_down()
    held = table.start(4.0, link=4.0, idempotent=True)
    table.now += 2.0
    table.link_up()
    assert [call.done for call in (parked, held, refused)] == [True, False, True]
    assert len(table.sent) == 4
    table.taken("a")
    table.now += 2.0
    table.calls.probed(set(), {"a"}, {"a"}, table.now)
    assert held.done
    assert len(table.sent) == 4


# --- the caller -----------------------------------------------------------------------------------------------------


def test_an_abandoned_call_cancels_its_responder_and_hears_nothing_more(table: Table) -> None:
    call = table.start()
    table.taken("a")
    table.calls.abandon(call)
    table.reply()
    table.wait(60.0)
    assert call not in table.ends
    assert table.cancelled == [("a", table.sent[0][0])]
    assert table.at_rest


def test_a_call_abandoned_before_it_was_taken_is_cancelled_when_it_is(table: Table) -> None:
    call = table.start()
    table.calls.abandon(call)
    table.calls.abandon(call)
    table.taken("a")
    table.taken("a")
    assert table.cancelled == [("a", table.sent[0][0])]
    assert table.at_rest


def test_a_call_abandoned_while_it_waits_cancels_nobody(table: Table) -> None:
    resting = table.start(patience=5.0)
    table.nobody()
    table.calls.abandon(resting)
    table.link_down()
    parked = table.start(link=5.0)
    table.calls.abandon(parked)
    table.link_up()
    table.wait(60.0)
    assert len(table.sent) == 1
    assert table.ends == {}
    assert table.cancelled == []
    assert table.at_rest


def test_more_calls_than_allowed_are_refused_until_others_are_done(table: Table) -> None:
    for _ in range(SETTINGS.pending_calls):
        table.start()
    with pytest.raises(OverloadedError) as caught:
        table.start()
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    assert caught.value.retry_after is not None
    table.reply()
    table.start()


def test_closing_ends_a_call_wherever_it_is(table: Table) -> None:
    sent, resting = table.start(), table.start(patience=5.0)
    table.nobody()
    table.calls.close(sent, UnavailableError("closed"))
    table.calls.close(resting, UnavailableError("closed"))
    table.calls.close(resting, UnavailableError("closed again"))
    assert table.end(sent).message == table.end(resting).message == "closed"
    assert table.at_rest
