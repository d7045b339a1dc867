"""Durable events that are published many at once: all of them are stored, or none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.durable import Keys
from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World
from tieline import (
    Event,
    InvalidArgumentError,
    InvalidPayloadError,
    Item,
    Message,
    Middleware,
    OverloadedError,
    PayloadTooLargeError,
)
from tieline.middleware import PublishNext

NEEDS = frozenset({Feature.DURABLE})


async def test_many_are_stored_in_the_order_of_their_keys(world: World, topic: str) -> None:
    publisher, keys = await world.system(), Keys()
    receipts = await publisher.publish_many(topic, [Item(number, key=f"k{number % 7}") for number in range(2_000)])
    assert len({receipt.id for receipt in receipts}) == 2_000
    places = [receipt.stored for receipt in receipts]
    assert all(place is not None and topic in place.stream and place.entry for place in places)
    await (await world.system()).subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 2_000)
    assert keys.seen == {f"k{key}": list(range(key, 2_000, 7)) for key in range(7)}


async def test_each_of_many_has_its_key_priority_and_headers(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        seen.append((data, event.key, event.envelope.priority, dict(event.headers), event.schema_version, event.id))

    await system.subscribe(topic, take, durable=True, concurrency=1).ready()
    items = [Item("a", key="k", headers={"x": "1"}), Item("b"), Item("c", priority=10)]
    receipts = await system.publish_many(topic, (item for item in items), schema_version="3")
    await seen.stay(3)
    ids = [receipt.id for receipt in receipts]
    assert sorted(seen) == [
        ("a", "k", 5, {"x": "1"}, "3", ids[0]),
        ("b", "", 5, {}, "3", ids[1]),
        ("c", "", 10, {}, "3", ids[2]),
    ]


async def test_none_is_stored_if_one_finds_no_room(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await system.publish(topic, "before", key="full")
    items = [Item("free", key="free"), *(Item(number, key="full") for number in range(3))]
    with pytest.raises(OverloadedError) as caught:
        await system.publish_many(topic, items, max_stored=3)
    assert caught.value.outcome == "NOT_DELIVERED"
    await system.publish_many(topic, items[:3], max_stored=3)
    await system.subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 4)
    assert keys.seen == {"free": ["free"], "full": ["before", 0, 1]}


@pytest.mark.parametrize(
    ("strange", "error"),
    [
        (Item(object(), key="k"), InvalidPayloadError),
        (Item(1, key=""), InvalidArgumentError),
        (Item(1, priority=3), InvalidArgumentError),
        (Item(1, dedupe="\n"), InvalidArgumentError),
        (Item(1, headers={"a": 1}), InvalidArgumentError),  # type: ignore[dict-item]
        (Item(b"x" * 900_000), PayloadTooLargeError),
        ((1, "k"), InvalidArgumentError),
    ],
)
async def test_none_is_stored_if_one_is_refused(
    world: World, topic: str, strange: Item, error: type[Exception]
) -> None:
    system, seen = await world.system(), Seen()
    large = 9 if error is PayloadTooLargeError and isinstance(strange.data, bytes) else 0
    with pytest.raises(error):
        await system.publish_many(topic, [Item(1, key="k"), strange, *[strange] * large])
    await system.subscribe(topic, seen.take, durable=True).ready()
    await system.publish(topic, "last", key="k")
    await seen.stay(1)


async def test_more_than_can_be_stored_at_once_are_refused(world: World, topic: str) -> None:
    system = await world.system()
    with pytest.raises(InvalidArgumentError, match="in parts"):
        await system.publish_many(topic, [Item(1)] * 10_001)
    with pytest.raises(InvalidArgumentError):
        await system.publish_many(topic, 7)  # type: ignore[arg-type]
    assert await system.publish_many(topic, []) == []


async def test_of_many_those_that_are_known_are_not_stored_again(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await system.publish(topic, "first", key="k", dedupe="id 1")
    receipts = await system.publish_many(
        topic, [Item(1, key="k", dedupe="id 1"), Item(2, key="k", dedupe="id 2"), Item(3, key="k", dedupe="id 2")]
    )
    assert [receipt.stored is not None and receipt.stored.duplicate for receipt in receipts] == [True, False, True]
    await system.subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count >= 2)
    assert keys.seen["k"] == ["first", 2]


class Rename(Middleware):
    """Adds to each payload, keeps some to itself, and raises for others."""

    async def publish(self, message: Message, call_next: PublishNext) -> Any:
        await asyncio.sleep(0)
        if message.data == "raise":
            raise LookupError("refused")
        if message.data == "keep":
            return "kept"
        message.data += "!"
        message.headers["seen"] = "yes"
        return await call_next(message)


async def test_each_of_many_passes_the_middleware(world: World, topic: str) -> None:
    system, seen = await world.system(middleware=[Rename()]), Seen()

    async def take(data: Any, event: Event) -> None:
        seen.append((data, event.headers["seen"]))

    await system.subscribe(topic, take, durable=True).ready()
    receipts = await system.publish_many(topic, [Item("a", key="k"), Item("keep", key="k"), Item("b", key="k")])
    await seen.stay(2)
    assert list(seen) == [("a!", "yes"), ("b!", "yes")]
    assert receipts[1] == "kept"
    assert len({receipts[0].id, receipts[2].id}) == 2
    with pytest.raises(LookupError):
        await system.publish_many(topic, [Item("c", key="k"), Item("raise", key="k"), Item("d", key="k")])
    with pytest.raises(OverloadedError):
        await system.publish_many(topic, [Item("c", key="full"), Item("d", key="full")], max_stored=1)
    assert await system.publish_many(topic, [Item("keep"), Item("keep")]) == ["kept", "kept"]
    await seen.stay(2)
