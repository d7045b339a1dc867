"""Durable subscriptions with a store that remembers what was handled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.durable import AT_ONCE
from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World, needs
from tieline import Event, Handling, InvalidArgumentError, Settings, Standing, UnavailableError, idempotency_store
from tieline.durable.idempotency import MemoryIdempotencyStore

NEEDS = frozenset({Feature.DURABLE})


async def test_an_event_that_was_done_is_acknowledged_without_its_handler(world: World, topic: str) -> None:
    system, store, seen = await world.system(), MemoryIdempotencyStore(), Seen()
    done = await system.publish(topic, "done", key="k")
    await system.publish(topic, "new", key="k")
    await store.done(Handling("default", topic, done.id))
    subscription = system.subscribe(topic, seen.take, durable=True, idempotency=store)
    await subscription.ready()
    await seen.stay(1)
    assert list(seen) == ["new"]
    await subscription.unsubscribe()
    await system.subscribe(topic, seen.take, durable=True).ready()
    await seen.stay(1)


async def test_each_group_handles_an_event_and_remembers_it(world: World, topic: str) -> None:
    system, store, seen = await world.system(), MemoryIdempotencyStore(), Seen()
    for group in ("one", "other"):
        await system.subscribe(topic, seen.take, durable=True, group=group, idempotency=store).ready()
    receipt = await system.publish(topic, 1, key="k")
    await seen.stay(2)
    for group, standing in (("one", Standing.DONE), ("other", Standing.DONE), ("third", Standing.BEGUN)):
        assert await store.begin(Handling(group, topic, receipt.id), "me", 1.0) == standing


async def test_an_event_that_somebody_else_handles_waits_without_failing(world: World, topic: str) -> None:
    system, store, seen = await world.system(), MemoryIdempotencyStore(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))

    receipt = await system.publish(topic, 1, key="k")
    other = Handling("default", topic, receipt.id)
    await store.begin(other, "somebody", 3600.0)
    await system.subscribe(topic, take, durable=True, idempotency=store, timeout=0.3, retry=AT_ONCE).ready()
    await system.publish(topic, 2, key="k")
    await system.publish(topic, 3, key="l")
    await seen.reach(1)
    await asyncio.sleep(1.0)
    assert list(seen) == [(3, 1)]
    await store.give_up(other, "somebody")
    await seen.stay(3)
    assert list(seen) == [(3, 1), (1, 1), (2, 1)]


async def test_a_failure_is_not_remembered_as_done(world: World, topic: str) -> None:
    system, store, seen = await world.system(), MemoryIdempotencyStore(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))
        if event.delivery.attempt == 1:
            raise LookupError("not yet")
        if data == "ack":
            event.delivery.ack()
            raise LookupError("afterwards")
        if data == "reject":
            event.delivery.reject()

    await system.subscribe(topic, take, durable=True, idempotency=store, retry=AT_ONCE).ready()
    receipts = [await system.publish(topic, data, key="k") for data in ("return", "ack", "reject")]
    await seen.stay(6)
    assert [attempt for _, attempt in seen] == [1, 2] * 3
    await until(lambda: len(store._known) == 2)
    known = [Handling("default", topic, receipt.id) in store._known for receipt in receipts]
    assert known == [True, True, False]


async def test_what_a_handler_that_was_interrupted_began_another_may_begin(world: World, topic: str) -> None:
    leaving, store, begun, seen = await world.system(), MemoryIdempotencyStore(), Seen(), Seen()

    async def hang(data: Any) -> None:
        begun.append(data)
        await asyncio.sleep(3600)

    await leaving.subscribe(topic, hang, durable=True, idempotency=store).ready()
    await leaving.publish(topic, 1, key="k")
    await begun.reach(1)
    await leaving.aclose(0.0)
    await (await world.system()).subscribe(topic, seen.take, durable=True, idempotency=store).ready()
    await seen.stay(1)


async def test_what_a_process_that_died_began_is_handled_when_its_lease_is_over(world: World, topic: str) -> None:
    system, store, seen = await world.system(), MemoryIdempotencyStore(), Seen()
    receipt = await system.publish(topic, 1, key="k")
    await store.begin(Handling("default", topic, receipt.id), "died", 0.5)
    await system.subscribe(topic, seen.take, durable=True, idempotency=store).ready()
    await seen.stay(1)
    assert await store.begin(Handling("default", topic, receipt.id), "me", 1.0) == Standing.DONE


async def test_a_handler_at_work_keeps_what_it_began(world: World, topic: str) -> None:
    system, store = await world.system(settings=Settings(lease=1.0, lease_refresh=0.2)), MemoryIdempotencyStore()
    begun, release, seen = Seen(), asyncio.Event(), Seen()

    async def work(data: Any) -> None:
        begun.append(data)
        await release.wait()
        seen.append(data)

    await system.subscribe(topic, work, durable=True, idempotency=store).ready()
    receipt = await system.publish(topic, 1, key="k")
    await begun.reach(1)
    for _ in range(8):
        await asyncio.sleep(0.25)
        assert await store.begin(Handling("default", topic, receipt.id), "me", 60.0) == Standing.BUSY
    release.set()
    await seen.stay(1)
    assert len(begun) == 1


class Broken(MemoryIdempotencyStore):
    """A store that is away at first."""

    failures = 3

    async def begin(self, handling: Handling, owner: str, lease: float) -> Standing:
        self.failures -= 1
        if self.failures >= 0:
            raise UnavailableError("the store is away")
        return await super().begin(handling, owner, lease)

    async def done(self, handling: Handling) -> None:
        raise UnavailableError("the store is away")


async def test_an_event_waits_for_a_store_that_is_away(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, seen.take, durable=True, idempotency=Broken(), retry=AT_ONCE).ready()
    for number in (1, 2):
        await system.publish(topic, number, key="k")
    await seen.stay(2)
    assert list(seen) == [1, 2]


@pytest.mark.parametrize(
    "options",
    [
        {"durable": True, "idempotency": "redis://localhost"},
        {"idempotency": MemoryIdempotencyStore()},
        {"durable": True, "idempotency": MemoryIdempotencyStore(), "batch": (10, 1.0)},
    ],
)
async def test_a_store_that_makes_no_sense_is_refused(world: World, topic: str, options: dict[str, Any]) -> None:
    system = await world.system()
    with pytest.raises(InvalidArgumentError):
        system.subscribe(topic, print, **options)  # type: ignore[misc]


@needs(Feature.REDIS)
async def test_the_broker_may_be_the_store(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    assert world.place.redis is not None
    store: Any = idempotency_store(world.place.redis.url)
    await system.subscribe(topic, seen.take, durable=True, idempotency=store).ready()
    receipts = [await system.publish(topic, number, key="k") for number in range(3)]
    await seen.stay(3)
    standings = [await store.begin(Handling("default", topic, receipt.id), "me", 1.0) for receipt in receipts]
    assert standings == [Standing.DONE] * 3
    await store.aclose()
