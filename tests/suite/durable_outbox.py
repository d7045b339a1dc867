"""Durable events by way of an outbox; what happens when processes are killed is in `tests/faults/test_outbox.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.suite.durable import Keys
from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World
from tieline import Event, EventSystem, InvalidArgumentError, InvalidPayloadError, Item, RetryPolicy

NEEDS = frozenset({Feature.DURABLE})


async def test_what_goes_by_an_outbox_is_stored_in_the_order_of_its_keys(
    world: World, topic: str, tmp_path: Path
) -> None:
    system, keys = await world.system(outbox=tmp_path / "outbox.db"), Keys()
    await (await world.system()).subscribe(topic, keys.take, durable=True).ready()
    for number in range(200):
        receipt = await system.publish(topic, number, key=f"k{number % 3}")
        assert (receipt.queued, receipt.stored) == (True, None)
    receipts = await system.publish_many(topic, [Item(number, key=f"k{number % 3}") for number in range(200, 900)])
    assert all(receipt.queued for receipt in receipts)
    await until(lambda: keys.count >= 900)
    assert keys.seen == {f"k{key}": list(range(key, 900, 3)) for key in range(3)}


async def test_an_event_from_an_outbox_is_as_it_was_published(world: World, topic: str, tmp_path: Path) -> None:
    system, seen = await world.system(outbox=str(tmp_path / "outbox.db")), Seen()

    async def take(data: Any, event: Event) -> None:
        seen.append((data, event.id, event.key, event.envelope.priority, dict(event.headers)))

    await system.subscribe(topic, take, durable=True).ready()
    receipt = await system.publish(topic, {"n": 1}, durable=True, priority=8, headers={"a": "b"})
    await system.publish(topic, 2, key="k", dedupe="id")
    await system.publish(topic, 3, key="k", dedupe="id")
    await seen.stay(2)
    assert ({"n": 1}, receipt.id, "", 8, {"a": "b"}) in seen
    assert [data for data, _, key, *_ in seen if key == "k"] == [2]


async def test_what_cannot_be_published_does_not_enter_an_outbox(world: World, topic: str, tmp_path: Path) -> None:
    system = await world.system(outbox=tmp_path / "outbox.db")
    for data, options in ((object(), {}), (1, {"priority": 3})):
        with pytest.raises((InvalidPayloadError, InvalidArgumentError)):
            await system.publish(topic, data, durable=True, **options)
    assert not (await system.publish(topic, "live")).queued
    assert system.outbox is not None
    assert await system.outbox.figures() == (0, 0)
    assert (await world.system()).outbox is None


async def test_what_handlers_publish_while_their_system_closes_goes_by_the_outbox_too(
    world: World, topic: str, tmp_path: Path
) -> None:
    system, keys, begun, closing = await world.system(outbox=tmp_path / "outbox.db"), Keys(), Seen(), asyncio.Event()

    async def take(data: Any) -> None:
        begun.append(data)
        await closing.wait()
        await asyncio.sleep(0.1)
        await system.publish(f"{topic}.next", data, key="k")

    await system.subscribe(topic, take, durable=True, on_poison="skip", retry=RetryPolicy(max_attempts=1)).ready()
    await system.publish(topic, 1, key="k")
    await begun.reach(1)
    asyncio.get_running_loop().call_soon(closing.set)
    await system.aclose()
    await (await world.system()).subscribe(f"{topic}.next", keys.take, durable=True).ready()
    await until(lambda: keys.count == 1)


@pytest.mark.parametrize("path", ["", 7, b"outbox.db"])
async def test_an_outbox_that_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        EventSystem("memory://", outbox=path)
