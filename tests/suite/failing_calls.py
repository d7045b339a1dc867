"""Calls that end otherwise: cancelled, cut off, left alone; and what the responder then does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from tests.suite.seen import QUIET_SECONDS, Seen, Watch, until
from tests.suite.world import World
from tieline import (
    CallCancelledError,
    CallTimeoutError,
    EventSystem,
    HandlerError,
    NoRespondersError,
    Outcome,
    ResponderLostError,
    Settings,
    current_event,
)
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import CANCEL, REQUEST, new_call_id


class Slow:
    """A handler that takes long, unless it is told to `go` on, and what became of each run."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self.go = asyncio.Event()
        self.began, self.cancelled, self.ended = Seen(), Seen(), Seen()

    async def handle(self, data: Any) -> Any:
        self.began.append(data)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.go.wait(), self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(data)
            raise
        self.ended.append(data)
        return data


async def _pair(world: World, topic: str, here: bool, slow: Slow) -> tuple[EventSystem, EventSystem]:
    """A caller and the system that answers: another one, or the same."""
    system = await world.system()
    await system.subscribe(topic, slow.handle).ready()
    return (system if here else await world.system()), system


CURIOUS = Settings(probe_after=0.2, probe_interval=0.2, probe_confirm=0.1)
"""For a caller that asks early and often after its responders."""

both = pytest.mark.parametrize("here", [False, True], ids=["elsewhere", "here"])


@both
async def test_cancelling_a_call_stops_the_handler(world: World, topic: str, here: bool) -> None:
    slow = Slow()
    caller, _ = await _pair(world, topic, here, slow)
    call = asyncio.create_task(caller.publish_and_wait(topic, 1))
    await slow.began.reach(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await slow.cancelled.reach(1)


@both
async def test_a_call_that_times_out_stops_the_handler(world: World, topic: str, here: bool) -> None:
    slow = Slow()
    caller, _ = await _pair(world, topic, here, slow)
    with pytest.raises(CallTimeoutError):
        await caller.publish_and_wait(topic, 1, ttl=1.0)
    await slow.cancelled.reach(1)


@both
async def test_an_idempotent_call_that_timed_out_is_retryable(world: World, topic: str, here: bool) -> None:
    caller, _ = await _pair(world, topic, here, Slow())
    with pytest.raises(CallTimeoutError) as caught:
        await caller.publish_and_wait(topic, 1, ttl=1.0, idempotent=True)
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    assert caught.value.retryable
    assert caught.value.details["attempts"] == 1


@both
async def test_cancelling_a_call_that_waits_in_the_queue_keeps_it_from_running(
    world: World, topic: str, here: bool
) -> None:
    slow = Slow()
    system = await world.system()
    await system.subscribe(topic, slow.handle, concurrency=1).ready()
    caller = system if here else await world.system()
    first = asyncio.create_task(caller.publish_and_wait(topic, 1))
    await slow.began.reach(1)
    second = asyncio.create_task(caller.publish_and_wait(topic, 2))
    mailbox = system.subscriptions[0].mailbox
    await until(lambda: mailbox.waiting)
    second.cancel()
    await until(lambda: not mailbox.waiting)
    slow.go.set()
    assert await first == 1
    await slow.began.stay(1)


@both
async def test_a_handler_that_ignores_cancellation_is_not_waited_for(world: World, topic: str, here: bool) -> None:
    system, began, done = await world.system(), Seen(), asyncio.Event()

    async def stubborn(data: Any) -> None:
        began.append(data)
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                continue

    await system.subscribe(topic, stubborn).ready()
    caller, watch = system if here else await world.system(), Watch()
    with pytest.raises(CallTimeoutError):
        await caller.publish_and_wait(topic, 1, ttl=1.0)
    assert watch.seconds < 10.0
    assert began == [1]
    done.set()


@both
async def test_a_synchronous_handler_can_see_that_the_caller_gave_up(world: World, topic: str, here: bool) -> None:
    noticed = Seen()

    def patient(data: Any) -> None:
        event, watch = current_event(), Watch()
        assert event is not None
        while not event.cancelled and watch.seconds < 20.0:
            time.sleep(0.01)
        noticed.append(event.cancelled)

    system = await world.system()
    await system.subscribe(topic, patient).ready()
    caller = system if here else await world.system()
    with pytest.raises(CallTimeoutError):
        await caller.publish_and_wait(topic, 1, ttl=1.0)
    await noticed.reach(1, 25.0)
    assert noticed == [True]


async def test_a_cancelled_request_gets_no_reply(world: World, topic: str) -> None:
    slow, raw, system = Slow(), await world.raw(), await world.system()
    await system.subscribe(topic, slow.handle).ready()
    request = raw.envelope(REQUEST, topic, 1)
    raw.port.dispatch(request, "")
    await slow.began.reach(1)
    await raw.dispatched.reach(1)
    raw.port.answer(raw.dispatched[0][1], Envelope(kind=CANCEL, call_id=request.call_id))
    await slow.cancelled.reach(1)
    await asyncio.sleep(QUIET_SECONDS)
    assert raw.answers == []


async def test_cancels_of_unknown_and_finished_calls_are_ignored(world: World, topic: str) -> None:
    slow, raw, system = Slow(0.3), await world.raw(), await world.system()
    await system.subscribe(topic, slow.handle).ready()
    done, going = raw.envelope(REQUEST, topic, 1), raw.envelope(REQUEST, topic, 2)
    raw.port.dispatch(done, "")
    await slow.ended.reach(1)
    raw.port.dispatch(going, "")
    await slow.began.reach(2)
    for call_id in (done.call_id, new_call_id(), b""):
        raw.port.answer(system.instance, Envelope(kind=CANCEL, call_id=call_id))
    await slow.ended.reach(2)
    assert slow.cancelled == []


async def test_a_handler_that_cancels_itself_tells_the_caller(world: World, topic: str) -> None:
    async def gives_up(data: Any) -> None:
        raise asyncio.CancelledError

    system = await world.system()
    await system.subscribe(topic, gives_up).ready()
    for caller in (system, await world.system()):
        with pytest.raises(CallCancelledError) as caught:
            await caller.publish_and_wait(topic, ttl=5.0)
        assert caught.value.outcome is Outcome.MAY_HAVE_RUN


# --- responders that leave ------------------------------------------------------------------------------------------


async def test_an_unsubscribing_responder_finishes_what_it_was_given(world: World, topic: str) -> None:
    slow = Slow(0.3)
    caller, system = await _pair(world, topic, False, slow)
    calls = [asyncio.create_task(caller.publish_and_wait(topic, n)) for n in range(3)]
    await slow.began.reach(3)
    await system.subscriptions[0].unsubscribe()
    assert len(slow.ended) == 3
    assert await asyncio.gather(*calls) == [0, 1, 2]
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic)


async def test_what_is_on_its_way_to_a_responder_that_leaves_is_answered(world: World, topic: str) -> None:
    """What it was given before the broker knew, it answers; everything else was never delivered."""
    caller, system = await world.system(), await world.system()
    for _ in range(10):
        ran = list[int]()
        subscription = system.subscribe(topic, ran.append)
        await subscription.ready()
        calls = [asyncio.create_task(caller.publish_and_wait(topic, n)) for n in range(100)]
        await asyncio.sleep(0)
        await subscription.unsubscribe()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, NoRespondersError)]
        assert all("nobody answers" in error.message for error in refused), refused
        assert len(refused) + len(ran) == 100
        assert len(refused) + answers.count(None) == 100


async def test_a_closing_responder_finishes_what_runs_and_what_waits(world: World, topic: str) -> None:
    slow, caller, system = Slow(), await world.system(), await world.system()
    await system.subscribe(topic, slow.handle, concurrency=1).ready()
    calls = [asyncio.create_task(caller.publish_and_wait(topic, n)) for n in range(3)]
    await until(lambda: len(system.subscriptions[0].mailbox.waiting) == 2)
    closing = asyncio.create_task(system.aclose())
    await until(lambda: not system.subscriptions)
    slow.go.set()
    await closing
    assert await asyncio.gather(*calls) == [0, 1, 2]


async def test_serve_ends_when_somebody_else_closes_the_system(world: World, topic: str) -> None:
    system = world.make()

    async def leave() -> None:
        await system.aclose()

    serving = asyncio.create_task(system.serve())
    await system.subscribe(topic, leave).ready()
    await (await world.system()).publish_and_wait(topic)
    async with asyncio.timeout(10.0):
        await serving


async def test_closing_waits_for_a_responder_that_is_unsubscribing(world: World, topic: str) -> None:
    slow = Slow()
    caller, system = await _pair(world, topic, False, slow)
    call = asyncio.create_task(caller.publish_and_wait(topic, 1, ttl=10.0))
    await slow.began.reach(1)
    leaving = asyncio.create_task(system.subscriptions[0].unsubscribe())
    await until(lambda: not system.subscriptions)
    closing = asyncio.create_task(system.aclose())
    await asyncio.sleep(0.1)
    assert not closing.done()
    slow.go.set()
    await closing
    assert await call == 1
    await leaving


async def test_while_a_responder_drains_others_take_the_new_calls(world: World, topic: str) -> None:
    slow, raw = Slow(), await world.raw()
    caller, leaving = await _pair(world, topic, False, slow)
    first = asyncio.create_task(caller.publish_and_wait(topic, 1))
    await slow.began.reach(1)
    other = await world.system()
    await other.subscribe(topic, lambda data: "other").ready()
    closing = asyncio.create_task(leaving.aclose())
    while len(await raw.port.responders(topic)) > 1:
        await asyncio.sleep(0.01)
    assert [await caller.publish_and_wait(topic) for _ in range(4)] == ["other"] * 4
    slow.go.set()
    assert await first == 1
    await closing


@both
@pytest.mark.parametrize("drain", [0.0, 0.2])
async def test_what_still_runs_after_the_drain_time_is_told_to_its_caller(
    world: World, topic: str, here: bool, drain: float
) -> None:
    slow = Slow()
    caller, system = await _pair(world, topic, here, slow)
    call = asyncio.create_task(caller.publish_and_wait(topic, 1))
    await slow.began.reach(1)
    await system.aclose(drain)
    with pytest.raises(ResponderLostError) as caught:
        await call
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    await slow.cancelled.reach(1)


async def test_a_responder_that_leaves_without_a_word_is_found_out(world: World, topic: str) -> None:
    caller, raw = await world.system(), await world.raw()
    await raw.answers_to(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, ttl=20.0))
    await raw.request()
    watch = Watch()
    await raw.transport.aclose()
    with pytest.raises(ResponderLostError) as caught:
        await call
    assert watch.seconds < 10.0
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    assert not caught.value.retryable
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic)


async def test_an_idempotent_call_is_sent_to_another_responder(world: World, topic: str) -> None:
    caller, raw = await world.system(settings=CURIOUS), await world.raw()
    await raw.answers_to(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, "again", ttl=20.0, idempotent=True))
    first = await raw.request()
    second = await world.raw()
    await second.answers_to(topic)
    await raw.transport.aclose()
    again = await second.request()
    assert again.call_id != first.call_id
    assert again.id == first.id
    assert again.idempotent
    second.reply(again, "done")
    assert await call == "done"


async def test_an_idempotent_call_that_is_lost_with_nobody_left_says_that_it_was_lost(world: World, topic: str) -> None:
    caller, raw = await world.system(settings=CURIOUS), await world.raw()
    await raw.answers_to(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, ttl=20.0, idempotent=True))
    await raw.request()
    await raw.transport.aclose()
    with pytest.raises(ResponderLostError) as caught:
        await call
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    assert caught.value.retryable


@both
async def test_a_reply_that_cannot_be_sent_is_the_handlers_failure(world: World, topic: str, here: bool) -> None:
    system = await world.system()
    await system.subscribe(topic, lambda data: {"items": [1, object()]}).ready()
    caller = system if here else await world.system()
    with pytest.raises(HandlerError) as caught:
        await caller.publish_and_wait(topic)
    assert caught.value.type == "InvalidPayloadError"
    assert caught.value.outcome is Outcome.RAN
    assert "$.items[1]" in caught.value.message
    assert caught.value.details["code"] == "INVALID_PAYLOAD"


@both
async def test_an_error_of_ours_that_a_handler_raises_keeps_its_code_in_the_details(
    world: World, topic: str, here: bool
) -> None:
    async def forwards(data: Any) -> None:
        await system.publish_and_wait(f"{topic}.nobody")

    system = await world.system()
    await system.subscribe(topic, forwards).ready()
    caller = system if here else await world.system()
    with pytest.raises(HandlerError) as caught:
        await caller.publish_and_wait(topic)
    assert (caught.value.type, caught.value.details["code"]) == ("NoRespondersError", "NO_RESPONDERS")
    assert caught.value.outcome is Outcome.RAN


@both
async def test_a_synchronous_handler_that_stops_an_iteration_has_failed(world: World, topic: str, here: bool) -> None:
    def first(data: list[int]) -> int:
        return next(iter(data))

    system = await world.system()
    await system.subscribe(topic, first).ready()
    caller = system if here else await world.system()
    with pytest.raises(HandlerError, match="StopIteration"):
        await caller.publish_and_wait(topic, [], ttl=5.0)


async def test_closing_the_caller_ends_its_calls(world: World, topic: str) -> None:
    caller, raw = await world.system(), await world.raw()
    await raw.answers_to(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic))
    await raw.request()
    await caller.aclose()
    with pytest.raises(Exception, match="UNAVAILABLE") as caught:
        await call
    assert getattr(caught.value, "outcome", None) is Outcome.MAY_HAVE_RUN
