"""Calls that stream and calls that share a run, without input or output: rules that random schedules brought up."""

from __future__ import annotations

import pytest

from tests.unit.test_calls import Table
from tieline._contract.envelope_pb2 import Envelope, Stream
from tieline.calls.call import Call
from tieline.calls.stream_call import StreamCall
from tieline.envelope import REPLY, STREAM_END, STREAM_ITEM, error_to_wire
from tieline.errors import (
    CallTimeoutError,
    InvalidPayloadError,
    NoRespondersError,
    Outcome,
    OverloadedError,
    UnavailableError,
)


class Features(Table):
    """A table that hears of streams and runs too."""

    def __init__(self) -> None:
        super().__init__()
        self.credits: list[Stream] = []
        self.released: list[str] = []

    def arrived(self, call: StreamCall) -> None:
        call.waiting = False

    def credit(self, call: StreamCall) -> None:
        self.credits.append(call.flow.grant())

    def release(self, call: Call, error: Exception) -> None:
        self.released.append(getattr(error, "code", ""))

    def stream(self, ttl: float = 30.0, *, near: bool = False) -> StreamCall:
        call = StreamCall(Envelope(topic="a.b", ttl_ms=int(ttl * 1000)), self.now, near=near)
        call.waiting = True
        self.calls.start(call, self.now)
        return call

    def item(self, number: int, kind: int = STREAM_ITEM) -> None:
        stream = Stream(sequence=number)
        self.calls.answered(Envelope(kind=kind, call_id=self.sent[-1][0], source="s/a", stream=stream), self.now)

    def keyed(self, ttl: float = 30.0, patience: float = 0.0) -> Call:
        envelope = Envelope(topic="a.b", ttl_ms=int(ttl * 1000), idempotency_key="k")
        call = Call(envelope, self.now + ttl, idempotent=True, patience=patience and self.now + patience)
        self.calls.start(call, self.now)
        return call

    def joined(self, seconds: float, instance: str = "r") -> None:
        self.calls.joined(self.sent[-1][0], self.now + seconds, instance)


@pytest.fixture
def table() -> Features:
    return Features()


def test_a_lost_last_item_is_a_loss_and_nobodys_excess(table: Features) -> None:
    call = table.stream()
    table.item(1)
    table.item(2, STREAM_END)
    error = table.end(call)
    assert isinstance(error, UnavailableError)
    assert error.details == {"expected": 2, "got": 2}


def test_an_error_after_items_is_never_undelivered(table: Features) -> None:
    call = table.stream()
    table.item(1)
    end = Envelope(kind=STREAM_END, call_id=table.sent[-1][0], stream=Stream(sequence=1))
    end.error.CopyFrom(error_to_wire(OverloadedError("full", outcome=Outcome.NOT_DELIVERED)))
    table.calls.answered(end, table.now)
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN


def test_the_time_of_a_stream_counts_only_while_its_reader_waits(table: Features) -> None:
    call = table.stream(ttl=5.0)
    table.taken("r")
    table.item(1)
    call.flow.take()
    table.calls.taken(call)
    for _ in range(20):  # the reader does something else, and nothing is left to read
        table.wait(1.0)
    assert not call.done
    call.waiting = True
    call.rest(table.now)
    for _ in range(6):
        table.wait(1.0)
    assert isinstance(table.end(call), CallTimeoutError)


def test_a_stream_of_this_process_outlives_the_link_to_the_broker(table: Features) -> None:
    here, there = table.stream(near=True), table.stream()
    table.calls.dispatched(here.call_id, "own", None, table.now)
    table.link_down()
    assert isinstance(table.end(there), UnavailableError)
    assert not here.done
    again = table.stream(near=True)
    assert again.attempts == 1


def test_a_call_that_joined_a_run_waits_for_the_link(table: Features) -> None:
    call = table.keyed()
    table.joined(20.0)
    table.link_down()
    assert not call.done
    table.link_up()
    assert len(table.sent) == 2
    table.reply()
    assert call.done


def test_who_took_a_run_over_is_not_disturbed_by_the_end_of_the_dead_claim(table: Features) -> None:
    call = table.keyed(ttl=60.0)
    table.joined(10.0, "lost")
    table.wait(2.0)
    table.calls.probed(set(), {"lost"}, {"lost"}, table.now)
    assert table.sent[-1][1] == "lost"
    table.taken("new")
    table.wait(10.0)
    assert len(table.sent) == 2
    table.error(InvalidPayloadError("no"), source="s/new")
    assert isinstance(table.end(call), InvalidPayloadError)
    assert table.released == ["INVALID_PAYLOAD"]


def test_who_joined_gets_the_error_that_the_owner_got(table: Features) -> None:
    call = table.keyed()
    table.joined(20.0)
    error = error_to_wire(InvalidPayloadError("no"))
    table.calls.answered(Envelope(kind=REPLY, call_id=table.sent[-1][0], error=error), table.now)
    assert table.end(call).outcome is Outcome.NOT_DELIVERED


def test_who_joined_and_waited_in_vain_cannot_know(table: Features) -> None:
    call = table.keyed(ttl=3.0)
    table.joined(20.0)
    table.wait(4.0)
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN


def test_who_joined_twice_in_vain_and_was_then_taken_may_have_run(table: Features) -> None:
    call = table.keyed(ttl=3.0, patience=1.0)
    for _ in range(2):
        table.joined(20.0)
        error = error_to_wire(NoRespondersError("filtered"))
        table.calls.answered(Envelope(kind=REPLY, call_id=table.sent[-1][0], error=error), table.now)
    table.wait(0.1)
    table.taken("r")
    table.wait(4.0)
    assert table.end(call).outcome is Outcome.MAY_HAVE_RUN
