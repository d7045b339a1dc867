"""Subscription groups of durable events: each gets a copy, from where it wants to begin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.durable import AT_ONCE, Keys
from tests.suite.durable_retries import failing
from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World
from tieline.durable.mail import Claimed

NEEDS = frozenset({Feature.DURABLE})


async def test_each_group_gets_a_copy_and_its_members_share_it(world: World, topic: str) -> None:
    publisher = await world.system()
    groups = {name: [Keys(), Keys()] for name in ("mail", "search")}
    for name, members in groups.items():
        for keys in members:
            await (await world.system()).subscribe(topic, keys.take, durable=True, group=name).ready()
    for number in range(30):
        await publisher.publish(topic, number, key=f"k{number % 3}")
        await publisher.publish(topic, number + 1000, durable=True)
    for members in groups.values():
        await until(lambda members=members: sum(keys.count for keys in members) >= 60)
        every = [number for keys in members for numbers in keys.seen.values() for number in numbers]
        assert sorted(every) == sorted([*range(30), *range(1000, 1030)])


async def test_a_group_that_fails_does_not_hold_up_another(world: World, topic: str) -> None:
    publisher, good, bad = await world.system(), Seen(), Seen()
    await (await world.system()).subscribe(topic, failing(bad, 0), durable=True, group="bad", retry=AT_ONCE).ready()
    await (await world.system()).subscribe(topic, good.take, durable=True, group="good").ready()
    for number in range(5):
        await publisher.publish(topic, number, key="k")
    await good.stay(5)
    await bad.stay(3)
    assert list(good) == [0, 1, 2, 3, 4]


async def test_a_later_group_gets_what_is_still_stored_or_only_what_comes(world: World, topic: str) -> None:
    publisher, early, late, first = await world.system(), Keys(), Keys(), Keys(3600)
    await (await world.system()).subscribe(topic, first.take, durable=True, group="first").ready()
    for number in range(3):
        await publisher.publish(topic, number, key="k")
        await publisher.publish(topic, number, durable=True)
    await asyncio.sleep(0.01)  # "latest" is exact to the millisecond
    await (await world.system()).subscribe(topic, early.take, durable=True, group="early").ready()
    await (await world.system()).subscribe(topic, late.take, durable=True, group="late", start="latest").ready()
    await asyncio.sleep(0.01)
    await publisher.publish(topic, 3, key="k")
    await publisher.publish(topic, 3, durable=True)
    await until(lambda: early.count == 8 and late.count == 2)
    assert early.seen == {"k": [0, 1, 2, 3], "": [0, 1, 2, 3]}
    assert late.seen == {"k": [3], "": [3]}


async def test_a_group_remembers_where_it_was(world: World, topic: str) -> None:
    publisher, keys = await world.system(), Keys()
    for start in (0, 5):
        system = await world.system()
        await system.subscribe(topic, keys.take, durable=True, group="g").ready()
        for number in range(start, start + 5):
            await publisher.publish(topic, number, key="k")
        await until(lambda start=start: keys.count == start + 5)
        await system.aclose()
    assert keys.seen["k"] == list(range(10))


async def test_what_a_process_holds_but_cannot_begin_soon_is_for_others(world: World, topic: str) -> None:
    """Quick events have it claim many at a time, and then they are slow."""
    publisher, seen = await world.system(), {"one": Seen(), "two": Seen()}

    async def join(name: str) -> None:
        async def take(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen[name].append(seconds)

        await (await world.system()).subscribe(topic, take, durable=True, concurrency=1).ready()

    await join("one")
    await asyncio.gather(*(publisher.publish(topic, 0, key=f"quick{number}") for number in range(2_000)))
    await seen["one"].reach(2_000)
    await join("two")
    await asyncio.gather(*(publisher.publish(topic, 0.3, key=f"slow{number}") for number in range(16)))
    await until(lambda: sum(map(len, seen.values())) == 2_016)
    assert 4 <= len(seen["two"]) <= 12


async def test_who_stops_instead_of_claiming_wakes_the_others(world: World, topic: str) -> None:
    first, second = await world.system(), await world.system()
    begun, release, answered, seen = Seen(), asyncio.Event(), asyncio.Event(), Seen()

    async def take(data: Any) -> None:
        begun.append(data)
        await release.wait()

    subscription = first.subscribe(topic, take, durable=True, concurrency=2)
    await subscription.ready()
    await first.publish(topic, 1, key="k")
    await begun.reach(1)
    await second.subscribe(topic, seen.take, durable=True).ready()
    consumer = subscription.consumer
    assert consumer is not None
    mail = consumer._house.mail
    claim, claimed = mail.claim, asyncio.Event()

    async def late(*asked: Any) -> Claimed:
        found = await claim(*asked)
        claimed.set()
        await answered.wait()
        return found

    mail.claim = late  # type: ignore[method-assign]
    consumer.wake()
    await claimed.wait()
    mail.claim = claim  # type: ignore[method-assign]
    await first.publish(topic, 2, key="k")
    release.set()
    await until(lambda: consumer._settling.done and not consumer.held)
    leaving = asyncio.create_task(subscription.unsubscribe())
    await until(lambda: consumer.stopped)
    answered.set()
    async with asyncio.timeout(8):  # a lease lasts longer
        await leaving
        await seen.reach(1)
    assert list(seen) == [2]


async def test_services_that_share_the_default_group_are_warned_once_each(
    world: World, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> list[str]:
        return [line for line in caplog.messages if topic in line]

    shipping, search = await world.system(service="shipping"), await world.system(service="search")
    await shipping.subscribe(topic, Seen().take, durable=True).ready()
    assert warnings() == []
    await search.subscribe(topic, Seen().take, durable=True).ready()
    (told,) = warnings()
    assert told.startswith(f"the service 'shipping' has subscribed durably to {topic!r} without a group")
    assert "as this one ('search') does: each event goes" in told
    assert told.endswith('one of the two services only; group="..." gives a service a copy of its own')
    await until(lambda: len(warnings()) == 2)
    assert warnings()[1].startswith("the service 'search' has")
    await asyncio.sleep(4.5)  # each has registered its group twice more
    assert len(warnings()) == 2


async def test_instances_of_a_service_share_a_group_without_a_warning_and_services_a_named_one(
    world: World, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    for service, group in (("one", "default"), ("one", "default"), ("one", "ours"), ("two", "ours")):
        system = await world.system(service=service)
        await system.subscribe(topic, Seen().take, durable=True, group=group).ready()
    await asyncio.sleep(2.5)  # each has registered its group again
    assert [line for line in caplog.messages if topic in line] == []
