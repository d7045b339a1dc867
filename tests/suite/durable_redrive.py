"""Dead letters that are put back by themselves: after a while, so often, and each once however many handle them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.suite.durable import AT_ONCE
from tests.suite.durable_retries import failing
from tests.suite.seen import Seen, Watch, until
from tests.suite.world import Feature, World
from tieline import DeadLetter, Event, EventSystem, InvalidArgumentError, RetryPolicy

NEEDS = frozenset({Feature.DURABLE})

ONCE = RetryPolicy(max_attempts=1, redrives=1, redrive_after=1.0)
TWICE = RetryPolicy(max_attempts=1, redrives=2, redrive_after=1.0)
ON_FAILURE: Any = {"durable": True, "on_poison": "dead_letter"}


async def letters_of(system: EventSystem, topic: str, redriven: int) -> list[DeadLetter]:
    """The dead letters of a topic, when there are some that were all put back so often."""
    while True:
        letters = await system.dead_letters.list(topic, limit=1000)
        if letters and all(letter.redriven == redriven for letter in letters):
            return letters
        await asyncio.sleep(0.01)


async def test_a_dead_letter_comes_back_so_often_and_then_stays(world: World, topic: str) -> None:
    system, seen, watch = await world.system(), Seen(), Watch()
    await system.subscribe(topic, failing(seen, 1), retry=TWICE, **ON_FAILURE).ready()
    receipt = await system.publish(topic, 1, key="k")
    await seen.reach(3)
    assert watch.seconds >= 2.0, "it lies for a second each time"
    (letter,) = await letters_of(system, topic, 2)
    assert (letter.event.id, letter.event.data, letter.event.key) == (receipt.id, 1, "k")
    assert (letter.redriven, letter.attempts) == (2, 1)
    await asyncio.sleep(1.5)
    await seen.stay(3)
    assert len(await system.dead_letters.list(topic)) == 1


async def test_a_dead_letter_whose_cause_is_gone_is_handled(world: World, topic: str) -> None:
    system, seen, mended = await world.system(), Seen(), False

    async def take(data: Any) -> None:
        seen.append(data)
        if not mended:
            raise LookupError("not yet")

    await system.subscribe(topic, take, retry=ONCE, **ON_FAILURE).ready()
    for number in range(3):
        await system.publish(topic, number, durable=True)
    await seen.reach(3)
    mended = True
    await seen.stay(6)
    assert Counter(seen) == {0: 2, 1: 2, 2: 2}
    assert await system.dead_letters.list(topic) == []


async def test_each_letter_comes_back_once_however_many_handle_the_topic(world: World, topic: str) -> None:
    seen, publisher = Seen(), await world.system()

    async def fail(data: Any) -> None:
        seen.append(data)
        raise LookupError("never")

    for _ in range(3):
        system = await world.system()
        await system.subscribe(topic, fail, retry=ONCE, **ON_FAILURE).ready()
    for number in range(150):
        await publisher.publish(topic, number, key=f"k{number % 7}")
    await seen.reach(300)
    await until_dead(publisher, topic, 150, redriven=1)
    await seen.stay(300)
    assert set(Counter(seen).values()) == {2}


async def until_dead(system: EventSystem, topic: str, count: int, *, redriven: int) -> None:
    """Wait until there are so many dead letters, all put back so often."""
    while len(await letters_of(system, topic, redriven)) < count:
        await asyncio.sleep(0.01)


async def test_nothing_comes_back_where_nobody_wants_it(world: World, topic: str) -> None:
    system, plain, wanted = await world.system(), Seen(), Seen()
    await system.subscribe(topic, failing(plain, 1), retry=AT_ONCE, group="by-hand", **ON_FAILURE).ready()
    await system.subscribe(topic, failing(wanted, 1), retry=ONCE, group="by-itself", **ON_FAILURE).ready()
    await system.publish(topic, 1, key="k")
    await wanted.reach(2)
    await until(lambda: len(plain) >= 3)
    await wanted.stay(2)
    await plain.stay(3)
    by_hand = await system.dead_letters.list(topic, group="by-hand")
    assert [letter.redriven for letter in by_hand] == [0]


async def test_what_was_rejected_stays_dead(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        seen.append(data)
        assert event.delivery is not None
        if data == "no":
            event.delivery.reject("no such card")
        raise LookupError("not yet")

    await system.subscribe(topic, take, retry=ONCE, **ON_FAILURE).ready()
    for data in ("no", "perhaps"):
        await system.publish(topic, data, durable=True)
    await seen.stay(2)
    await seen.stay(3)
    assert Counter(seen) == {"no": 1, "perhaps": 2}


async def test_a_letter_that_was_put_back_by_hand_remembers_that(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, failing(seen, 1), retry=AT_ONCE, **ON_FAILURE).ready()
    await system.publish(topic, 1, key="k")
    for redriven in range(3):
        (letter,) = await letters_of(system, topic, redriven)
        if redriven == 1:
            await system.dead_letters.edit(topic, letter.id, 1)
        else:
            await system.dead_letters.redrive(topic, letter.id)
    assert len(await letters_of(system, topic, 3)) == 1


async def test_what_died_while_nobody_ran_comes_back_at_once_if_it_has_lain_long_enough(
    world: World, topic: str
) -> None:
    system, seen, handled = await world.system(), Seen(), Seen()
    subscription = system.subscribe(topic, failing(seen, 1), retry=AT_ONCE, **ON_FAILURE)
    await subscription.ready()
    await system.publish(topic, 1, key="k")
    await letters_of(system, topic, 0)
    await subscription.unsubscribe()
    await asyncio.sleep(1.1)
    late = RetryPolicy(max_attempts=1, redrives=1, redrive_after=1.0)
    await (await world.system()).subscribe(topic, handled.take, durable=True, retry=late).ready()
    await handled.reach(1, seconds=10)


@pytest.mark.parametrize("wrong", [{"redrives": -1}, {"redrives": 1.5}, {"redrives": True}, {"redrive_after": 0.5}])
def test_redrives_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(wrong))} of a retry policy is "):
        RetryPolicy(**wrong)
