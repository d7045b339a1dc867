"""Durable events that fail: tried again in their place, given up in the end, and found again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

import pytest

from tests.suite.durable import AT_ONCE, Keys, freeze
from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World
from tieline import ConflictError, Event, InvalidArgumentError, RetryPolicy, Settings
from tieline.durable.lease import Lease

NEEDS = frozenset({Feature.DURABLE})


def failing(seen: Seen, bad: Any, times: int = 10**9) -> Any:
    """A handler that remembers, and raises so many times for one payload."""

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))
        if data == bad and event.delivery.attempt <= times:
            raise LookupError("not yet")

    return take


async def test_a_key_waits_for_the_retry_of_its_head_and_others_do_not(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    retry = RetryPolicy(max_attempts=5, backoff=1.0, cap=1.0, jitter=False)
    await system.subscribe(topic, failing(seen, "a1", 1), durable=True, retry=retry).ready()
    for data in ("a1", "a2", "b1", "b2"):
        await system.publish(topic, data, key=data[0])
    await seen.reach(5)
    order = [data for data, _ in seen]
    assert [data for data in order if data[0] == "a"] == ["a1", "a1", "a2"]
    assert order.index("b2") < len(order) - 2, "the other key did not wait"
    assert [attempt for data, attempt in seen if data == "a1"] == [1, 2]


async def test_what_failed_before_is_not_begun_by_who_lost_it_and_that_is_no_failure(world: World, topic: str) -> None:
    settings = Settings(lease=0.5, lease_refresh=0.1)
    slow, other = await world.system(settings=settings), await world.system(settings=settings)
    seen, others, begun, release = Seen(), Seen(), asyncio.Event(), asyncio.Event()
    subscription = slow.subscribe(topic, failing(seen, 1), durable=True, retry=AT_ONCE)
    await subscription.ready()
    consumer = subscription.consumer
    assert consumer is not None
    begins = consumer.begins

    async def late(lease: Lease) -> bool:
        freeze(consumer)
        begun.set()
        await release.wait()
        return await begins(lease)

    consumer.begins = late  # type: ignore[method-assign]
    await slow.publish(topic, 1, key="k")
    await begun.wait()
    await other.subscribe(topic, failing(others, 2), durable=True).ready()
    await others.reach(1)
    release.set()
    await others.stay(1)
    assert (list(seen), list(others)) == ([(1, 1)], [(1, 2)])


async def test_what_was_given_out_together_with_a_head_that_failed_comes_after_it(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    for number in range(1, 7):
        await system.publish(topic, number, key="k")
    await system.subscribe(topic, failing(seen, 2, 2), durable=True, retry=AT_ONCE).ready()
    await seen.stay(8)
    assert list(seen) == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1), (5, 1), (6, 1)]


async def test_a_head_that_fails_right_behind_a_rejected_one_is_tried_again(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))
        if data == 1:
            event.delivery.reject()
        if data == 2 and event.delivery.attempt == 1:
            raise LookupError("not yet")

    for number in range(1, 5):
        await system.publish(topic, number, key="k")
    await system.subscribe(topic, take, durable=True, retry=AT_ONCE).ready()
    await seen.stay(5)
    assert list(seen) == [(1, 1), (2, 1), (2, 2), (3, 1), (4, 1)]


async def test_after_the_last_attempt_the_key_is_parked_and_others_flow(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, failing(seen, "a1"), durable=True, retry=AT_ONCE).ready()
    for data in ("a1", "a2", "b1"):
        await system.publish(topic, data, key=data[0])
    await seen.stay(4)
    assert sorted(seen) == [("a1", 1), ("a1", 2), ("a1", 3), ("b1", 1)]
    await system.publish(topic, "a3", key="a")
    await system.publish(topic, "b2", key="b")
    await seen.stay(5)
    assert seen[-1] == ("b2", 1)


async def test_a_dead_letter_lets_its_key_go_on(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, failing(seen, "a1"), durable=True, retry=AT_ONCE, on_poison="dead_letter").ready()
    for data in ("a1", "a2", "a3"):
        await system.publish(topic, data, key="a")
    await seen.stay(5)
    assert list(seen) == [("a1", 1), ("a1", 2), ("a1", 3), ("a2", 1), ("a3", 1)]


async def test_what_was_claimed_with_a_failed_event_follows_it(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    for data in ("a1", "a2", "a3", "a4"):
        await system.publish(topic, data, key="a")
    retry = RetryPolicy(max_attempts=2, backoff=0.0, cap=0.0)
    await system.subscribe(topic, failing(seen, "a2"), durable=True, retry=retry, on_poison="skip").ready()
    await seen.stay(5)
    assert list(seen) == [("a1", 1), ("a2", 1), ("a2", 2), ("a3", 1), ("a4", 1)]


async def test_poison_can_be_skipped(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, failing(seen, "a1"), durable=True, retry=AT_ONCE, on_poison="skip").ready()
    for data in ("a1", "a2"):
        await system.publish(topic, data, key="a")
    await seen.stay(4)
    assert seen[-1] == ("a2", 1)


async def test_an_event_without_key_is_tried_again_while_others_go_on(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    retry = RetryPolicy(max_attempts=2, backoff=0.5, cap=0.5, jitter=False)
    await system.subscribe(topic, failing(seen, 0, 1), durable=True, retry=retry).ready()
    for number in range(3):
        await system.publish(topic, number, durable=True)
    await seen.stay(4)
    assert seen[-1] == (0, 2)
    assert sorted(seen[:3]) == [(0, 1), (1, 1), (2, 1)]


async def test_a_handler_may_ask_for_another_attempt_later(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((time.monotonic(), event.delivery.attempt))
        if event.delivery.attempt == 1:
            event.delivery.nack(delay=0.7)

    await system.subscribe(topic, take, durable=True).ready()
    await system.publish(topic, 1, key="k")
    await seen.stay(2)
    (first, _), (second, attempt) = seen
    assert attempt == 2
    assert second - first >= 0.65


async def test_a_handler_may_reject(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))
        if data == 1:
            event.delivery.reject("no such card")

    await system.subscribe(topic, take, durable=True).ready()
    for number in (1, 2):
        await system.publish(topic, number, key="k")
    await seen.stay(2)
    assert list(seen) == [(1, 1), (2, 1)]


async def test_what_was_acknowledged_early_is_not_handled_again_although_the_handler_raises(
    world: World, topic: str
) -> None:
    system, seen, outcomes = await world.system(), Seen(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append(data)
        event.delivery.ack()
        for say in (event.delivery.nack, event.delivery.reject):
            try:
                say()
            except ConflictError:
                outcomes.append("too late")
        raise LookupError("afterwards")

    await system.subscribe(topic, take, durable=True, retry=AT_ONCE).ready()
    for number in (1, 2):
        await system.publish(topic, number, key="k")
    await seen.stay(2)
    assert list(outcomes) == ["too late"] * 4


async def test_a_delivery_that_is_over_refuses(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, lambda data, event: seen.append(event.delivery), durable=True).ready()
    for number in (1, 2):
        await system.publish(topic, number, key="k")
    await seen.reach(2)
    delivery = seen[0]
    for say in (delivery.ack, delivery.nack, delivery.reject, delivery.extend):
        with pytest.raises(ConflictError):
            say()


async def test_a_delay_that_is_none_is_refused(world: World, topic: str) -> None:
    system, refused = await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        for delay in (-1, float("nan"), "5", 10**9):
            try:
                event.delivery.nack(delay=delay)  # type: ignore[arg-type]
            except InvalidArgumentError:
                refused.append(delay)

    await system.subscribe(topic, take, durable=True).ready()
    await system.publish(topic, 1, key="k")
    await refused.stay(4)


async def test_a_handler_that_takes_too_long_is_stopped_and_its_event_tried_again(world: World, topic: str) -> None:
    system, seen, stopped = await world.system(), Seen(), Seen()

    async def hang(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))
        if event.delivery.attempt == 1:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                stopped.append(data)
                raise

    await system.subscribe(topic, hang, durable=True, timeout=0.3, retry=AT_ONCE).ready()
    for number in (1, 2):
        await system.publish(topic, number, key="k")
    await seen.stay(3)
    assert list(seen) == [(1, 1), (1, 2), (2, 1)]
    assert list(stopped) == [1]


@pytest.mark.parametrize("options", [{}, {"batch": (5, 0.05)}], ids=["one by one", "in batches"])
async def test_a_handler_whose_own_work_was_cancelled_has_failed(
    world: World, topic: str, options: dict[str, Any]
) -> None:
    system, seen = await world.system(), Seen()

    async def wait_for_what_is_cancelled(data: Any) -> None:
        seen.append(data)
        work = asyncio.create_task(asyncio.sleep(3600))
        work.cancel()
        await work

    await system.subscribe(topic, wait_for_what_is_cancelled, durable=True, retry=AT_ONCE, **options).ready()
    await system.publish(topic, 1, key="k")
    await seen.stay(AT_ONCE.max_attempts)
    (letter,) = await system.parked.list(topic)
    assert str(letter.error) == "HANDLER_ERROR: CancelledError: what the handler waited for was cancelled"


async def test_a_timeout_that_a_handler_made_light_of_is_not_kept_for_the_next_one(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def shrug(data: Any) -> None:
        if data == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        elif data == 2:
            seen.append("cancelled itself")
            raise asyncio.CancelledError
        seen.append(data)

    retry = RetryPolicy(max_attempts=1)
    for number in (1, 2, 3):
        await system.publish(topic, number, key="k")
    await system.subscribe(topic, shrug, durable=True, timeout=0.3, retry=retry, on_poison="dead_letter").ready()
    await seen.stay(3)
    assert list(seen) == [1, "cancelled itself", 3]


async def test_a_handler_that_says_so_may_take_longer(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def work(data: Any, event: Event) -> None:
        assert event.delivery is not None
        for _ in range(8):
            await asyncio.sleep(0.1)
            event.delivery.extend()
        seen.append((data, event.delivery.attempt))

    await system.subscribe(topic, work, durable=True, timeout=0.5).ready()
    await system.publish(topic, 1, key="k")
    await seen.stay(1)
    assert seen[0] == (1, 1)


async def test_a_payload_that_does_not_fit_is_not_tried_again(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def strict(data: int) -> None:
        seen.append(data)

    retry = RetryPolicy(max_attempts=5, backoff=0.0, cap=0.0)
    await system.subscribe(topic, strict, durable=True, retry=retry, on_poison="dead_letter").ready()
    await system.publish(topic, "text", key="k")
    await system.publish(topic, 2, key="k")
    await seen.stay(1)
    assert list(seen) == [2]


async def test_an_expired_event_is_not_handled(world: World, topic: str) -> None:
    system, keys = await world.system(), Keys()
    await system.publish(topic, "old", key="k", ttl=0.05)
    await system.publish(topic, "new", key="k", ttl=60.0)
    await asyncio.sleep(0.2)
    await system.subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 1)
    assert keys.seen["k"] == ["new"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_attempts": 0}, "is a whole number of at least 1, not 0"),
        ({"max_attempts": 1.5}, "is a whole number of at least 1, not 1.5"),
        ({"max_attempts": True}, "is a whole number of at least 1, not True"),
        ({"backoff": -1.0}, "is in seconds, from 0 to 2592000, not -1.0"),
        ({"backoff": 10.0, "cap": 5.0}, "is at most its cap, not 10.0 and 5.0"),
        ({"cap": float("inf")}, "is in seconds, from 0 to 2592000, not inf"),
        ({"backoff": float("nan")}, "is in seconds, from 0 to 2592000, not nan"),
        ({"backoff": "5"}, "is in seconds, from 0 to 2592000, not '5'"),
        ({"jitter": "no"}, "is True or False, not 'no'"),
        ({"jitter": 0}, "is True or False, not 0"),
    ],
)
async def test_a_retry_policy_that_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        RetryPolicy(**options)
    assert caught.value.message == f"{next(iter(options))} of a retry policy {says}"


async def test_a_retry_is_told_with_its_key_its_pause_and_its_attempt(
    world: World, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tieline")
    system, seen = await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))
        if data == "slow" and event.delivery.attempt == 2:
            event.delivery.nack(1.5)
        elif event.delivery.attempt < 3:
            raise LookupError("not yet")

    retry = RetryPolicy(max_attempts=3, backoff=0.05, cap=0.05, jitter=False)
    await system.subscribe(topic, take, durable=True, retry=retry, name="taker").ready()
    await system.publish(topic, "slow", key="k")
    await system.publish(topic, "quick", durable=True)
    await seen.stay(6)
    lines = [line.rpartition(": ")[0] for line in caplog.messages if " tried again " in line and topic in line]
    what = f"an event of {topic!r}"
    assert sorted(line.partition(": ")[0] for line in lines) == [
        f"{what} is tried again in 50 ms, after attempt 1 of 3",
        f"{what} is tried again in 50 ms, after attempt 2 of 3",
        f"{what} with key 'k' is tried again in 1.5 s, after attempt 2 of 3",
        f"{what} with key 'k' is tried again in 50 ms, after attempt 1 of 3",
    ]


async def test_why_a_handler_asked_for_another_attempt_is_told_by_the_dead_letter(world: World, topic: str) -> None:
    system = await world.system()

    def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        event.delivery.nack(0, f"{data} is closed")

    retry = RetryPolicy(max_attempts=2, backoff=0, cap=0)
    await system.subscribe(topic, take, durable=True, retry=retry).ready()
    await system.publish(topic, "the shop", durable=True)
    async with asyncio.timeout(30):
        while not (letters := await system.dead_letters.list(topic)):
            await asyncio.sleep(0.02)
    (letter,) = letters
    assert (letter.error.type, letter.error.message, letter.attempts) == ("Nacked", "the shop is closed", 2)


async def test_pauses_double_up_to_the_cap() -> None:
    policy = RetryPolicy(backoff=1.0, cap=5.0, jitter=False)
    assert [policy.pause(failures) for failures in (1, 2, 3, 4, 99)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    jittered = [RetryPolicy(backoff=1.0, cap=5.0).pause(2) for _ in range(200)]
    assert all(0 <= pause <= 2.0 for pause in jittered)
    assert len(set(jittered)) > 100


async def test_nothing_more_is_handled_once_a_handler_closes_its_system(world: World, topic: str) -> None:
    system, seen, others = await world.system(), Seen(), Seen()

    async def close(data: Any) -> None:
        seen.append(data)
        await system.aclose()

    for number in range(4):
        await system.publish(topic, number, key="k")
        await system.publish(topic, number, key=f"k{number}")
    await system.subscribe(topic, close, durable=True, concurrency=1).ready()
    await seen.reach(1)
    other = await world.system()
    await other.subscribe(topic, others.take, durable=True).ready()
    await others.reach(7)
    assert len(seen) == 1
