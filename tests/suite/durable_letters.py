"""Dead letters and parked keys: found, put back, let go on; and groups, with what waits for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.durable import AT_ONCE, Keys
from tests.suite.durable_retries import failing
from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World
from tieline import Event, EventSystem, HandlerError, InvalidArgumentError, NotFoundError

NEEDS = frozenset({Feature.DURABLE})


async def _dead(system: EventSystem, topic: str, count: int, **options: Any) -> None:
    """Have so many events, numbered, become dead letters."""

    async def reject(data: Any, event: Event) -> None:
        assert event.delivery is not None
        event.delivery.reject(f"no {data}")

    subscription = system.subscribe(topic, reject, durable=True, **options)
    await subscription.ready()
    for number in range(count):
        await system.publish(topic, number, key=f"k{number % 3}", headers={"n": str(number)})
    while len(await system.dead_letters.list(topic, limit=1000)) < count:
        await asyncio.sleep(0.01)
    await subscription.unsubscribe()


async def test_a_dead_letter_tells_what_happened(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, failing(seen, 1), durable=True, retry=AT_ONCE, on_poison="dead_letter").ready()
    receipt = await system.publish(topic, 1, key="k", headers={"a": "b"})
    await seen.reach(3)
    while not (letters := await system.dead_letters.list(topic)):
        await asyncio.sleep(0.01)
    (letter,) = letters
    assert (letter.topic, letter.group, letter.reason, letter.attempts) == (topic, "default", "failed", 3)
    assert isinstance(letter.error, HandlerError)
    assert (letter.error.type, letter.error.message) == ("LookupError", "not yet")
    assert (letter.event.id, letter.event.data, letter.event.key) == (receipt.id, 1, "k")
    assert letter.event.headers["a"] == "b"
    assert abs(letter.time.timestamp() - letter.event.time.timestamp()) < 60


async def test_dead_letters_are_listed_page_by_page_and_filtered(world: World, topic: str) -> None:
    system = await world.system()
    await _dead(system, topic, 7)
    first = await system.dead_letters.list(topic, limit=3)
    rest = await system.dead_letters.list(topic, after=first[-1].id)
    assert len(first) == 3
    assert len({letter.id for letter in first + rest}) == 7
    assert len(await system.dead_letters.list(topic, key="k0")) == 3
    assert await system.dead_letters.list(topic, reason="failed") == []
    assert len(await system.dead_letters.list(topic, reason="rejected", group="default")) == 7


async def test_a_letter_that_is_put_back_is_handled(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await _dead(system, topic, 3)
    letters = await system.dead_letters.list(topic)
    assert await system.dead_letters.redrive(topic, letters[0].id) == 1
    assert await system.dead_letters.redrive(topic, letters[0].id) == 0
    await system.subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 1)
    assert await system.dead_letters.redrive(topic) == 2
    await until(lambda: keys.count == 3)
    assert await system.dead_letters.list(topic) == []


async def test_each_letter_moves_once_however_many_ask(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await _dead(system, topic, 60)
    operators = [await world.system() for _ in range(3)]
    moved = await asyncio.gather(*(operator.dead_letters.redrive(topic) for operator in operators))
    assert sum(moved) == 60
    await system.subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 60)
    assert sorted(number for numbers in keys.seen.values() for number in numbers) == list(range(60))


async def test_a_letter_goes_back_to_its_own_group_only(world: World, topic: str) -> None:
    system, good, bad = await world.system(), Seen(), Seen()
    await system.subscribe(topic, good.take, durable=True, group="good").ready()
    await _dead(system, topic, 2, group="bad")
    await good.reach(2)
    await system.subscribe(topic, bad.take, durable=True, group="bad").ready()
    assert await system.dead_letters.redrive(topic, group="bad") == 2
    await bad.stay(2)
    await good.stay(2)


async def test_a_letter_whose_group_was_removed_stays(world: World, topic: str) -> None:
    system, good = await world.system(), Seen()
    await system.subscribe(topic, good.take, durable=True, group="good").ready()
    await _dead(system, topic, 1, group="bad")
    await system.groups.remove(topic, "bad")
    assert await system.dead_letters.redrive(topic) == 0
    assert len(await system.dead_letters.list(topic)) == 1
    await good.stay(1)


async def test_a_letter_can_be_put_back_with_another_payload(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await _dead(system, topic, 1)
    (letter,) = await system.dead_letters.list(topic)
    await system.dead_letters.edit(topic, letter.id, {"mended": True})
    with pytest.raises(NotFoundError):
        await system.dead_letters.edit(topic, letter.id, 2)
    await system.subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 1)
    assert keys.seen["k0"] == [{"mended": True}]


async def test_letters_can_be_deleted(world: World, topic: str) -> None:
    system = await world.system()
    await _dead(system, topic, 6)
    letters = await system.dead_letters.list(topic)
    assert await system.dead_letters.purge(topic, [letters[0].id, letters[0].id, "1-1"]) == 1
    assert await system.dead_letters.purge(topic, []) == 0
    assert await system.dead_letters.purge(topic, key="k1") == 2
    assert await system.dead_letters.purge(topic) == 3
    assert await system.dead_letters.list(topic) == []


async def test_a_letter_that_is_not_there_is_not_found(world: World, topic: str) -> None:
    system = await world.system()
    for wrong in ("", "x", "1-1", "0-0", "²-1", "9" * 5000 + "-1"):
        with pytest.raises(NotFoundError):
            await system.dead_letters.get(topic, wrong)
    with pytest.raises(NotFoundError, match="'x' is no id of a dead letter"):
        await system.dead_letters.list(topic, after="x")


async def test_a_choice_of_letters_that_makes_no_sense_is_refused(world: World, topic: str) -> None:
    letters = (await world.system()).dead_letters
    for ids in (5, [5], ["1-1", None]):
        with pytest.raises(InvalidArgumentError, match="ids are texts, those of the dead letters that are listed"):
            await letters.purge(topic, ids)  # type: ignore[arg-type]
    for choose in (letters.list, letters.redrive, letters.purge):
        with pytest.raises(InvalidArgumentError, match="reason is 'failed', 'rejected' or 'expired', not 'poison'"):
            await choose(topic, reason="poison")  # type: ignore[operator]


async def test_an_expired_event_is_a_dead_letter_and_can_be_wanted_all_the_same(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await system.publish(topic, "late", key="k", ttl=0.05)
    await asyncio.sleep(0.2)
    await system.subscribe(topic, keys.take, durable=True).ready()
    while not (letters := await system.dead_letters.list(topic)):
        await asyncio.sleep(0.01)
    assert letters[0].reason == "expired"
    assert await system.dead_letters.redrive(topic) == 1
    await until(lambda: keys.count == 1)


async def test_a_parked_key_goes_on_when_it_is_let(world: World, topic: str) -> None:
    system, seen, mended = await world.system(), Seen(), False

    async def take(data: Any) -> None:
        seen.append(data)
        if data == 1 and not mended:
            raise LookupError("not yet")

    await system.subscribe(topic, take, durable=True, retry=AT_ONCE).ready()
    for number in (1, 2):
        await system.publish(topic, number, key="k")
    await seen.stay(3)
    (stopped,) = await system.parked.list(topic)
    assert (stopped.event.key, stopped.event.data, stopped.error.type) == ("k", 1, "LookupError")
    mended = True
    await system.parked.unpark(topic, "k")
    await seen.stay(5)
    assert list(seen) == [1, 1, 1, 1, 2]
    assert await system.parked.list(topic) == []
    with pytest.raises(NotFoundError):
        await system.parked.unpark(topic, "k")


@pytest.mark.parametrize("groups", [("default",), ("default", "other")])
async def test_a_parked_key_goes_on_past_what_stopped_it(world: World, topic: str, groups: tuple[str, ...]) -> None:
    system, seen = await world.system(), {group: Seen() for group in groups}
    for group in groups:
        await system.subscribe(topic, failing(seen[group], 1), durable=True, retry=AT_ONCE, group=group).ready()
    for number in (1, 2):
        await system.publish(topic, number, key="k")
    for group in groups:
        await seen[group].stay(3)
        await system.parked.skip(topic, "k", group=group)
        await seen[group].stay(4)
        assert seen[group][-1] == (2, 1)
    letters = await system.dead_letters.list(topic)
    assert [(letter.group, letter.event.data) for letter in letters] == [(group, 1) for group in groups]


async def test_a_parked_key_whose_only_event_is_skipped_is_quiet(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, failing(seen, 1), durable=True, retry=AT_ONCE).ready()
    await system.publish(topic, 1, key="k")
    await seen.stay(3)
    while not await system.parked.list(topic):
        await asyncio.sleep(0.01)
    await system.parked.skip(topic, "k")
    await until_empty(system, topic)
    await system.publish(topic, 2, key="k")
    await seen.stay(4)


async def until_empty(system: EventSystem, topic: str) -> None:
    """Wait until no group has anything to handle."""
    while any(group.waiting for group in await system.groups.list(topic)):
        await asyncio.sleep(0.01)


async def test_a_group_says_how_far_it_is(world: World, topic: str) -> None:
    system, release, begun = await world.system(), asyncio.Event(), Seen()
    assert await system.groups.list(topic) == []

    async def wait(data: Any) -> None:
        begun.append(data)
        await release.wait()

    await system.subscribe(topic, wait, durable=True, concurrency=1).ready()
    for number in range(3):
        await system.publish(topic, number, key="k")
    await system.publish(topic, 3, durable=True)
    await begun.reach(1)
    (group,) = await system.groups.list(topic)
    assert (group.name, group.since, group.keys, group.waiting, group.parked) == ("default", None, 1, 4, 0)
    assert 1 <= group.pending <= 4
    assert group.oldest_seconds is not None
    assert 0 <= group.oldest_seconds < 60
    assert topic in await system.groups.topics()
    release.set()
    await until_empty(system, topic)
    (group,) = await system.groups.list(topic)
    assert (group.keys, group.waiting, group.pending, group.oldest_seconds) == (0, 0, 0, None)


async def test_a_group_can_be_removed(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    for name in ("a", "b"):
        await system.subscribe(topic, Keys().take, durable=True, group=name).unsubscribe()
    other = await world.system()
    subscription = other.subscribe(topic, keys.take, durable=True, group="stays")
    await subscription.ready()
    for name in ("a", "b"):
        if name in {group.name for group in await system.groups.list(topic)}:
            await system.groups.remove(topic, name)
    with pytest.raises(NotFoundError):
        await system.groups.remove(topic, "a")
    await system.publish(topic, 1, key="k")
    await until(lambda: keys.count == 1)
    assert [group.name for group in await system.groups.list(topic)] == ["stays"]
    await subscription.unsubscribe()
    await system.publish(topic, 2, key="k")
    await system.groups.remove(topic, "stays")
    await system.subscribe(topic, keys.take, durable=True, group="later").ready()
    await until(lambda: keys.count == 2)


async def test_who_subscribes_to_a_group_that_is_removed_is_told_and_does_not_bring_it_back(
    world: World, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    system, keys = await world.system(), Keys()
    subscription = system.subscribe(topic, keys.take, durable=True, group="g", name="mine")
    await subscription.ready()
    await system.groups.remove(topic, "g")
    await until(lambda: subscription.closed)
    (told,) = [line for line in caplog.messages if "'mine'" in line]
    assert told.endswith(f"the subscription group 'g' of {topic!r} was removed; subscribe anew to have it again")
    assert not await system.groups.list(topic)
    await system.publish(topic, 1, key="k")
    await system.subscribe(topic, keys.take, durable=True, group="g").ready()
    await until(lambda: keys.count == 1)
