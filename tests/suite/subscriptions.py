"""The life of a subscription and of the system it belongs to."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.suite.seen import Seen
from tests.suite.world import Feature, World, needs
from tieline import EventSystem, InvalidArgumentError, NoRespondersError, TielineError
from tieline.transport import Interest, Route


async def test_what_was_declared_before_the_start_is_registered_by_it(world: World, topic: str) -> None:
    system = world.make()
    caller = await world.system()

    def declare() -> None:
        """In another thread no loop runs, as at the top of a module."""

        @system.subscribe(topic)
        async def add(numbers: list[int]) -> int:
            return sum(numbers)

        system.subscribe(f"{topic}.event", lambda data: None)

    thread = threading.Thread(target=declare)
    thread.start()
    thread.join()
    assert system.instance == ""
    async with system:
        assert await caller.publish_and_wait(topic, [1, 2]) == 3
        assert [s.name for s in system.subscriptions] == ["add", "<lambda>"]


async def test_the_first_publish_starts_the_system(world: World, topic: str) -> None:
    system = world.make()
    await system.publish(topic, 1)
    assert system.connected
    assert system.instance


async def test_subscribing_where_a_loop_runs_starts_the_system(world: World, topic: str) -> None:
    caller, system = await world.system(), world.make()
    system.subscribe(topic, lambda data: "answer")
    assert await caller.publish_and_wait(topic, wait_for_responders=10.0) == "answer"


async def test_ready_returns_when_others_can_reach_it(world: World, topic: str) -> None:
    caller = await world.system()
    for number in range(20):
        system = world.make()
        await system.subscribe(f"{topic}.{number}", lambda data: "answer").ready()
        assert await caller.publish_and_wait(f"{topic}.{number}") == "answer"


async def test_starting_twice_at_once_starts_once(world: World) -> None:
    system = world.make()
    await asyncio.gather(*(system.start() for _ in range(5)))
    instance = system.instance
    assert (await system.start()).instance == instance


async def test_unsubscribing_by_object_ends_it(world: World, topic: str) -> None:
    publisher, system, seen = await world.system(), await world.system(), Seen()
    subscription = system.subscribe(topic, seen.take)
    await subscription.ready()
    await publisher.publish(topic, 1)
    await seen.reach(1)
    await subscription.unsubscribe()
    await publisher.publish(topic, 2)
    await system.publish(topic, 3)
    await seen.stay(1)
    with pytest.raises(NoRespondersError):
        await publisher.publish_and_wait(topic)
    assert subscription.closed
    assert system.subscriptions == []
    await subscription.unsubscribe()


async def test_unsubscribing_by_name_ends_all_of_that_name(world: World, topic: str) -> None:
    publisher, system, seen, other = await world.system(), await world.system(), Seen(), Seen()
    for end in ("a", "b"):
        await system.subscribe(f"{topic}.{end}", seen.take, name="mine").ready()
    await system.subscribe(f"{topic}.*", other.take).ready()
    await system.unsubscribe("mine")
    await publisher.publish(f"{topic}.a")
    await publisher.publish(f"{topic}.b")
    await other.stay(2)
    assert seen == []
    await system.unsubscribe("nobody of that name")


async def test_two_subscriptions_of_one_function_are_two(world: World, topic: str) -> None:
    publisher, system, seen = await world.system(), await world.system(), Seen()
    first = system.subscribe(topic, seen.take)
    second = system.subscribe(topic, seen.take)
    await second.ready()
    await publisher.publish(topic, 1)
    await seen.stay(2)
    await first.unsubscribe()
    await publisher.publish(topic, 2)
    await seen.stay(3)


async def test_a_subscription_can_come_back_on_the_same_topic(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()
    for number in range(5):
        subscription = system.subscribe(topic, lambda data, number=number: number)
        await subscription.ready()
        assert await caller.publish_and_wait(topic) == number
        await subscription.unsubscribe()


async def test_every_unsubscribe_returns_when_what_runs_is_done(world: World, topic: str) -> None:
    system, gate, began = await world.system(), asyncio.Event(), Seen()

    async def slow(data: Any) -> str:
        began.append(data)
        await gate.wait()
        return "done"

    subscription = system.subscribe(topic, slow)
    call = asyncio.create_task(system.publish_and_wait(topic))
    await began.reach(1)
    leaving = [asyncio.create_task(subscription.unsubscribe()) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in leaving)
    gate.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*leaving)
    assert await call == "done"


async def test_a_handler_may_end_its_own_subscription(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()

    async def once(data: Any) -> str:
        await subscription.unsubscribe()
        return "once"

    subscription = system.subscribe(topic, once)
    await subscription.ready()
    assert await caller.publish_and_wait(topic, ttl=5.0) == "once"
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic)


async def test_using_it_in_another_loop_is_a_clear_error(world: World, topic: str) -> None:
    system, caught = await world.system(), list[BaseException]()

    def elsewhere() -> None:
        for use in (lambda: system.publish(topic), lambda: system.publish_and_wait(topic), system.start):
            try:
                asyncio.run(_awaited(use))
            except TielineError as error:
                caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert [type(error) for error in caught] == [InvalidArgumentError] * 3
    assert "belongs to the event loop that started it" in str(caught[0])
    await system.publish(topic)


async def _awaited(use: Any) -> Any:
    return await use()


async def test_a_closed_system_says_so(world: World, topic: str) -> None:
    system, heard = await world.system(), Seen()
    await system.subscribe(topic, heard.take).ready()
    await system.aclose()
    await system.aclose()
    assert not system.connected
    for use in (lambda: system.publish(topic), lambda: system.publish_and_wait(topic), system.start):
        with pytest.raises(TielineError, match="closed"):
            await use()
    with pytest.raises(TielineError, match="closed"):
        system.subscribe(topic, heard.take)
    assert heard == []


async def test_leaving_the_with_block_closes(world: World, topic: str) -> None:
    caller = await world.system()
    async with world.make() as system:
        await system.subscribe(topic, lambda data: "answer").ready()
        assert await caller.publish_and_wait(topic) == "answer"
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic)


async def test_what_handlers_publish_while_their_system_closes_still_goes_out(world: World, topic: str) -> None:
    system, other, seen, began = await world.system(), await world.system(), Seen(), Seen()
    await other.subscribe(f"{topic}.last", seen.take).ready()

    async def late(data: Any) -> None:
        began.append(data)
        await asyncio.sleep(0.3)
        await system.publish(f"{topic}.last", "words")

    await system.subscribe(topic, late).ready()
    await system.publish(topic)
    await began.reach(1)
    await system.aclose()
    await seen.stay(1)


async def test_many_subscriptions_register_and_leave(world: World, topic: str) -> None:
    publisher, system, seen = await world.system(), await world.system(), Seen()
    subscriptions = [system.subscribe(f"{topic}.{n}", seen.take) for n in range(200)]
    await subscriptions[-1].ready()
    for number in range(200):
        await publisher.publish(f"{topic}.{number}", number)
    await seen.reach(200)
    assert sorted(seen) == list(range(200))
    await asyncio.gather(*(s.unsubscribe() for s in subscriptions))
    assert system.subscriptions == []


@needs(Feature.REDIS)
async def test_unsubscribing_before_it_was_registered_leaves_nothing_behind(world: World, topic: str) -> None:
    system, server = await world.system(), world.place.redis
    assert server is not None
    for number in range(20):
        await system.subscribe(f"{topic}.{number}", lambda data: data, group="g").unsubscribe()
    kept = [server.command("EXISTS", f"tl:{kind}:{{{topic}.{n}}}") for kind in ("mb", "gm", "rr") for n in range(20)]
    assert set(kept) == {":0"}
    channels = [f"tl:rq:{{{topic}.{number}}}:{system.instance}" for number in range(20)]
    assert {server.command("SPUBLISH", channel, "anybody?") for channel in channels} == {":0"}


async def test_an_instance_that_ends_while_it_leaves_topics_is_a_responder_of_none(world: World, topic: str) -> None:
    leaving, caller = await world.raw(), await world.system()
    interests = [Interest(Route.REQUEST, f"{topic}.{name}") for name in "abc"]
    await leaving.port.register(interests)
    unregistering = asyncio.create_task(leaving.port.unregister(interests))
    await asyncio.sleep(0)
    unregistering.cancel()
    await leaving.port.aclose()
    for interest in interests:
        with pytest.raises(NoRespondersError) as caught:
            await caller.publish_and_wait(interest.pattern, ttl=5.0)
        assert not caught.value.from_wire
    assert not leaving.requests


async def test_a_system_stays_usable_after_many_came_and_went(world: World, topic: str) -> None:
    caller = await world.system()
    for _ in range(15):
        other: EventSystem = await world.system()
        await other.subscribe(topic, lambda data: data).ready()
        assert await caller.publish_and_wait(topic, 1) == 1
        await other.aclose()


async def test_a_handler_that_ends_its_own_subscription_or_system_answers_and_waits_for_nobody(
    world: World, topic: str
) -> None:
    system, caller = await world.system(), await world.system()
    outside = list[asyncio.Task[None]]()

    async def once(data: str) -> str:
        if "outside first" in data:
            outside.append(asyncio.create_task(subscription.unsubscribe()))
            await asyncio.sleep(0.1)
        await subscription.unsubscribe()
        if "close" in data:
            await system.aclose()
        await asyncio.sleep(0.1)
        return data

    for data in ("alone", "outside first", "close"):
        subscription = system.subscribe(topic, once)
        await subscription.ready()
        assert await caller.publish_and_wait(topic, data, ttl=5.0) == data
        await asyncio.gather(*outside)
        with pytest.raises(NoRespondersError):
            await caller.publish_and_wait(topic, data)


async def test_closing_waits_for_a_handler_that_has_ended_its_own_subscription(world: World, topic: str) -> None:
    system, caller, left = await world.system(), await world.system(), asyncio.Event()

    async def once(data: int) -> int:
        await subscription.unsubscribe()
        left.set()
        await asyncio.sleep(0.2)
        return data

    subscription = system.subscribe(topic, once)
    await subscription.ready()
    call = asyncio.create_task(caller.publish_and_wait(topic, 1, ttl=5.0))
    await left.wait()
    await system.aclose()
    assert await call == 1
