"""The testing kit as its users use it: systems on one broker, and a program's own default system replaced."""

from __future__ import annotations

import asyncio
import time

import pytest

import tieline
from tieline import CallTimeoutError, InvalidArgumentError, NoRespondersError, testing
from tieline.context import Event


async def test_handlers_are_called_and_their_events_arrive() -> None:
    async with testing.system("shop") as events:
        sent: list[int] = []

        @events.subscribe("order.placed")
        async def bill(order: dict[str, int]) -> str:
            await events.publish("invoice.sent", {"order": order["id"]})
            return "billed"

        events.subscribe("invoice.sent", lambda data: sent.append(data["order"]))
        assert await events.publish_and_wait("order.placed", {"id": 7}) == "billed"
        await events.clock.settle()
        assert sent == [7]
        with pytest.raises(NoRespondersError):
            await events.publish_and_wait("order.cancelled")


async def test_several_systems_share_one_broker_and_need_not_wait_for_each_other() -> None:
    async with testing.Broker() as broker:
        shop, stock, other = broker.system("shop"), broker.system("stock"), broker.system("stock")
        taken: list[str] = []

        async def take(data: int, event: Event) -> str:
            taken.append(event.source.split("/")[0])
            return "reserved"

        for responder in (stock, other):
            responder.subscribe("stock.reserve", take, group="stock")
        assert [await shop.publish_and_wait("stock.reserve", n) for n in range(4)] == ["reserved"] * 4
        assert taken == ["shop"] * 4
        assert {service.name for service in await shop.services()} == {"shop", "stock"}


async def test_what_one_test_does_is_nothing_to_another() -> None:
    async with testing.system() as one, testing.system() as two:
        one.subscribe("t", lambda: "one")
        with pytest.raises(NoRespondersError):
            await two.publish_and_wait("t")
        await one.publish("e", 1)
        two.recorder.assert_not_published()


async def test_everything_has_ended_when_the_block_ends() -> None:
    before, cancelled = asyncio.all_tasks(), asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    finished: list[int] = []
    async with testing.Broker() as broker:
        shop, stock = broker.system("shop"), broker.system("stock", remote=True)
        stock.subscribe("t", wait_for_ever)
        stock.subscribe("quick", finished.append)
        shop.subscribe("late", print, batch=(10, 60.0))
        await shop.publish("t")
        await shop.publish("late", 1)
        await shop.publish("quick", 1)
    assert finished == [1]
    assert cancelled.is_set()
    assert asyncio.all_tasks() == before
    assert shop.closed
    assert stock.far.closed


async def test_a_system_that_is_closed_finishes_what_needs_no_time() -> None:
    finished: list[int] = []
    async with testing.system() as events:

        @events.subscribe("t")
        async def handle(data: int) -> None:
            for _ in range(10):
                await asyncio.sleep(0)
            finished.append(data)

        await events.publish("t", 1)
        await events.aclose()
        assert finished == [1]


def test_it_works_without_a_test_framework() -> None:
    async def main() -> str:
        async with testing.system() as events:
            events.subscribe("greet", lambda name: f"hello {name}")
            return str(await events.publish_and_wait("greet", "you"))

    assert asyncio.run(main()) == "hello you"


async def place(order: int) -> str:
    """Code under test that uses the program's default system."""
    await tieline.publish_event("order.placed", {"id": order})
    return str(await tieline.publish_event_and_wait("stock.reserve", order))


async def test_the_default_system_of_a_program_can_be_replaced() -> None:
    before = tieline.get_event_system()
    async with testing.system() as events:
        events.subscribe("stock.reserve", lambda order: f"reserved {order}")
        with testing.use(events):
            assert tieline.get_event_system() is events
            assert await place(7) == "reserved 7"
        events.recorder.assert_published("order.placed", {"id": 7})
    assert tieline.get_event_system() is before


async def test_with_remote_a_call_crosses_the_wire() -> None:
    async with testing.system() as near, testing.system(remote=True) as far:
        for events in (near, far):
            seen: list[Event] = []
            events.subscribe("t", lambda data, event, seen=seen: seen.append(event))
            await events.publish_and_wait("t", 1)
            assert bool(seen[0].envelope.reply_to) is (events is far)
        assert [subscription.topic for subscription in far.subscriptions] == ["t"]
        await far.unsubscribe(far.subscriptions[0])
        with pytest.raises(NoRespondersError):
            await far.publish_and_wait("t")
        assert near.far is near


async def test_a_system_that_the_program_makes_can_join_the_broker() -> None:
    async with testing.Broker() as broker, tieline.EventSystem(transport=broker.transport()) as own:
        await own.subscribe("t", lambda: "own").ready()
        assert await broker.system().publish_and_wait("t") == "own"


async def test_with_real_time_the_clock_runs_by_itself() -> None:
    begun = time.monotonic()
    async with testing.system(real_time=True) as events:
        events.subscribe("t", asyncio.Event().wait)
        with pytest.raises(CallTimeoutError):
            await events.publish_and_wait("t", ttl=0.05)
        assert time.monotonic() - begun >= 0.05
        with pytest.raises(InvalidArgumentError, match="real_time"):
            await events.clock.advance(1)
