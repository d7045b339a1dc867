"""Faults on the wire between two systems of one broker, and what becomes of events and calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from tieline import (
    CallTimeoutError,
    EventSystem,
    InvalidArgumentError,
    InvalidTopicError,
    NoRespondersError,
    Outcome,
    ResponderLostError,
    Settings,
    UnavailableError,
    testing,
)
from tieline.testing import Faults
from tieline.transports import make_transport


class World(NamedTuple):
    """Two systems, their broker, and what the second one's handlers got."""

    broker: testing.Broker
    shop: testing.System
    stock: testing.System
    got: list[Any]

    @property
    def faults(self) -> Faults:
        return self.broker.faults

    @property
    def clock(self) -> testing.Clock:
        return self.broker.clock

    def call(self, topic: str, data: Any = None, **options: Any) -> asyncio.Task[Any]:
        """A call of the first one, in the background."""
        return asyncio.create_task(self.shop.publish_and_wait(topic, data, **options))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with testing.Broker() as broker:
        shop, stock = await broker.system("shop").start(), await broker.system("stock").start()
        made = World(broker, shop, stock, [])

        @stock.subscribe("stock.reserve")
        async def reserve(order: int) -> str:
            made.got.append(order)
            return "reserved"

        @stock.subscribe("stock.count")
        async def count(until: int) -> AsyncIterator[int]:
            for number in range(until):
                yield number

        stock.subscribe("order.*", made.got.append)
        yield made


async def test_what_is_delayed_arrives_later(world: World) -> None:
    rule = world.faults.delay(5, "order.placed")
    await world.shop.publish("order.placed", 1)
    await world.shop.publish("order.paid", 2)
    await world.clock.advance(4.9)
    assert world.got == [2]
    await world.clock.advance(0.1)
    assert world.got == [2, 1]
    assert rule.hits == 1


async def test_a_reply_that_comes_too_late_is_a_timeout(world: World) -> None:
    world.faults.delay(20, kind="request")
    world.faults.delay(20, "stock.reserve", kind="reply")
    calling = world.call("stock.reserve", 1, ttl=30)
    await world.clock.advance(30)
    with pytest.raises(CallTimeoutError) as caught:
        await calling
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    assert world.got == [1]
    world.faults.clear()
    assert await world.shop.publish_and_wait("stock.reserve", 2) == "reserved"


@pytest.mark.parametrize(("kind", "ran"), [("request", []), ("reply", [1])])
async def test_what_is_lost_never_arrives(world: World, kind: testing.Kind, ran: list[int]) -> None:
    world.faults.lose("stock.reserve", kind=kind, times=1)
    calling = world.call("stock.reserve", 1, ttl=10)
    await world.clock.advance(10)
    with pytest.raises(CallTimeoutError):
        await calling
    assert world.got == ran
    assert await world.shop.publish_and_wait("stock.reserve", 2) == "reserved"


async def test_a_lost_item_of_a_stream_is_noticed(world: World) -> None:
    world.faults.lose("stock.count", kind="stream_item", times=1)
    stream = world.shop.publish_and_stream("stock.count", 3)
    with pytest.raises(UnavailableError):
        await anext(stream)


async def test_duplicates_arrive_twice(world: World) -> None:
    world.faults.duplicate("order.*")
    world.faults.duplicate(kind="reply")
    world.faults.duplicate("stock.count", kind="stream_item")
    await world.shop.publish("order.placed", 1)
    await world.clock.settle()
    assert world.got == [1, 1]
    assert await world.shop.publish_and_wait("stock.reserve", 2) == "reserved"
    assert [item async for item in world.shop.publish_and_stream("stock.count", 40)] == list(range(40))


async def test_a_part_is_lost_by_chance_and_the_same_one_each_time() -> None:
    async def arrived(seed: int) -> list[int]:
        got: list[int] = []
        async with testing.Broker(seed=seed) as broker:
            shop, stock = broker.system("shop"), broker.system("stock")
            stock.subscribe("order.*", got.append, queue=10_000)
            broker.faults.lose(share=0.5)
            for number in range(200):
                await shop.publish("order.placed", number)
            await broker.clock.settle()
        return got

    assert 50 < len(await arrived(1)) < 150
    assert sorted(await arrived(1)) == sorted(await arrived(1))
    assert sorted(await arrived(1)) != sorted(await arrived(2))


async def test_one_of_two_systems_may_be_worse_off(world: World) -> None:
    other, got = world.broker.system("audit"), []
    other.subscribe("order.*", got.append)
    world.faults.lose(to=world.stock)
    await world.shop.publish("order.placed", 1)
    await world.clock.settle()
    assert (world.got, got) == ([], [1])


async def test_what_a_system_handles_itself_does_not_cross_the_wire(world: World) -> None:
    world.faults.lose()
    assert await world.stock.publish_and_wait("stock.reserve", 1) == "reserved"


async def test_behind_a_cut_link_nobody_is_reached_until_it_is_mended(world: World) -> None:
    gaps: list[tuple[datetime, datetime, str]] = []
    world.stock.subscribe("order.*", print, on_gap=lambda *gap: gaps.append(gap))
    await world.clock.settle()
    await world.faults.cut(world.stock)
    assert (world.stock.connected, world.shop.connected) == (False, True)
    with pytest.raises(NoRespondersError):
        await world.shop.publish_and_wait("stock.reserve", 1)
    with pytest.raises(UnavailableError) as caught:
        await world.stock.publish("order.placed", 2)
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    await world.shop.publish("order.placed", 3)
    await world.clock.advance(2)
    await world.faults.restore(world.stock)
    await world.clock.settle()
    assert world.got == []
    assert [(gap[1] - gap[0]).total_seconds() for gap in gaps] == [2]
    assert await world.shop.publish_and_wait("stock.reserve", 4) == "reserved"


async def test_a_reply_waits_for_the_link_and_a_lease_that_has_ended_does_not(world: World) -> None:
    begun = asyncio.Event()

    async def slow(seconds: float) -> str:
        begun.set()
        await world.clock.sleep(seconds)
        return "late"

    world.stock.subscribe("slow", slow)
    calling = world.call("slow", 1.0)
    await begun.wait()
    await world.faults.cut(world.stock)
    await world.clock.advance(1)
    assert not calling.done()
    await world.faults.restore(world.stock)
    assert await calling == "late"
    calling = world.call("slow", 60.0, ttl=120)
    await world.clock.settle()
    await world.faults.cut(world.stock)
    await world.clock.advance(16)
    with pytest.raises(ResponderLostError):
        calling.result()


async def test_without_a_broker_calls_in_flight_end_and_new_ones_wait_if_they_may(world: World) -> None:
    world.faults.lose("stock.reserve", times=1)
    flying = world.call("stock.reserve", 1)
    await world.clock.settle()
    await world.faults.cut()
    with pytest.raises(UnavailableError) as caught:
        await flying
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    with pytest.raises(UnavailableError) as caught:
        await world.shop.publish_and_wait("stock.reserve", 2)
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    with pytest.raises(UnavailableError):
        await world.broker.system("late").start()
    waiting = world.call("stock.reserve", 3, wait_for_connection=10)
    await world.clock.advance(5)
    assert not waiting.done()
    await world.faults.restore()
    assert await waiting == "reserved"


async def test_what_is_subscribed_behind_a_cut_link_is_registered_when_it_is_mended(world: World) -> None:
    await world.faults.cut(world.stock)
    ready = asyncio.create_task(world.stock.subscribe("new", lambda: "new").ready())
    await world.clock.settle()
    assert not ready.done()
    with pytest.raises(NoRespondersError):
        await world.shop.publish_and_wait("new")
    await world.faults.restore()
    await ready
    assert await world.shop.publish_and_wait("new") == "new"


async def test_after_a_death_an_idempotent_call_goes_to_another(world: World) -> None:
    other, waiting = world.broker.system("stock"), asyncio.Event()
    world.stock.subscribe("pay", waiting.wait)
    await world.clock.settle()
    calling = world.call("pay", idempotent=True)
    await world.clock.settle()
    other.subscribe("pay", lambda: "by the other")
    await world.clock.settle()
    await world.faults.kill(world.stock)
    await world.clock.advance(3)
    assert await calling == "by the other"
    waiting.set()  # the dead do not answer
    await world.clock.settle()
    with pytest.raises(NoRespondersError):
        await world.shop.publish_and_wait("stock.reserve", 1)


async def test_who_reads_the_trail_of_a_lost_reply_sees_where_it_went(world: World) -> None:
    world.faults.lose("stock.reserve", kind="reply")
    calling = world.call("stock.reserve", 1, ttl=1, correlation_id="c")
    await world.clock.advance(1)
    await asyncio.gather(calling, return_exceptions=True)
    world.faults.clear()
    explanation = await world.shop.explain("c")
    told = [(step.source.split("/")[0], str(step.name)) for step in explanation.steps]
    assert ("stock", "replied") in told
    assert ("shop", "failed") in told


async def test_faults_work_over_redis(redis_url: str) -> None:
    faults, got = Faults(), asyncio.Queue[int]()

    def system() -> EventSystem:
        return EventSystem(transport=faults.around(make_transport(redis_url, "", Settings())))

    async with system() as shop, system() as stock:
        await stock.subscribe("order.*", got.put_nowait).ready()
        faults.lose("order.placed", times=1)
        faults.delay(0.01, "order.paid")
        for number, topic in enumerate(("order.placed", "order.placed", "order.paid")):
            await shop.publish(topic, number)
        assert [await got.get(), await got.get()] == [1, 2]
        await faults.cut(stock)
        await shop.publish("order.placed", 3)
        await faults.restore(stock)
        await shop.publish("order.placed", 4)
        assert await got.get() == 4


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda faults: faults.delay(0), "above 0"),
        (lambda faults: faults.lose("order.>.x"), "order"),
        (lambda faults: faults.lose(kind="letter"), "stream_item"),
        (lambda faults: faults.lose(share=1.5), "share"),
        (lambda faults: faults.lose(times=0), "times"),
    ],
)
async def test_rules_that_make_no_sense_are_refused(wrong: Any, says: str) -> None:
    with pytest.raises((InvalidArgumentError, InvalidTopicError), match=says):
        wrong(Faults())


async def test_a_system_of_another_broker_has_no_link_here(world: World) -> None:
    async with testing.system() as stranger:
        with pytest.raises(InvalidArgumentError, match="this broker"):
            await world.faults.cut(stranger)
