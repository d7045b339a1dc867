"""Batches of durable events: lists by size or time, in the order of each key, acknowledged or tried again together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.durable import AT_ONCE, Keys
from tests.suite.seen import Seen, Watch, until
from tests.suite.world import Feature, World
from tieline import Event, InvalidPayloadError, Item, RetryPolicy, Settings

NEEDS = frozenset({Feature.DURABLE})
LONG = 3600.0


async def test_a_full_batch_comes_at_once_in_the_order_of_its_keys(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, seen.take, durable=True, batch=(50, LONG)).ready()
    await system.publish_many(topic, [Item([number % 3, number], key=f"k{number % 3}") for number in range(60)])
    await system.publish_many(topic, [Item([9, number]) for number in range(40)])
    await seen.stay(2)
    assert [len(batch) for batch in seen] == [50, 50]
    for key in range(3):
        assert [number for batch in seen for k, number in batch if k == key] == list(range(key, 60, 3))
    assert sorted(number for batch in seen for k, number in batch if k == 9) == list(range(40))


async def test_a_batch_that_does_not_fill_comes_when_its_time_is_up(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, seen.take, durable=True, batch=(50, 0.3)).ready()
    await system.publish_many(topic, [*(Item(number, key=f"k{number}") for number in range(5)), Item(5)])
    await seen.stay(1)
    assert sorted(seen[0]) == list(range(6))
    await system.publish(topic, 6, key="k1")
    await seen.stay(2)
    assert seen[1] == [6]


async def test_events_of_a_key_are_never_in_two_batches_at_a_time(world: World, topic: str) -> None:
    publisher, running, overlapped, keys = await world.system(), set[str](), Seen(), Keys()

    async def take(data: list[tuple[str, int]]) -> None:
        names = {name for name, _ in data}
        overlapped.extend(names & running)
        running.update(names)
        await asyncio.sleep(0.005)
        running.difference_update(names)
        for name, number in data:
            keys.seen[name].append(number)

    for _ in range(2):
        await (await world.system()).subscribe(topic, take, durable=True, batch=(7, 0.02), concurrency=3).ready()
    for start in range(0, 600, 100):
        await publisher.publish_many(
            topic, [Item((f"k{number % 11}", number), key=f"k{number % 11}") for number in range(start, start + 100)]
        )
    await until(lambda: keys.count >= 600)
    assert list(overlapped) == []
    assert keys.seen == {f"k{key}": list(range(key, 600, 11)) for key in range(11)}


async def test_a_batch_that_fails_comes_again_event_by_event(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: list[str]) -> None:
        seen.append(data)
        if "b1" in data:
            raise LookupError("no such thing")

    retry = AT_ONCE
    await system.subscribe(topic, take, durable=True, batch=(6, LONG), retry=retry, on_poison="park").ready()
    await system.publish_many(topic, [Item(key + number, key=key) for number in "12" for key in "abc"])
    await until(lambda: len(seen) >= 5)
    assert sorted(seen[0]) == ["a1", "a2", "b1", "b2", "c1", "c2"]
    assert sorted(map(tuple, seen[1:])) == [("a1",), ("b1",), ("b1",), ("c1",)]
    await system.publish_many(topic, [Item(f"d{number}", key="d") for number in range(4)])
    await seen.stay(6)
    assert sorted(seen[5]) == ["a2", "c2", "d0", "d1", "d2", "d3"]


async def test_what_does_not_fit_a_handler_that_has_several_keys_is_found_when_each_comes_alone(
    world: World, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: list[str]) -> None:
        seen.append(sorted(data))
        if "b" in data:
            raise InvalidPayloadError("no such thing")

    retry = RetryPolicy(max_attempts=9, backoff=0.0, cap=0.0)
    await system.subscribe(topic, take, durable=True, batch=(3, LONG), retry=retry, on_poison="dead_letter").ready()
    await system.publish_many(topic, [Item(key, key=key) for key in "abc"])
    await seen.stay(4)
    assert sorted(seen[1:]) == [["a"], ["b"], ["c"]]
    letters = await system.dead_letters.list(topic)
    assert [(letter.event.data, letter.attempts) for letter in letters] == [("b", 2)]
    raised = [line.partition(" raised ")[2] for line in caplog.messages if topic in line and " raised " in line]
    assert raised == ["(attempt 1)", "(attempt 2)"]


async def test_poison_in_batches_becomes_a_dead_letter_and_its_key_goes_on(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: list[str]) -> None:
        if "a1" in data:
            raise LookupError("no such thing")
        seen.extend(data)

    options: dict[str, Any] = {"batch": (3, 0.05), "retry": AT_ONCE, "on_poison": "dead_letter"}
    await system.subscribe(topic, take, durable=True, **options).ready()
    await system.publish_many(topic, [Item(data, key="a") for data in ("a1", "a2", "a3")])
    await seen.stay(2)
    assert list(seen) == ["a2", "a3"]


async def test_what_a_filter_refuses_or_is_expired_or_does_not_fit_is_in_no_batch(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: list[int]) -> None:
        seen.append(data)

    await system.publish(topic, "old", key="k", ttl=0.05)
    await asyncio.sleep(0.1)
    await system.publish_many(topic, [Item(number, key="k") for number in range(5)])
    await system.publish(topic, "text", key="k")
    await system.publish_many(topic, [Item(number, key="k") for number in range(5, 9)])
    options: dict[str, Any] = {"filter": lambda data: data not in (0, 3), "retry": AT_ONCE, "on_poison": "skip"}
    await system.subscribe(topic, take, durable=True, batch=(4, 0.05), **options).ready()
    await until(lambda: sum(map(len, seen)) >= 7)
    assert [number for batch in seen for number in batch] == [1, 2, 4, 5, 6, 7, 8]


async def test_a_batch_that_takes_too_long_has_failed(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: list[int], event: Event) -> None:
        seen.append((event.delivery, data))
        if len(seen) == 1:
            await asyncio.sleep(LONG)

    await system.subscribe(topic, take, durable=True, batch=(2, LONG), timeout=0.3, retry=AT_ONCE).ready()
    await system.publish_many(topic, [Item(1, key="k"), Item(2, key="l")])
    await seen.stay(3)
    assert sorted(seen[1:]) == [(None, [1]), (None, [2])]


async def test_a_batch_under_way_is_finished_and_the_rest_given_back_when_a_system_closes(
    world: World, topic: str
) -> None:
    leaving, staying, begun, release = await world.system(), Keys(), Seen(), asyncio.Event()

    async def wait(data: list[int]) -> None:
        begun.append(data)
        await release.wait()

    await leaving.subscribe(topic, wait, durable=True, batch=(3, LONG), concurrency=1).ready()
    await leaving.publish_many(topic, [Item(number, key="k") for number in range(5)])
    await begun.reach(1)
    await leaving.publish(topic, "other", key="l")
    closing = asyncio.create_task(leaving.aclose(20.0))
    await (await world.system()).subscribe(topic, staying.take, durable=True).ready()
    await until(lambda: staying.seen["l"])
    release.set()
    await closing
    await until(lambda: staying.count == 3)
    assert (list(begun), staying.seen) == ([[0, 1, 2]], {"l": ["other"], "k": [3, 4]})


async def test_a_batch_that_is_interrupted_has_not_failed(world: World, topic: str) -> None:
    leaving, begun, seen = await world.system(), Seen(), Seen()

    async def hang(data: list[int]) -> None:
        begun.append(data)
        await asyncio.sleep(LONG)

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))

    await leaving.subscribe(topic, hang, durable=True, batch=(2, LONG)).ready()
    await leaving.publish_many(topic, [Item(1, key="k"), Item(2, key="k")])
    await begun.reach(1)
    await leaving.aclose(0.0)
    await (await world.system()).subscribe(topic, take, durable=True).ready()
    await seen.stay(2)
    assert list(seen) == [(1, 1), (2, 1)]


@pytest.mark.parametrize("what", ["its system", "its subscription"])
async def test_a_handler_of_batches_that_ends_what_it_belongs_to_waits_for_nobody(
    world: World, topic: str, what: str
) -> None:
    system, ended, other = await world.system(), Seen(), await world.system()

    async def end(data: list[int]) -> None:
        watch = Watch()
        await asyncio.create_task(system.aclose(25.0) if what == "its system" else subscription.unsubscribe())
        ended.append((data, watch.seconds < 10.0))

    subscription = system.subscribe(topic, end, durable=True, batch=(3, LONG))
    await subscription.ready()
    await other.publish_many(topic, [Item(number, key=f"k{number % 2}") for number in range(3)])
    await ended.stay(1)
    assert (sorted(ended[0][0]), ended[0][1]) == ([0, 1, 2], True)
    await system.aclose()
    (group,) = await other.groups.list(topic)
    assert (group.waiting, group.pending) == (0, 0), "what the handler had is handled"


async def test_leases_extend_while_a_batch_fills(world: World, topic: str) -> None:
    settings, seen = Settings(lease=0.6, lease_refresh=0.1), Seen()
    for _ in range(2):
        system = await world.system(settings=settings)
        await system.subscribe(topic, seen.take, durable=True, batch=(100, 2.0)).ready()
    await (await world.system()).publish_many(topic, [Item(number, key=f"k{number}") for number in range(3)])
    await until(lambda: sum(map(len, seen)) >= 3)
    assert sorted(number for batch in seen for number in batch) == [0, 1, 2]
