"""Queue groups: one copy for each, wherever its members are."""

from __future__ import annotations

import asyncio

import pytest

from tests.suite.seen import QUIET_SECONDS, Seen, until
from tests.suite.world import World, in_step
from tieline import EventSystem


async def _members(world: World, pattern: str, group: str, count: int) -> tuple[list[EventSystem], list[Seen]]:
    systems, seen = [await world.system() for _ in range(count)], [Seen() for _ in range(count)]
    for system, taken in zip(systems, seen, strict=True):
        await system.subscribe(pattern, taken.take, group=group).ready()
    return systems, seen


async def _settle(counts: list[Seen], total: int) -> list[int]:
    """How many each got, when together they have exactly so many."""
    await until(lambda: sum(map(len, counts)) >= total, say=lambda: str([len(each) for each in counts]))
    await asyncio.sleep(QUIET_SECONDS)
    assert sum(map(len, counts)) == total
    return [len(each) for each in counts]


@pytest.mark.parametrize("wild", [False, True], ids=["on-the-topic", "on-a-pattern"])
async def test_a_group_of_3_shares_1000_events_from_a_non_member(world: World, topic: str, wild: bool) -> None:
    publisher = await world.system()
    _, seen = await _members(world, f"{topic}.*" if wild else f"{topic}.e", "workers", 3)
    await in_step(publisher)
    for number in range(1_000):
        await publisher.publish(f"{topic}.e", number)
    for count in await _settle(seen, 1_000):
        assert 1_000 / 3 * 0.8 <= count <= 1_000 / 3 * 1.2
    assert sorted(number for each in seen for number in each) == list(range(1_000))


async def test_each_group_gets_one_copy_and_everybody_else_one_each(world: World, topic: str) -> None:
    publisher, lone = await world.system(), Seen()
    _, first = await _members(world, topic, "first", 2)
    second_systems, second = await _members(world, topic, "second", 2)
    await second_systems[0].subscribe(topic, lone.take).ready()
    for number in range(10):
        await publisher.publish(topic, number)
    await _settle(first, 10)
    await _settle(second, 10)
    await lone.stay(10)


async def test_members_on_the_topic_and_on_patterns_are_one_group(world: World, topic: str) -> None:
    publisher = await world.system()
    _, exact = await _members(world, f"{topic}.a", "g", 1)
    _, one = await _members(world, f"{topic}.*", "g", 1)
    _, rest = await _members(world, f"{topic}.>", "g", 1)
    await in_step(publisher)
    for number in range(10):
        await publisher.publish(f"{topic}.a", number)
    assert await _settle(exact + one + rest, 10) == [10, 0, 0]
    for number in range(10):
        await publisher.publish(f"{topic}.b", number)
    await _settle(one + rest, 10)


async def test_a_group_with_a_member_here_is_served_here(world: World, topic: str) -> None:
    _, elsewhere = await _members(world, topic, "g", 2)
    (publisher,), (here,) = await _members(world, topic, "g", 1)
    for number in range(10):
        await publisher.publish(topic, number)
    assert await _settle([here, *elsewhere], 10) == [10, 0, 0]


async def test_a_wildcard_group_with_a_member_here_is_served_here(world: World, topic: str) -> None:
    _, elsewhere = await _members(world, f"{topic}.*", "g", 1)
    _, exact = await _members(world, f"{topic}.a", "g", 1)
    (publisher,), (here,) = await _members(world, f"{topic}.>", "g", 1)
    await in_step(publisher)
    for number in range(10):
        await publisher.publish(f"{topic}.a", number)
    assert await _settle([here, *elsewhere, *exact], 10) == [10, 0, 0]


async def test_members_here_take_turns(world: World, topic: str) -> None:
    system, seen = await world.system(), [Seen(), Seen(), Seen()]
    for taken in seen:
        await system.subscribe(topic, taken.take, group="g").ready()
    for number in range(30):
        await system.publish(topic, number)
    assert await _settle(seen, 30) == [10, 10, 10]


async def test_two_members_in_another_process_share_what_it_gets(world: World, topic: str) -> None:
    publisher, system, seen = await world.system(), await world.system(), [Seen(), Seen()]
    for taken in seen:
        await system.subscribe(topic, taken.take, group="g").ready()
    for number in range(30):
        await publisher.publish(topic, number)
    assert await _settle(seen, 30) == [15, 15]


async def test_a_member_here_without_room_lets_the_others_work(world: World, topic: str) -> None:
    _, (elsewhere,) = await _members(world, topic, "g", 1)
    publisher, gate, started = await world.system(), asyncio.Event(), Seen()

    async def stuck(data: int) -> None:
        started.append(data)
        await gate.wait()

    await publisher.subscribe(topic, stuck, group="g", concurrency=1, queue=0).ready()
    await publisher.publish(topic, 0)
    await started.reach(1)
    for number in range(1, 9):
        await publisher.publish(topic, number)
    await until(lambda: len(elsewhere) >= 4, say=lambda: f"{started} {elsewhere}")
    gate.set()


async def test_what_a_member_would_have_got_goes_to_the_rest_when_it_leaves(world: World, topic: str) -> None:
    publisher = await world.system()
    systems, seen = await _members(world, topic, "g", 3)
    await systems[0].aclose()
    for number in range(30):
        await publisher.publish(topic, number)
    assert await _settle(seen, 30) == [0, 15, 15]


async def test_what_is_on_its_way_to_a_member_that_leaves_is_not_lost(world: World, topic: str) -> None:
    publisher, (leaving, staying), seen = await world.system(), [await world.system() for _ in range(2)], Seen()
    await staying.subscribe(topic, seen.take, group="g").ready()
    for _ in range(10):
        subscription = leaving.subscribe(topic, seen.take, group="g")
        await subscription.ready()
        seen.clear()
        publishing = [asyncio.create_task(publisher.publish(topic, number)) for number in range(100)]
        await asyncio.sleep(0)
        await subscription.unsubscribe()
        await asyncio.gather(*publishing)
        await seen.stay(100)


async def test_who_starts_later_knows_of_wildcard_groups_and_observers(world: World, topic: str) -> None:
    systems, (member,) = await _members(world, f"{topic}.*", "g", 1)
    observed = Seen()
    await systems[0].subscribe(f"{topic}.>", observed.take, observe=True).ready()
    publisher = await world.system()
    await publisher.publish(f"{topic}.a", 1)
    await asyncio.gather(member.stay(1), observed.stay(1))


async def test_groups_of_one_name_on_other_topics_are_other_groups(world: World, topic: str) -> None:
    publisher = await world.system()
    _, here = await _members(world, f"{topic}.a", "g", 1)
    _, other = await _members(world, f"{topic}.b", "g", 1)
    await publisher.publish(f"{topic}.a", 1)
    await publisher.publish(f"{topic}.b", 2)
    assert await _settle(here + other, 2) == [1, 1]
