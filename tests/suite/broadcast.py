"""Events for everyone: who gets a copy, in which order, and when they are too old."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.suite.seen import Seen, Watch
from tests.suite.world import World
from tieline import EventSystem, InvalidTopicError
from tieline.envelope import EVENT
from tieline.transport import Interest, Route


async def test_an_event_reaches_every_subscription_in_every_instance(world: World, topic: str) -> None:
    seen = [Seen() for _ in range(4)]
    systems = [await world.system() for _ in range(3)]
    for index, system in enumerate([*systems, systems[0]]):
        await system.subscribe(topic, seen[index].take).ready()
    await systems[0].publish(topic, {"id": 123})
    await asyncio.gather(*(each.stay(1) for each in seen))
    assert seen == [[{"id": 123}]] * 4


async def test_an_event_for_nobody_is_no_error(world: World, topic: str) -> None:
    receipt = await (await world.system()).publish(topic, 1)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", receipt.id)
    assert receipt.correlation_id == receipt.id


async def test_wildcards_match_one_token_or_the_rest(world: World, topic: str) -> None:
    one, rest, all_tokens = Seen(), Seen(), Seen()
    here, there = await world.system(), await world.system()
    for pattern, seen in ((f"{topic}.*.c", one), (f"{topic}.>", rest), (f"{topic}.*.*.*", all_tokens)):
        await there.subscribe(pattern, seen.take).ready()
    for end in ("a", "b.c", "b.c.d", "b.d"):
        await here.publish(f"{topic}.{end}", end)
    await here.publish(topic, "root")
    await rest.stay(4)
    assert rest == ["a", "b.c", "b.c.d", "b.d"]
    assert one == ["b.c"]
    assert all_tokens == ["b.c.d"]


async def _overlap(system: EventSystem, topic: str) -> dict[str, Seen]:
    """One subscription on a topic and several on patterns that match it."""
    seen = {f"{topic}.{end}": Seen() for end in ("a.b", "a.*", "*.b", ">", "a.>")}
    for pattern, taken in seen.items():
        await system.subscribe(pattern, taken.take).ready()
    return seen


async def test_overlapping_subscriptions_elsewhere_get_one_copy_each(world: World, topic: str) -> None:
    here, there = await world.system(), await world.system()
    seen = await _overlap(there, topic)
    await here.publish(f"{topic}.a.b", 1)
    await asyncio.gather(*(taken.stay(1) for taken in seen.values()))


async def test_overlapping_subscriptions_here_get_one_copy_each(world: World, topic: str) -> None:
    here = await world.system()
    seen = await _overlap(here, topic)
    await here.publish(f"{topic}.a.b", 1)
    await asyncio.gather(*(taken.stay(1) for taken in seen.values()))


async def test_events_of_one_publisher_and_topic_arrive_in_order(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()
    await there.subscribe(topic, seen.take).ready()
    for number in range(300):
        await here.publish(topic, number)
    await seen.reach(300)
    assert seen == list(range(300))


async def test_anyone_may_subscribe_to_topics_of_the_system_but_not_publish_on_them(world: World) -> None:
    system = await world.system()
    await system.subscribe("system.*", Seen().take).ready()
    with pytest.raises(InvalidTopicError, match="published by the system only"):
        await system.publish("system.warning", {})


async def test_an_event_that_expired_on_its_way_is_not_handled(world: World, topic: str) -> None:
    raw, there, seen = await world.raw(), await world.system(), Seen()
    await there.subscribe(topic, seen.take).ready()
    now = raw.port.clock.now()
    await raw.port.publish(
        raw.envelope(EVENT, topic, "old", time=now - 9_000, ttl_ms=5_000, expires_at=now - 4_000), ()
    )
    await raw.port.publish(raw.envelope(EVENT, topic, "new"), ())
    await seen.stay(1)
    assert seen == ["new"]


async def test_an_event_that_expires_while_it_waits_is_not_handled(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()

    async def slow(data: int) -> None:
        seen.append(data)
        await asyncio.sleep(1.0)

    await there.subscribe(topic, slow, concurrency=1).ready()
    await here.publish(topic, 1)
    await here.publish(topic, 2, ttl=0.2)
    await here.publish(topic, 3)
    await seen.stay(2)
    assert seen == [1, 3]


async def test_wait_local_returns_when_all_handlers_here_are_done(world: World, topic: str) -> None:
    system, done = await world.system(), Seen()

    async def slow(data: float) -> None:
        await asyncio.sleep(data)
        done.append(data)

    def refused(data: float) -> bool:
        return False

    system.subscribe(topic, done.take, filter=refused)
    for _ in range(2):
        await system.subscribe(topic, slow).ready()
    watch = Watch()
    await system.publish(topic, 0.2, wait_local=True)
    assert done == [0.2, 0.2]
    assert watch.seconds >= 0.2


async def test_wait_local_waits_for_the_others_when_one_is_overloaded(world: World, topic: str) -> None:
    system, gate, done = await world.system(), asyncio.Event(), Seen()

    async def stuck(data: int) -> None:
        await gate.wait()

    async def slow(data: int) -> None:
        await asyncio.sleep(0.1)
        done.append(data)

    await system.subscribe(topic, stuck, concurrency=1, queue=0).ready()
    await system.publish(topic, 1)
    await system.subscribe(topic, slow).ready()
    await system.publish(topic, 2, wait_local=True)
    gate.set()
    assert done == [2]


async def test_a_filter_lets_through_what_it_wants(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()
    await there.subscribe(topic, seen.take, filter=lambda data: data % 2 == 0).ready()
    for number in range(6):
        await here.publish(topic, number)
    await seen.stay(3)
    assert seen == [0, 2, 4]


async def test_a_batch_is_handed_over_when_it_is_full(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()
    await there.subscribe(topic, seen.take, batch=(3, 60.0)).ready()
    for number in range(7):
        await here.publish(topic, number)
    await seen.stay(2)
    assert seen == [[0, 1, 2], [3, 4, 5]]


async def test_a_batch_is_handed_over_when_its_time_is_up(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()
    await there.subscribe(topic, seen.take, batch=(100, 0.3)).ready()
    await here.publish(topic, 1)
    await here.publish(topic, 2)
    assert seen == []
    await seen.stay(1)
    assert seen == [[1, 2]]


async def test_a_batch_holds_what_its_filter_lets_through(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()
    await there.subscribe(topic, seen.take, batch=(4, 60.0), filter=lambda data: data > 1).ready()
    for number in range(4):
        await here.publish(topic, number)
    await seen.stay(1)
    assert seen == [[2, 3]]


async def test_what_was_collected_is_handled_when_the_subscription_ends(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()
    subscription = there.subscribe(topic, seen.take, batch=(10, 60.0))
    await subscription.ready()
    marker = Seen()
    await there.subscribe(topic, marker.take).ready()
    await here.publish(topic, 1)
    await marker.reach(1)
    await subscription.unsubscribe()
    assert seen == [[1]]


async def test_a_push_is_given_only_to_what_it_was_registered_for(world: World, topic: str) -> None:
    """A glob of the broker may match more than the pattern does."""
    raw, there = await world.raw(), await world.system()
    await raw.port.register([Interest(Route.EVENT, f"{topic}.*.x")])
    await there.publish(f"{topic}.a.b.x", "too deep for one token")
    await there.publish(f"{topic}.a.x", 1)
    await raw.events.stay(1)
    assert raw.events[0].topic == f"{topic}.a.x"
