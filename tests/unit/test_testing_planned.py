"""The testing kit and planned events: they fire while the clock is turned, and the recorder has them as planned."""

from __future__ import annotations

from typing import Any

import pytest

from tieline import RetryPolicy, ScheduleStatus, testing

HOUR = 3_600.0


@pytest.mark.parametrize("remote", [False, True])
async def test_what_is_planned_fires_in_its_order_while_the_clock_is_turned(remote: bool) -> None:
    async with testing.system(remote=remote) as events:
        seen = list[tuple[str, float]]()
        start = events.clock.now()

        async def note(data: str) -> None:
            seen.append((data, (events.clock.now() - start) / 1000))

        events.subscribe("t", note)
        events.subscribe("t", note, durable=True)
        for data, delay, options in (("c", 3 * HOUR, {}), ("a", 1.0, {"key": "k"}), ("b", 2.5, {})):
            await events.publish("t", data, delay=delay, **options)
        await events.clock.advance(2.0)
        assert seen == [("a", 1.0)]
        await events.clock.advance(4 * HOUR)
        assert seen == [("a", 1.0), ("b", 2.5), ("c", 3 * HOUR)]


async def test_what_a_planned_event_causes_happens_before_the_next_one() -> None:
    async with testing.system() as events:
        seen = list[str]()

        async def remind(data: int) -> None:
            seen.append(f"remind {data}")
            await events.publish("mail", data)
            if data < 3:
                await events.publish("remind", data + 1, delay=60)

        events.subscribe("remind", remind)
        events.subscribe("mail", lambda data: seen.append(f"mail {data}"))
        await events.publish("remind", 1, delay=60)
        await events.publish("mail", 9, delay=90)
        await events.clock.advance(600)
        assert seen == ["remind 1", "mail 1", "mail 9", "remind 2", "mail 2", "remind 3", "mail 3"]


async def test_a_retry_that_is_due_and_a_planned_event_come_in_their_order() -> None:
    async with testing.system() as events:
        seen = list[str]()

        async def fail_once(data: str) -> None:
            seen.append(data)
            if seen.count(data) == 1:
                raise OSError

        retry = RetryPolicy(max_attempts=2, backoff=10.0, cap=10.0, jitter=False)
        events.subscribe("t", fail_once, durable=True, retry=retry)
        events.subscribe("t", seen.append)
        await events.publish("t", "stored", key="k", delay=1)
        await events.publish("t", "live", delay=5)
        await events.clock.advance(60)
        assert seen == ["stored", "live", "stored"]


async def test_the_recorder_has_what_was_planned_once_whatever_becomes_of_it() -> None:
    async with testing.system() as events:
        fired = await events.publish("order.remind", 7, delay=60, headers={"x": "1"})
        cancelled = await events.publish("order.drop", 7, delay=60)
        events.recorder.assert_published("order.remind", 7, times=1, headers={"x": "1"})
        await events.schedules.cancel(cancelled.id)
        await events.clock.advance(60)
        events.recorder.assert_published("order.*", times=2)
        events.recorder.assert_order("order.remind", "order.drop")
        assert (await events.schedules.get(fired.id)).status is ScheduleStatus.DELIVERED
        assert (await events.schedules.get(cancelled.id)).status is ScheduleStatus.CANCELLED


async def test_what_is_refused_is_neither_planned_nor_recorded() -> None:
    async with testing.system() as events:
        options: dict[str, Any] = {"delay": -1}
        with pytest.raises(Exception, match="delay is in seconds"):
            await events.publish("t", 1, **options)
        events.recorder.assert_not_published()
        assert (await events.schedules.list()).total == 0


async def test_a_planned_event_travels_and_meets_faults() -> None:
    async with testing.system(remote=True) as events:
        seen = list[int]()
        events.subscribe("t", seen.append)
        events.faults.lose("t", times=1)
        for number in (1, 2):
            await events.publish("t", number, delay=number)
        await events.clock.advance(5)
        assert seen == [2]
