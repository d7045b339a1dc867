"""The clock turned by hand: everything that waits, waits for it and for nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvloop

from tieline import CallTimeoutError, InvalidArgumentError, ResponderLostError, Retry, TielineError, testing
from tieline.context import Event

HOUR = 3_600.0


@pytest.fixture
async def events() -> AsyncIterator[testing.System]:
    async with testing.system() as system:
        yield system


@pytest.fixture
async def remote() -> AsyncIterator[testing.System]:
    async with testing.system(remote=True) as system:
        yield system


def call(system: testing.System, *arguments: Any, **options: Any) -> asyncio.Task[Any]:
    """A call in the background."""
    return asyncio.create_task(system.publish_and_wait(*arguments, **options))


@pytest.mark.parametrize("far", [False, True])
async def test_a_call_ends_when_its_time_has_come_and_not_before(far: bool) -> None:
    async with testing.system(remote=far) as events:
        events.subscribe("slow", asyncio.Event().wait)
        waiting = call(events, "slow", ttl=30)
        await events.clock.advance(29.999)
        assert not waiting.done()
        await events.clock.advance(0.001)
        with pytest.raises(CallTimeoutError):
            waiting.result()


async def test_an_hour_takes_no_time_and_an_hour_of_the_wall_does_nothing(
    events: testing.System, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.subscribe("slow", asyncio.Event().wait)
    waiting = call(events, "slow", ttl=HOUR)
    await events.clock.settle()
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 10 * HOUR)
    await events.clock.advance(HOUR - 1)
    assert not waiting.done()
    begun = time.monotonic()
    await events.clock.advance(1)
    assert waiting.done()
    assert time.monotonic() - begun < 60
    with pytest.raises(CallTimeoutError):
        await waiting


async def test_an_event_expires_while_it_waits_for_its_turn(events: testing.System) -> None:
    handled: list[int] = []

    async def handle(number: int) -> None:
        handled.append(number)
        await events.clock.sleep(10)

    events.subscribe("t", handle, concurrency=1)
    for number, ttl in ((1, 60), (2, 10), (3, 30)):
        await events.publish("t", number, ttl=ttl)
    await events.clock.advance(15)
    assert handled == [1, 3]


async def test_a_retry_waits_for_its_pause(events: testing.System) -> None:
    tries: list[float] = []

    async def fail_twice() -> str:
        tries.append(events.clock.monotonic())
        if len(tries) < 3:
            raise ValueError("not yet")
        return "done"

    events.subscribe("t", fail_twice)
    policy = Retry(base=8.0, cap=16.0, when=lambda error: True)
    trying = call(events, "t", retry=policy, idempotent=True)
    await events.clock.settle()
    assert len(tries) == 1
    await events.clock.advance(24)  # pauses are chosen at random: up to 8 s, then up to 16 s
    assert await trying == "done"
    assert tries == sorted(set(tries))


async def test_the_call_that_starts_a_system_is_tried_again_by_the_same_clock() -> None:
    async with testing.Broker() as broker:
        shop = broker.system("shop")
        await broker.faults.cut()
        trying = asyncio.create_task(shop.publish_and_wait("t", ttl=60, retry=Retry(attempts=100, base=4.0, cap=4.0)))
        await broker.clock.settle()
        await broker.faults.restore()
        broker.system("stock").subscribe("t", lambda: "at last")
        await broker.clock.advance(60)
        assert await trying == "at last"


async def test_a_batch_is_handed_over_when_it_has_waited_long_enough(events: testing.System) -> None:
    batches: list[list[int]] = []

    @events.subscribe("t", batch=(10, 5.0))
    async def handle(numbers: list[int]) -> None:
        batches.append(numbers)

    await events.publish("t", 1)
    await events.clock.advance(4)
    await events.publish("t", 2)
    assert batches == []
    await events.clock.advance(1)
    assert batches == [[1, 2]]


@pytest.mark.parametrize("far", [False, True])
async def test_a_stream_ends_when_the_next_item_does_not_come(far: bool) -> None:
    read: list[int] = []
    async with testing.system(remote=far) as events:

        @events.subscribe("count")
        async def count() -> AsyncIterator[int]:
            for number in range(3):
                await events.clock.sleep(10 * number)
                yield number

        async def reader() -> None:
            async for item in events.publish_and_stream("count", ttl=15):
                read.append(item)  # noqa: PERF401 - what was read before it failed counts

        reading = asyncio.create_task(reader())
        await events.clock.advance(24)
        assert read == [0, 1]
        await events.clock.advance(1)
        with pytest.raises(CallTimeoutError):
            reading.result()


async def test_a_responder_that_has_died_is_noticed_by_the_clock(remote: testing.System) -> None:
    remote.subscribe("t", asyncio.Event().wait)
    waiting = call(remote, "t")
    await remote.clock.settle()
    await remote.faults.kill(remote.far)
    assert not waiting.done()
    await remote.clock.advance(3)
    with pytest.raises(ResponderLostError):
        waiting.result()


async def test_a_result_is_kept_for_as_long_as_an_idempotency_key_holds(remote: testing.System) -> None:
    runs: list[int] = []
    remote.subscribe("pay", runs.append)
    for hours, count in ((0, 1), (23, 1), (2, 2)):
        await remote.clock.advance(hours * HOUR)
        await remote.publish_and_wait("pay", 1, idempotency_key="k")
        assert len(runs) == count


async def test_what_is_due_happens_in_order_and_with_all_it_causes() -> None:
    clock, order = testing.Clock(), list[Any]()

    async def chain() -> None:
        await clock.sleep(1)
        order.append(1)
        await clock.sleep(1)
        order.append(2)

    chained = asyncio.create_task(chain())
    await clock.settle()
    clock.call_later(3, lambda: order.append(3))
    clock.call_later(1.5, lambda: order.append(1.5))
    clock.call_later(1.6, lambda: order.append("never")).cancel()
    await clock.advance(3)
    assert order == [1, 1.5, 2, 3]
    assert chained.done()


async def test_what_happens_later_happens_in_the_context_that_asked_for_it() -> None:
    clock, context, seen = testing.Clock(), ContextVar("context", default=""), list[str]()
    context.set("asked")
    clock.call_later(1, lambda: seen.append(context.get()))
    context.set("turned")
    await clock.advance(1)
    assert seen == ["asked"]


async def test_small_steps_add_up(events: testing.System) -> None:
    events.subscribe("slow", asyncio.Event().wait)
    waiting = call(events, "slow", ttl=0.3)
    for _ in range(3):
        assert not waiting.done()
        await events.clock.advance(0.1)
    assert waiting.done()
    assert isinstance(waiting.exception(), CallTimeoutError)


async def test_handlers_see_the_time_of_the_test(events: testing.System) -> None:
    seen: list[Event] = []
    events.subscribe("t", lambda data, event: seen.append(event))
    await events.clock.advance(90)
    await events.publish("t", ttl=60)
    await events.clock.settle()
    assert seen[0].time == datetime(2030, 1, 1, 0, 1, 30, tzinfo=UTC)
    assert seen[0].expires_at == seen[0].time + timedelta(seconds=60)
    await events.clock.advance(59.5)
    assert seen[0].remaining() == 0.5
    await events.clock.advance(0.5)
    assert seen[0].expired


async def test_a_timeout_by_the_clock_ends_what_is_inside() -> None:
    clock = testing.Clock(datetime(2000, 2, 29, tzinfo=UTC))

    async def wait() -> None:
        async with clock.timeout(10):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await clock.advance(9)
    assert not waiting.done()
    await clock.advance(1)
    with pytest.raises(TimeoutError):
        await waiting
    async with clock.timeout(10):
        await clock.advance(9)
    assert clock.now() == datetime(2000, 2, 29, 0, 0, 19, tzinfo=UTC).timestamp() * 1000


async def test_a_synchronous_handler_is_waited_for_before_time_passes(events: testing.System) -> None:
    go = threading.Event()

    @events.subscribe("t")
    def handle() -> str:
        threading.Timer(0.05, go.set).start()
        go.wait()
        return "in time"

    waiting = call(events, "t", ttl=1)
    await events.clock.advance(HOUR)
    assert await waiting == "in time"


async def test_a_synchronous_handler_that_never_ends_does_not_hold_up_time_for_long(
    events: testing.System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieline.testing.clock.PATIENCE", 0.3)
    held = threading.Event()
    events.subscribe("t", lambda: held.wait(60))
    waiting, begun = call(events, "t", ttl=30), time.monotonic()
    for _ in range(200):
        events.clock.call_later(1, lambda: None)
    await events.clock.advance(30)
    assert isinstance(waiting.exception(), CallTimeoutError)
    assert time.monotonic() - begun < 30  # 0.3 s for each of what was due would be 60
    held.set()


def test_it_turns_the_time_of_any_loop() -> None:
    async def main() -> None:
        async with testing.system(remote=True) as events:
            events.subscribe("slow", asyncio.Event().wait)
            events.subscribe("quick", lambda: "quick")
            waiting = call(events, "slow", ttl=30)
            assert await events.publish_and_wait("quick") == "quick"
            await events.clock.advance(29)
            assert not waiting.done()
            await events.clock.advance(1)
            assert isinstance(waiting.exception(), CallTimeoutError)

    uvloop.run(main())


async def test_time_does_not_go_back() -> None:
    with pytest.raises(InvalidArgumentError, match="at least 0"):
        await testing.Clock().advance(-1)


async def test_who_waits_for_a_broker_that_is_away_waits_by_the_clock(events: testing.System) -> None:
    await events.faults.cut()
    waiting = asyncio.create_task(events.publish("t", wait_for_connection=10))
    await events.clock.advance(9.9)
    assert not waiting.done()
    await events.clock.advance(0.1)
    assert isinstance(waiting.exception(), TielineError)
