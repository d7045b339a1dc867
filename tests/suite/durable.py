"""Durable events: stored once, handled in the order of their key, at least once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.suite.seen import Seen, Watch, until
from tests.suite.world import Feature, World
from tieline import ConflictError, Event, EventSystem, InvalidArgumentError, OverloadedError, RetryPolicy, Settings
from tieline.durable.consumer import Consumer

NEEDS = frozenset({Feature.DURABLE})
AT_ONCE = RetryPolicy(max_attempts=3, backoff=0.0, cap=0.0)


class Keys:
    """A handler that remembers what came for each key, and that no two of a key run at a time."""

    def __init__(self, pause: float = 0.0) -> None:
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.running: set[str] = set()
        self.overlapped = False
        self.most = 0
        self._pause = pause

    async def take(self, data: Any, event: Event) -> None:
        self.overlapped |= event.key in self.running
        self.running.add(event.key)
        self.most = max(self.most, len(self.running))
        await asyncio.sleep(self._pause)
        self.seen[event.key].append(data)
        self.running.discard(event.key)

    @property
    def count(self) -> int:
        return sum(map(len, self.seen.values()))


async def test_events_of_a_key_are_handled_in_their_order_by_one_at_a_time(world: World, topic: str) -> None:
    publisher, handlers = await world.system(), [Keys(0.001), Keys(0.001)]
    for keys in handlers:
        await (await world.system()).subscribe(topic, keys.take, durable=True).ready()
    for number in range(20):
        await asyncio.gather(*(publisher.publish(topic, number, key=f"card {key}") for key in range(20)))
    await until(lambda: sum(keys.count for keys in handlers) >= 400)
    merged: dict[str, list[int]] = defaultdict(list)
    for keys in handlers:
        assert not keys.overlapped
        for key, numbers in keys.seen.items():
            assert numbers == sorted(numbers)
            merged[key] += numbers
    assert all(sorted(numbers) == list(range(20)) for numbers in merged.values())
    assert len(merged) == 20


async def test_what_is_published_while_nobody_runs_waits(world: World, topic: str) -> None:
    publisher, keys = await world.system(), Keys()
    for number in range(5):
        await publisher.publish(topic, number, key="k")
    await (await world.system()).subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 5)
    assert keys.seen == {"k": [0, 1, 2, 3, 4]}


async def test_the_receipt_says_where_it_is_stored(world: World, topic: str) -> None:
    publisher = await world.system()
    receipts = [await publisher.publish(topic, number, key="k") for number in range(2)]
    first, second = (receipt.stored for receipt in receipts)
    assert first is not None
    assert second is not None
    assert first.stream == second.stream
    assert topic in first.stream
    assert first.entry
    assert first.entry != second.entry
    assert not first.duplicate
    assert (await publisher.publish(topic, 0)).stored is None


async def test_a_live_subscription_gets_nothing_that_is_stored_and_a_durable_one_nothing_live(
    world: World, topic: str
) -> None:
    system, live, stored = await world.system(), Seen(), Seen()
    await system.subscribe(topic, live.take).ready()
    await system.subscribe(topic, stored.take, durable=True).ready()
    await system.publish(topic, "stored", key="k")
    await system.publish(topic, "live")
    await stored.stay(1)
    await live.stay(1)
    assert (list(live), list(stored)) == (["live"], ["stored"])


async def test_events_without_a_key_are_handled_side_by_side(world: World, topic: str) -> None:
    system, release, begun = await world.system(), asyncio.Event(), Seen()

    async def wait(data: Any) -> None:
        begun.append(data)
        await release.wait()

    await system.subscribe(topic, wait, durable=True, concurrency=3).ready()
    for number in range(4):
        await system.publish(topic, number, durable=True)
    await begun.stay(3)
    release.set()
    await begun.reach(4)
    assert sorted(begun) == [0, 1, 2, 3]


async def test_the_highest_priority_comes_first(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    for priority in (1, 5, 8, 10) * 3:
        await system.publish(topic, priority, durable=True, priority=priority)
    await system.subscribe(topic, seen.take, durable=True, concurrency=1).ready()
    await seen.reach(12)
    out_of_turn = sum(one < other for one, other in zip(seen, list(seen)[1:], strict=False))
    assert out_of_turn <= 3, f"one in sixteen begins with the lowest: {list(seen)}"
    assert sorted(seen) == sorted((1, 5, 8, 10) * 3)


async def test_no_more_than_concurrency_run_at_a_time(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys(0.01)
    await system.subscribe(topic, keys.take, durable=True, concurrency=4).ready()
    for number in range(40):
        await system.publish(topic, number, key=f"k{number}")
    await until(lambda: keys.count == 40)
    assert keys.most <= 4


async def test_the_handler_knows_the_event_and_its_delivery(world: World, topic: str) -> None:
    system, seen = await world.system(service="shop"), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event, event.delivery.attempt, event.delivery.token, event.delivery.group))

    await system.subscribe(topic, take, durable=True).ready()
    receipt = await system.publish(topic, {"n": 1}, key="k", headers={"a": "b"}, schema_version="2")
    await seen.reach(1)
    data, event, attempt, token, group = seen[0]
    assert data == {"n": 1}
    assert (event.id, event.key, event.topic, event.headers["a"]) == (receipt.id, "k", topic, "b")
    assert (event.schema_version, event.expires_at, event.source.partition("/")[0]) == ("2", None, "shop")
    assert (attempt, group) == (1, "default")
    assert token > 10**15


async def test_what_a_handler_publishes_continues_the_chain(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def first(data: Any) -> None:
        await system.publish(f"{topic}.next", data, key="k")

    async def second(data: Any, event: Event) -> None:
        seen.append((event.correlation_id, event.hops))

    await system.subscribe(topic, first, durable=True).ready()
    await system.subscribe(f"{topic}.next", second, durable=True).ready()
    receipt = await system.publish(topic, 1, key="k")
    await seen.reach(1)
    assert seen[0] == (receipt.correlation_id, 1)


async def test_an_event_with_a_known_id_is_stored_once(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, seen.take, durable=True).ready()
    receipts = [await system.publish(topic, n, key="k", dedupe="order 17") for n in range(3)]
    stored = [receipt.stored for receipt in receipts]
    assert [one is not None and one.duplicate for one in stored] == [False, True, True]
    assert len({one.entry for one in stored if one is not None}) == 1
    await system.publish(topic, 9, key="k")
    await seen.stay(2)
    assert list(seen) == [0, 9]


async def test_a_full_stream_refuses_the_publisher(world: World, topic: str) -> None:
    system = await world.system()
    for number in range(3):
        await system.publish(topic, number, key="full", max_stored=3)
    with pytest.raises(OverloadedError) as caught:
        await system.publish(topic, 3, key="full", max_stored=3)
    assert caught.value.outcome == "NOT_DELIVERED"
    assert caught.value.retry_after
    await system.publish(topic, 3, key="other", max_stored=3)


async def test_a_filter_acknowledges_what_it_refuses(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, seen.take, durable=True, filter=lambda data: data % 2 == 0).ready()
    for number in range(6):
        await system.publish(topic, number, key="k")
    await seen.stay(3)
    assert list(seen) == [0, 2, 4]


def freeze(consumer: Consumer) -> None:
    """Have it neither extend its leases nor claim, as if its process stood still."""
    consumer._holding.extend = lambda leases: asyncio.sleep(0)  # type: ignore[method-assign, assignment]
    consumer._claiming = True


async def test_a_handler_that_is_lost_with_its_process_is_replaced_after_its_lease(world: World, topic: str) -> None:
    settings = Settings(lease=0.5, lease_refresh=0.1)
    frozen, seen, begun = await world.system(settings=settings), Seen(), Seen()

    async def hang(data: Any) -> None:
        begun.append(data)
        await asyncio.sleep(3600)

    subscription = frozen.subscribe(topic, hang, durable=True)
    await subscription.ready()
    await frozen.publish(topic, 1, key="k")
    await frozen.publish(topic, 2, key="k")
    await begun.reach(1)
    consumer = subscription.consumer
    assert consumer is not None
    freeze(consumer)
    other = await world.system(settings=settings)
    await other.subscribe(topic, seen.take, durable=True).ready()
    await seen.reach(2)
    assert list(seen) == [1, 2]


async def test_who_lost_its_lease_cannot_acknowledge(world: World, topic: str) -> None:
    settings = Settings(lease=0.5, lease_refresh=0.1)
    slow, release, begun = await world.system(settings=settings), asyncio.Event(), Seen()

    async def wait(data: Any, event: Event) -> None:
        begun.append(event)
        await release.wait()

    subscription = slow.subscribe(topic, wait, durable=True)
    await subscription.ready()
    await slow.publish(topic, 1, key="k")
    await begun.reach(1)
    consumer = subscription.consumer
    assert consumer is not None
    extend = consumer._holding.extend
    freeze(consumer)
    other, attempts, done = await world.system(settings=settings), Seen(), asyncio.Event()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        attempts.append((event.delivery.attempt, event.delivery.token))
        await done.wait()

    await other.subscribe(topic, take, durable=True).ready()
    await attempts.reach(1)
    delivery = begun[0].delivery
    assert attempts[0][0] == 2
    assert attempts[0][1] > delivery.token
    await extend(list(consumer._holding))
    assert delivery.lost
    with pytest.raises(ConflictError):
        delivery.ack()
    release.set()
    done.set()
    await attempts.stay(1)


async def test_leases_extend_while_a_handler_works(world: World, topic: str) -> None:
    settings, seen = Settings(lease=0.6, lease_refresh=0.1), Seen()

    async def slow(data: Any, event: Event) -> None:
        seen.append(data)
        await asyncio.sleep(2.0)

    for _ in range(2):
        await (await world.system(settings=settings)).subscribe(topic, slow, durable=True).ready()
    await (await world.system()).publish(topic, 1, key="k")
    await seen.reach(1)
    await asyncio.sleep(2.5)
    assert list(seen) == [1]


async def test_what_has_not_begun_goes_to_others_when_a_system_closes(world: World, topic: str) -> None:
    leaving, staying, release = await world.system(), Keys(), asyncio.Event()
    begun = Seen()

    async def wait(data: Any, event: Event) -> None:
        begun.append(data)
        await release.wait()

    await leaving.subscribe(topic, wait, durable=True, concurrency=1).ready()
    for number in range(5):
        await leaving.publish(topic, number, key="k")
        await leaving.publish(topic, number, key="l")
    await begun.reach(1)
    await (await world.system()).subscribe(topic, staying.take, durable=True).ready()
    closing = asyncio.create_task(leaving.aclose(20.0))
    await until(lambda: len(staying.seen["l"]) == 5)
    release.set()
    await closing
    await until(lambda: staying.count >= 9)
    assert (list(begun), staying.seen["k"]) == ([0], [1, 2, 3, 4])


async def test_a_handler_that_closes_its_own_system_waits_for_nobody(world: World, topic: str) -> None:
    system, done = await world.system(), Seen()

    async def close(data: Any) -> None:
        watch = Watch()
        await system.aclose(20.0)
        done.append(watch.seconds)

    await system.subscribe(topic, close, durable=True).ready()
    await system.publish(topic, 1, key="k")
    await done.reach(1)
    assert done[0] < 10.0


async def test_a_generator_is_run_to_its_end_although_nobody_reads_it(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def count(data: int) -> AsyncIterator[int]:
        for number in range(data):
            seen.append(number)
            yield number

    await system.subscribe(topic, count, durable=True).ready()
    await system.publish(topic, 3, key="k")
    await seen.stay(3)


async def test_a_quiet_key_is_claimed_again_when_something_comes(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await system.subscribe(topic, keys.take, durable=True).ready()
    for number in range(10):
        await system.publish(topic, number, key="k")
        await until(lambda number=number: keys.count == number + 1)
    assert keys.seen["k"] == list(range(10))


async def test_many_keys_and_events_are_all_handled(world: World, topic: str) -> None:
    publisher, keys = await world.system(), Keys()
    await (await world.system()).subscribe(topic, keys.take, durable=True).ready()
    for start in range(0, 3_000, 500):
        await asyncio.gather(
            *(publisher.publish(topic, number, key=f"k{number % 700}") for number in range(start, start + 500))
        )
    await until(lambda: keys.count == 3_000)
    assert all(numbers == sorted(numbers) for numbers in keys.seen.values())


async def test_long_keys_are_handled_without_a_pause(world: World, topic: str) -> None:
    publisher, keys = await world.system(), Keys()
    await asyncio.gather(*(publisher.publish(topic, number, key=f"k{number % 7}") for number in range(400)))
    await (await world.system()).subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 400, Settings().lease / 2)
    assert all(numbers == sorted(numbers) for numbers in keys.seen.values())


async def test_large_events_arrive_although_a_claim_cannot_hold_them_all(world: World, topic: str) -> None:
    publisher, keys = await world.system(), Keys()
    for number in range(12):
        await publisher.publish(topic, [number, b"x" * 900_000], key=f"k{number % 2}")
    await (await world.system()).subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 12)
    for key in (0, 1):
        assert [number for number, _ in keys.seen[f"k{key}"]] == list(range(key, 12, 2))


@pytest.mark.parametrize(
    "options",
    [
        {"key": ""},
        {"key": "a\nb"},
        {"key": 7},
        {"key": "x" * 300},
        {"durable": True, "priority": 3},
        {"priority": 5},
        {"dedupe": "id"},
        {"key": "k", "dedupe": ""},
        {"key": "k", "max_stored": -1},
        {"key": "k", "wait_replicas": -1},
        {"wait_replicas": 1},
        {"key": "k", "wait_local": True},
    ],
)
async def test_what_cannot_be_stored_is_refused(world: World, topic: str, options: dict[str, Any]) -> None:
    system = await world.system()
    with pytest.raises(InvalidArgumentError):
        await system.publish(topic, 1, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"durable": True, "observe": True},
        {"durable": True, "on_gap": print},
        {"durable": True, "start": "now"},
        {"durable": True, "on_poison": "drop"},
        {"durable": True, "retry": 3},
        {"durable": True, "timeout": 0},
        {"durable": True, "concurrency": 0},
        {"start": "latest"},
        {"timeout": 5},
    ],
)
async def test_a_subscription_that_makes_no_sense_is_refused(world: World, topic: str, options: dict[str, Any]) -> None:
    system: EventSystem = await world.system()
    with pytest.raises(InvalidArgumentError):
        system.subscribe(topic, print, **options)  # type: ignore[misc]
    with pytest.raises(InvalidArgumentError):
        system.subscribe(f"{topic}.*", print, durable=True)
