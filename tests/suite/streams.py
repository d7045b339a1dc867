"""Streaming replies: order, flow control, leaving early, errors in the middle, and peers that break the rules."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.suite.seen import until
from tests.suite.world import Feature, World, needs
from tieline import (
    CallTimeoutError,
    EventSystem,
    HandlerError,
    InternalError,
    InvalidArgumentError,
    NoRespondersError,
    ResponderLostError,
    Step,
    StepName,
    UnavailableError,
    UnsupportedError,
)
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.envelope_pb2 import Stream as Position
from tieline.codec import encode
from tieline.envelope import CANCEL, CREDIT, REQUEST, STREAM_END, STREAM_ITEM
from tieline.errors import Outcome, TielineError

HERE = pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])


class Counter:
    """A handler that counts up to what it is asked for, and remembers how it fared."""

    def __init__(self) -> None:
        self.yielded = 0
        self.closed = False

    async def count(self, end: int) -> AsyncIterator[int]:
        try:
            for number in range(end):
                self.yielded = number + 1
                yield number
        finally:
            self.closed = True


async def _fail(stream: AsyncIterator[Any]) -> tuple[list[Any], TielineError]:
    """Read a stream that must fail; what came before, and the error."""
    got: list[Any] = []
    try:
        async for item in stream:
            got.append(item)  # noqa: PERF401 - it is needed after the error
    except TielineError as error:
        return got, error
    raise AssertionError(f"it ended well after {len(got)} items")


async def _pair(world: World, topic: str, here: bool, handler: Any, **options: Any) -> EventSystem:
    """A caller, and the handler in the same system or in another one."""
    caller = await world.system()
    responder = caller if here else await world.system()
    await responder.subscribe(topic, handler, **options).ready()
    return caller


@HERE
async def test_a_stream_arrives_whole_and_in_order(world: World, topic: str, here: bool) -> None:
    caller = await _pair(world, topic, here, Counter().count)
    assert [item async for item in caller.publish_and_stream(topic, 5_000)] == list(range(5_000))
    assert [item async for item in caller.publish_and_stream(topic, 0)] == []


@HERE
async def test_a_synchronous_generator_streams_too(world: World, topic: str, here: bool) -> None:
    def letters(text: str) -> Iterator[str]:
        yield from text

    caller = await _pair(world, topic, here, letters)
    assert [item async for item in caller.publish_and_stream(topic, "tieline")] == list("tieline")


@HERE
async def test_a_handler_that_returns_is_a_stream_of_one_item(world: World, topic: str, here: bool) -> None:
    caller = await _pair(world, topic, here, lambda data: data * 2)
    assert [item async for item in caller.publish_and_stream(topic, 21)] == [42]


@HERE
async def test_a_plain_call_of_a_streaming_handler_is_refused(world: World, topic: str, here: bool) -> None:
    counter = Counter()
    caller = await _pair(world, topic, here, counter.count)
    with pytest.raises(UnsupportedError, match="publish_and_stream") as caught:
        await caller.publish_and_wait(topic, 3)
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    assert counter.yielded == 0


@HERE
async def test_a_plain_call_of_a_handler_that_turns_out_to_stream_has_run(world: World, topic: str, here: bool) -> None:
    async def late(end: int) -> AsyncIterator[int]:
        return Counter().count(end)

    caller = await _pair(world, topic, here, late)
    with pytest.raises(HandlerError, match="publish_and_stream") as caught:
        await caller.publish_and_wait(topic, 3)
    assert caught.value.outcome is Outcome.RAN
    assert [item async for item in caller.publish_and_stream(topic, 3)] == [0, 1, 2]


@HERE
async def test_an_error_in_the_middle_comes_after_the_items_before_it(world: World, topic: str, here: bool) -> None:
    async def fail(data: int) -> AsyncIterator[int]:
        for number in range(data):
            yield number
        raise LookupError("no more")

    caller = await _pair(world, topic, here, fail)
    for count in (0, 3):
        got, error = await _fail(caller.publish_and_stream(topic, count))
        assert got == list(range(count))
        assert (type(error), error.message, error.type) == (HandlerError, "no more", "LookupError")
        assert error.outcome is Outcome.RAN


@HERE
async def test_an_item_that_cannot_be_sent_is_the_handlers_failure(world: World, topic: str, here: bool) -> None:
    async def odd(data: Any) -> AsyncIterator[Any]:
        yield 1
        yield object()

    caller = await _pair(world, topic, here, odd)
    stream = caller.publish_and_stream(topic)
    assert await anext(stream) == 1
    with pytest.raises(HandlerError, match="yielded cannot be sent"):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@HERE
async def test_a_slow_reader_slows_the_handler(world: World, topic: str, here: bool) -> None:
    counter = Counter()
    caller = await _pair(world, topic, here, counter.count)
    async with caller.publish_and_stream(topic, 1_000_000, window=10) as stream:
        for expected in range(100):
            assert await anext(stream) == expected
            assert counter.yielded <= expected + 13
        await asyncio.sleep(0.1)
        assert counter.yielded <= 112


@HERE
async def test_large_items_keep_their_memory_bounded(world: World, topic: str, here: bool) -> None:
    made = 0

    async def large(count: int) -> AsyncIterator[bytes]:
        nonlocal made
        for made in range(1, count + 1):  # noqa: B007 - the test looks at it
            yield bytes(500_000)

    caller = await _pair(world, topic, here, large)
    read = 0
    async for item in caller.publish_and_stream(topic, 60):
        read += 1
        assert len(item) == 500_000
        if read > 20:
            assert made - read <= 4, "two items of half a megabyte are enough on the way"
    assert read == 60


@HERE
@pytest.mark.parametrize("way", ["break", "close", "garbage", "cancel"])
async def test_leaving_early_cancels_the_handler(world: World, topic: str, here: bool, way: str) -> None:
    counter = Counter()
    caller = await _pair(world, topic, here, counter.count)
    if way == "break":
        async for item in caller.publish_and_stream(topic, 1_000_000):
            if item == 5:
                break
    elif way == "close":
        async with caller.publish_and_stream(topic, 1_000_000) as stream:
            await anext(stream)
    elif way == "garbage":
        held = caller.publish_and_stream(topic, 1_000_000)
        await anext(held)
        del held
        gc.collect()
    else:

        async def read() -> None:
            async for _ in caller.publish_and_stream(topic, 1_000_000):
                pass

        task = asyncio.create_task(read())
        await until(lambda: counter.yielded > 10)
        task.cancel()
        await asyncio.wait([task])
    await until(lambda: counter.closed)
    assert counter.yielded < 1_000_000


@HERE
async def test_a_handler_that_goes_on_after_its_caller_left_is_stopped(world: World, topic: str, here: bool) -> None:
    ended = asyncio.Event()

    async def stubborn(data: Any) -> AsyncIterator[int]:
        try:
            for number in range(1_000_000):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                yield number
        finally:
            ended.set()

    caller = await _pair(world, topic, here, stubborn)
    async for item in caller.publish_and_stream(topic):
        if item == 3:
            break
    await asyncio.wait_for(ended.wait(), 10.0)


@HERE
async def test_the_time_between_two_items_is_bounded_and_the_whole_is_not(world: World, topic: str, here: bool) -> None:
    cancelled = asyncio.Event()

    async def slow(pauses: list[float]) -> AsyncIterator[int]:
        try:
            for number, pause in enumerate(pauses):
                await asyncio.sleep(pause)
                yield number
        except asyncio.CancelledError:
            cancelled.set()
            raise

    caller = await _pair(world, topic, here, slow)
    assert [item async for item in caller.publish_and_stream(topic, [0.25] * 8, ttl=1.5)] == list(range(8))
    got, error = await _fail(caller.publish_and_stream(topic, [0.0, 0.0, 30.0], ttl=1.5))
    assert (type(error), got, error.details["received"]) == (CallTimeoutError, [0, 1], 2)
    assert error.outcome is Outcome.MAY_HAVE_RUN
    await asyncio.wait_for(cancelled.wait(), 10.0)


@HERE
async def test_the_whole_can_be_bounded_too(world: World, topic: str, here: bool) -> None:
    async def endless(data: Any) -> AsyncIterator[int]:
        number = 0
        while True:
            await asyncio.sleep(0.01)
            yield (number := number + 1)

    caller = await _pair(world, topic, here, endless)
    got, error = await _fail(caller.publish_and_stream(topic, total=1.5))
    assert isinstance(error, CallTimeoutError)
    assert error.message == f"the stream from {topic!r} was not over within its total of 1.5 s"
    assert len(got) > 3


@HERE
async def test_the_time_a_reader_takes_does_not_count(world: World, topic: str, here: bool) -> None:
    caller = await _pair(world, topic, here, Counter().count)
    stream = caller.publish_and_stream(topic, 40, ttl=1.0, window=4)
    got: list[int] = [await anext(stream)]
    await asyncio.sleep(2.0)
    got += [item async for item in stream]
    assert got == list(range(40))


@HERE
async def test_the_time_a_reader_takes_does_not_count_though_nothing_is_left_to_read(
    world: World, topic: str, here: bool
) -> None:
    go_on = asyncio.Event()

    async def two() -> AsyncIterator[int]:
        yield 1
        await go_on.wait()
        yield 2

    caller = await _pair(world, topic, here, two)
    stream = caller.publish_and_stream(topic, ttl=1.0)
    assert await anext(stream) == 1
    await asyncio.sleep(2.0)
    go_on.set()
    assert [item async for item in stream] == [2]


async def test_subscriptions_in_one_process_take_turns_at_streaming(world: World, topic: str) -> None:
    system, counters = await world.system(), [Counter(), Counter()]
    for counter in counters:
        await system.subscribe(topic, counter.count).ready()
    for _ in range(2):
        assert [item async for item in system.publish_and_stream(topic, 2)] == [0, 1]
    assert [counter.yielded for counter in counters] == [2, 2]


async def test_a_stream_read_in_a_handler_ends_with_its_request(world: World, topic: str) -> None:
    system = await world.system()

    async def endless(data: Any) -> AsyncIterator[int]:
        while True:
            await asyncio.sleep(0.02)
            yield 1

    told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        try:
            async for _ in system.publish_and_stream(f"{topic}.inner"):
                pass
        except TielineError as error:
            told.set_result(error)

    async def outer(data: Any) -> None:
        outliving.append(asyncio.create_task(read()))

    outliving: list[asyncio.Task[None]] = []
    await system.subscribe(f"{topic}.inner", endless).ready()
    await system.subscribe(topic, outer).ready()
    await (await world.system()).publish_and_wait(topic, ttl=1.5)
    assert isinstance(await asyncio.wait_for(told, 10.0), CallTimeoutError)


async def test_a_responder_without_room_lets_another_one_stream(world: World, topic: str) -> None:
    caller, busy, free = await world.system(), await world.system(), await world.system()
    gate = asyncio.Event()

    async def wait(data: Any) -> AsyncIterator[str]:
        yield "busy"
        await gate.wait()

    first = busy.subscribe(topic, wait, concurrency=1, queue=0)
    await first.ready()
    held = caller.publish_and_stream(topic)
    assert await anext(held) == "busy"
    await free.subscribe(topic, lambda data: "free").ready()
    for _ in range(4):
        assert [item async for item in caller.publish_and_stream(topic)] == ["free"]
    gate.set()
    assert [item async for item in held] == []


async def test_nobody_to_stream_is_told_at_once(world: World, topic: str) -> None:
    caller = await world.system()
    with pytest.raises(NoRespondersError):
        await anext(caller.publish_and_stream(topic))


async def test_a_stream_has_one_reader_and_checks_what_it_is_given(world: World, topic: str) -> None:
    async def never(data: Any) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(30)

    caller = await _pair(world, topic, False, never)
    stream = caller.publish_and_stream(topic)
    assert await anext(stream) == 1
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(InvalidArgumentError, match="one reader"):
        await anext(stream)
    waiting.cancel()
    windows: list[Any] = [-1, 1_000_000, "5", 2.5, True, None]
    options: dict[str, Any]
    for options in (*({"window": window} for window in windows), {"ttl": 0}, {"total": -1.0}, {"total": 0}):
        with pytest.raises(InvalidArgumentError, match=f": {next(iter(options))} is "):
            caller.publish_and_stream(topic, **options)
    with pytest.raises(TielineError, match="batch"):
        caller.subscribe(topic, never, batch=(2, 1.0))


async def test_the_items_of_a_stream_are_not_told_as_accepted(world: World, topic: str) -> None:
    steps = list[Step]()
    await (await world.system()).subscribe(topic, Counter().count).ready()
    caller = await world.system(observe=steps.append)
    assert [item async for item in caller.publish_and_stream(topic, 5)] == [0, 1, 2, 3, 4]
    assert [step.name for step in steps] == [StepName.ROUTED_REMOTE, StepName.COMPLETED]


async def test_an_event_runs_a_streaming_handler_to_its_end(world: World, topic: str) -> None:
    counter, system = Counter(), await world.system()
    await system.subscribe(topic, counter.count).ready()
    await (await world.system()).publish(topic, 7)
    await until(lambda: counter.closed)
    assert counter.yielded == 7


async def test_a_streaming_handler_that_is_told_to_stop_says_so(world: World, topic: str) -> None:
    caller, responder = await world.system(), await world.system()

    async def endless(data: Any) -> AsyncIterator[int]:
        while True:
            await asyncio.sleep(0.01)
            yield 1

    await responder.subscribe(topic, endless).ready()
    stream = caller.publish_and_stream(topic)
    await anext(stream)
    await responder.aclose(0.0)
    assert isinstance((await _fail(stream))[1], ResponderLostError)


@needs(Feature.PROCESSES)
async def test_kill_9_of_a_responder_ends_its_stream(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic, streams=True)
    stream = caller.publish_and_stream(topic, {"pause": 0.05})
    assert await anext(stream) == 0
    peer.kill()
    assert isinstance((await _fail(stream))[1], ResponderLostError)


@needs(Feature.PROCESSES)
async def test_leaving_early_stops_the_handler_in_the_other_process(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic, streams=True)
    async for item in caller.publish_and_stream(topic, {"pause": 0.01}):
        if item == 3:
            break
    await peer.line("CANCELLED")


# --- peers that break the rules --------------------------------------------------------------------------------------


async def _asked(world: World, topic: str) -> tuple[Any, Any, Any]:
    """A raw responder that was asked for a stream, the request, and the stream."""
    raw = await (await world.raw()).answers_to(topic)
    caller = await world.system()
    stream = caller.publish_and_stream(topic, ttl=20.0)
    first = asyncio.ensure_future(anext(stream))
    request = await raw.request()
    raw.reply(request, 1, kind=STREAM_ITEM, stream=Position(sequence=1))
    assert await first == 1
    return raw, request, stream


async def test_items_that_come_twice_are_read_once(world: World, topic: str) -> None:
    raw, request, stream = await _asked(world, topic)
    for number in (1, 2, 2, 1, 3):
        raw.reply(request, number, kind=STREAM_ITEM, stream=Position(sequence=number))
    raw.reply(request, None, kind=STREAM_END, stream=Position(sequence=3))
    assert [item async for item in stream] == [2, 3]


@pytest.mark.parametrize("kind", [STREAM_ITEM, STREAM_END])
async def test_a_gap_ends_the_stream_and_cancels_the_handler(world: World, topic: str, kind: int) -> None:
    raw, request, stream = await _asked(world, topic)
    raw.reply(request, 3, kind=kind, stream=Position(sequence=3))
    with pytest.raises(UnavailableError, match="lost on the way") as caught:
        await anext(stream)
    assert caught.value.details == {"expected": 2, "got": 3}
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    await until(lambda: any(answer.kind == CANCEL for answer in raw.answers))


async def test_more_items_than_there_is_credit_for_end_the_stream(world: World, topic: str) -> None:
    raw, request, stream = await _asked(world, topic)
    assert request.stream.window == 16
    for number in range(2, 30):
        raw.reply(request, number, kind=STREAM_ITEM, stream=Position(sequence=number))
    got, error = await _fail(stream)
    assert isinstance(error, InternalError)
    assert 16 <= len(got) + 1 < 29


async def test_credits_nobody_asked_for_change_nothing(world: World, topic: str) -> None:
    counter, system, raw = Counter(), await world.system(), await world.raw()
    await system.subscribe(topic, counter.count).ready()
    request = raw.envelope(REQUEST, topic, 1_000, stream=Position(window=3))
    raw.port.dispatch(request, "")
    await raw.answers.stay(3)
    (instance,) = (taken for call_id, taken, _ in raw.dispatched if call_id == request.call_id)

    def credit(consumed: int, window: int, call_id: bytes = request.call_id) -> None:
        raw.port.answer(
            instance, Envelope(kind=CREDIT, call_id=call_id, stream=Position(consumed=consumed, window=window))
        )

    for strange in ((900, 100), (1, 20, b"0123456789abcdef"), (0, 2)):  # never sent; no stream; less than there was
        credit(*strange)
        await raw.answers.stay(3)
    credit(3, 4_000_000_000)  # more than may be: the largest window
    await raw.answers.reach(1_000)
    credit(3, 1)  # an old one
    credit(1_000, 10)
    await until(lambda: counter.closed)
    assert [answer.kind for answer in raw.answers[-1:]] == [STREAM_END]


async def test_a_reader_that_is_gone_does_not_keep_the_handler(
    world: World, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieline.responder._STREAM_LEASE_SECONDS", 0.5)
    counter, system, raw = Counter(), await world.system(), await world.raw()
    await system.subscribe(topic, counter.count).ready()
    raw.port.dispatch(raw.envelope(REQUEST, topic, 1_000, stream=Position(window=3)), "")
    await until(lambda: counter.closed)
    assert counter.yielded == 4, "three items, and one that waits for room"
    await raw.answers.reach(4)
    assert raw.answers[-1].error.message


async def test_stream_frames_for_a_plain_call_change_nothing(world: World, topic: str) -> None:
    raw = await (await world.raw()).answers_to(topic)
    caller = await world.system()
    call = asyncio.ensure_future(caller.publish_and_wait(topic))
    request = await raw.request()
    raw.reply(request, 1, kind=STREAM_ITEM, stream=Position(sequence=1))
    raw.reply(request, None, kind=STREAM_END, stream=Position(sequence=1))
    raw.reply(request, "the reply")
    assert await call == "the reply"


async def test_items_that_cannot_be_read_end_the_stream(world: World, topic: str) -> None:
    raw, request, stream = await _asked(world, topic)
    raw.reply(request, None, kind=STREAM_ITEM, stream=Position(sequence=2), data=encode("x") + b"\xc1")
    with pytest.raises(TielineError) as caught:
        await anext(stream)
    assert caught.value.code == "INVALID_PAYLOAD"
    await until(lambda: any(answer.kind == CANCEL for answer in raw.answers))
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_an_event_for_a_handler_that_never_pauses_lets_everything_else_run(world: World, topic: str) -> None:
    system, publisher, counter = await world.system(), await world.system(), Counter()
    await system.subscribe(topic, counter.count).ready()
    await system.subscribe(f"{topic}.ping", lambda data: data).ready()
    await publisher.publish(topic, 10**12)
    await until(lambda: counter.yielded > 1_000)
    assert await publisher.publish_and_wait(f"{topic}.ping", 1, ttl=10.0) == 1
    await system.aclose(0.1)
    assert counter.closed


async def test_a_request_that_comes_twice_is_run_once(world: World, topic: str) -> None:
    counter, system, raw = Counter(), await world.system(), await world.raw()
    subscription = system.subscribe(topic, counter.count, concurrency=1, queue=0)
    await subscription.ready()
    request = raw.envelope(REQUEST, topic, 1_000, stream=Position(window=2))
    raw.port.dispatch(request, "")
    await raw.answers.reach(2)
    system._instance.reception.on_request(request)
    await raw.answers.stay(2)
    (instance,) = (taken for call_id, taken, _ in raw.dispatched if call_id == request.call_id)
    raw.port.answer(instance, Envelope(kind=CANCEL, call_id=request.call_id))
    await until(lambda: counter.closed)
    assert not subscription.mailbox.running


async def test_local_responders_take_turns_for_streams_too(world: World, topic: str) -> None:
    system = await world.system()

    def handler(name: str) -> Any:
        async def stream(data: Any) -> AsyncIterator[str]:
            yield name

        return stream

    for name in ("a", "b"):
        await system.subscribe(topic, handler(name)).ready()
    got = [[item async for item in system.publish_and_stream(topic)] for _ in range(4)]
    assert sorted(got) == [["a"], ["a"], ["b"], ["b"]]


async def test_closing_a_stream_that_is_just_beginning_ends_it(world: World, topic: str) -> None:
    raw = await (await world.raw()).answers_to(topic)
    caller = world.make()
    stream = caller.publish_and_stream(topic)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await first
    await until(lambda: not raw.requests or any(answer.kind == CANCEL for answer in raw.answers))


async def test_a_generator_that_will_not_end_is_stopped_with_its_system(world: World, topic: str) -> None:
    caller, responder = await world.system(), await world.system()
    ended = asyncio.Event()

    async def stubborn(data: Any) -> AsyncIterator[int]:
        try:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)
                yield 1
        finally:
            ended.set()

    await responder.subscribe(topic, stubborn).ready()
    stream = caller.publish_and_stream(topic)
    await anext(stream)
    await responder.aclose(0.1)
    await asyncio.wait_for(ended.wait(), 10.0)
    assert isinstance((await _fail(stream))[1], ResponderLostError)
