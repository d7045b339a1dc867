"""Planned events: published or stored when they are due, once, and looked after until then."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.suite.durable import AT_ONCE
from tests.suite.seen import Seen, Watch
from tests.suite.world import Feature, World, needs
from tieline import (
    ConflictError,
    Event,
    EventSystem,
    InvalidArgumentError,
    InvalidTopicError,
    NotFoundError,
    RetryPolicy,
    Schedule,
    ScheduleStatus,
)

SOON = 0.15
LATER = 3.0
"""Time enough for what a test does before, also on a machine that stands still for a while."""
DOUBT_MS = 2_000
"""What a client may be wrong by about the clock of a busy gateway; tests of single brokers are exact."""
HOUR = 3600.0
ONCE = RetryPolicy(max_attempts=1)
TOO_FAR = timedelta(days=3654)


class Due(Seen):
    """Remembers what came, and that nothing was early by the broker's clock."""

    async def note(self, data: Any, event: Event) -> None:
        assert event.scheduled is not None
        assert event.clock.now() + DOUBT_MS >= event.scheduled.timestamp() * 1000
        self.append(data)


async def ended(system: EventSystem, id: str) -> Schedule:
    """A schedule that is over."""
    while (schedule := await system.schedules.get(id)).status is ScheduleStatus.PENDING:
        await asyncio.sleep(0.01)
    return schedule


async def test_what_is_planned_is_explained(world: World, topic: str) -> None:
    planner, other, seen = await world.system(), await world.system(), Due()
    await other.subscribe(topic, seen.note).ready()
    soon = await planner.publish(topic, 1, delay=SOON, correlation_id=f"c-{topic}")
    late = await planner.publish(topic, 2, delay=HOUR)
    await seen.reach(1)
    await ended(other, soon.id)
    await other.schedules.cancel(late.id)
    source = f"test/{planner.instance}"
    for system in (planner, other):
        planned, fired = [step for step in (await system.explain(f"c-{topic}")).steps if "id" in step.detail]
        assert (planned.name, planned.source) == ("planned", source)
        assert (planned.detail["id"], planned.detail["due"]) == (soon.id, soon.due)
        assert (fired.name, fired.source, fired.detail) == ("fired", "broker", {"id": soon.id})
        assert {planned.topic, fired.topic} == {topic}
        told = (await system.explain(late.id)).steps
        assert [step.name for step in told] == ["planned", "cancelled"]
    later = await planner.publish(topic, 3, delay=HOUR)
    moved = await other.schedules.reschedule(later.id, delay=2 * HOUR)
    told = (await other.explain(later.id, ttl=30)).steps
    due = {step.source: step.detail["due"] for step in told}
    assert ({step.name for step in told}, due) == ({"planned"}, {source: later.due, "broker": moved.due})
    await other.schedules.cancel(later.id)
    await planner.aclose()
    told = (await other.explain(late.id)).steps  # the broker remembers it for those that are gone
    assert [(step.name, step.source) for step in told] == [("planned", source), ("cancelled", "broker")]


def moment_in(system: EventSystem, seconds: float) -> datetime:
    """A moment by the broker's clock."""
    return datetime.fromtimestamp(system.clock.now() / 1000 + seconds, UTC)


async def test_a_planned_event_is_published_when_it_is_due_to_everyone_once(world: World, topic: str) -> None:
    systems, seen, events = [await world.system() for _ in range(3)], Due(), Seen()
    for system in systems:
        await system.subscribe(topic, seen.note).ready()
    await systems[0].subscribe(f"{topic}.>", lambda event: None).ready()

    async def keep(_data: Any, event: Event) -> None:
        events.append(event)

    await systems[1].subscribe(topic, keep).ready()
    receipt = await systems[0].publish(topic, "later", delay=LATER, headers={"x": "1"})
    assert (receipt.overdue, receipt.stored) == (False, None)
    schedule = await systems[2].schedules.get(receipt.id)
    assert (schedule.status, schedule.due, schedule.topic, schedule.durable) == ("pending", receipt.due, topic, False)
    assert (schedule.event.data, schedule.ended, schedule.priority) == ("later", None, 5)
    await seen.stay(3)
    (event,) = events
    assert (event.id, event.scheduled, event.time) == (receipt.id, receipt.due, receipt.due)
    assert (event.headers, event.correlation_id, event.expires_at) == ({"x": "1"}, receipt.correlation_id, None)
    assert event.source == f"test/{systems[0].instance}"
    schedule = await ended(systems[0], receipt.id)
    assert schedule.status is ScheduleStatus.DELIVERED
    assert schedule.ended is not None
    assert schedule.ended >= schedule.due


async def test_groups_and_observers_get_what_was_planned(world: World, topic: str) -> None:
    planner, other, exact, wild, observed = await world.system(), await world.system(), Due(), Due(), Due()
    for system in (planner, other):
        await system.subscribe(f"{topic}.a", exact.note, group="exact").ready()
        await system.subscribe(f"{topic}.*", wild.note, group="wild").ready()
    await other.subscribe(f"{topic}.>", observed.note, observe=True).ready()
    for number in range(4):
        await planner.publish(f"{topic}.a", number, delay=SOON)
    await asyncio.gather(exact.stay(4), wild.stay(4), observed.stay(4))
    assert [sorted(seen) for seen in (exact, wild, observed)] == [[0, 1, 2, 3]] * 3


async def test_of_what_is_due_together_the_highest_priority_goes_first(world: World, topic: str) -> None:
    system, seen = await world.system(), Due()
    await system.subscribe(topic, seen.note, concurrency=1).ready()
    due = moment_in(system, LATER)
    for priority in (1, 8, 10, 5):
        await system.publish(topic, priority, at=due, priority=priority)
    await seen.stay(4)
    assert list(seen) == [10, 8, 5, 1]


async def test_more_than_one_look_takes_goes_out_once_each(world: World, topic: str) -> None:
    planner, other, seen = await world.system(), await world.system(), Due()
    await other.subscribe(topic, seen.note).ready()
    due = moment_in(planner, 1.0)
    await asyncio.gather(*(planner.publish(topic, number, at=due) for number in range(450)))
    await seen.stay(450)
    assert sorted(seen) == list(range(450))


@needs(Feature.DURABLE)
async def test_what_is_planned_can_be_stored_for_a_key_or_without_one(world: World, topic: str) -> None:
    system, seen = await world.system(), Due()
    stored = await system.publish(topic, "now", key="k")
    receipts = [
        await system.publish(topic, "key", key="k", delay=SOON),
        await system.publish(topic, "lane", durable=True, priority=8, delay=SOON),
    ]
    for receipt in receipts:
        schedule = await ended(system, receipt.id)
        assert (schedule.status, schedule.durable, schedule.error) == ("delivered", True, "")
    assert [(await system.schedules.get(receipt.id)).key for receipt in receipts] == ["k", ""]
    with pytest.raises(NotFoundError):
        await system.schedules.get(stored.id)

    async def take(data: Any, event: Event) -> None:
        seen.append((data, event.key, event.id))

    await system.subscribe(topic, take, durable=True).ready()
    await seen.stay(3)
    of_key = [data for data, key, _ in seen if key == "k"]
    assert of_key == ["now", "key"]
    assert {name for _, _, name in seen} == {stored.id, *(receipt.id for receipt in receipts)}


@needs(Feature.DURABLE)
async def test_what_was_planned_twice_under_one_name_is_stored_once(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.subscribe(topic, seen.take, durable=True).ready()
    receipts = [await system.publish(topic, data, key="k", dedupe="one", delay=SOON) for data in ("a", "b")]
    for receipt in receipts:
        assert (await ended(system, receipt.id)).status is ScheduleStatus.DELIVERED
    await seen.stay(1)


@needs(Feature.DURABLE)
async def test_what_finds_no_room_is_tried_again(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.publish(topic, 1, key="k")
    patient = RetryPolicy(max_attempts=50, backoff=0.8, cap=0.8)
    receipt = await system.publish(topic, 2, key="k", max_stored=1, delay=0, retry=patient)
    while (waiting := await system.schedules.get(receipt.id)).attempts < 2:
        await asyncio.sleep(0.01)
    assert (waiting.status, waiting.error) == ("pending", "its key or lane holds as many events as it may")
    assert receipt.due is not None
    assert waiting.due > receipt.due
    await system.subscribe(topic, seen.take, durable=True).ready()
    await seen.stay(2)
    assert (await ended(system, receipt.id)).status is ScheduleStatus.DELIVERED


@needs(Feature.DURABLE)
async def test_what_failed_for_good_can_be_retried(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    await system.publish(topic, 1, key="k")
    receipt = await system.publish(topic, 2, key="k", max_stored=1, delay=0, retry=ONCE)
    failed = await ended(system, receipt.id)
    assert (failed.status, failed.attempts) == ("failed", 1)
    assert failed.error == "its key or lane holds as many events as it may"
    assert receipt.id in [each.id for each in (await system.schedules.list("failed")).items]
    for refused in (system.schedules.cancel(receipt.id), system.schedules.reschedule(receipt.id, delay=1)):
        with pytest.raises(ConflictError, match="is failed"):
            await refused
    await system.subscribe(topic, seen.take, durable=True, retry=AT_ONCE).ready()
    await seen.reach(1)
    again = await system.schedules.retry(receipt.id, delay=SOON)
    assert again.status in ("pending", "delivered")
    await seen.stay(2)
    assert (await ended(system, receipt.id)).status is ScheduleStatus.DELIVERED
    with pytest.raises(ConflictError, match="it cannot be retried"):
        await system.schedules.retry(receipt.id)
    assert receipt.id not in [each.id for each in (await system.schedules.list("failed")).items]


async def test_what_is_cancelled_is_not_published(world: World, topic: str) -> None:
    system, other, seen = await world.system(), await world.system(), Due()
    await other.subscribe(topic, seen.note).ready()
    receipt = await system.publish(topic, "never", delay=LATER)
    cancelled = await other.schedules.cancel(receipt.id)
    assert (cancelled.status, cancelled.ended is not None) == ("cancelled", True)
    assert (await system.schedules.cancel(receipt.id)).status is ScheduleStatus.CANCELLED
    await system.publish(topic, "after", delay=LATER + 0.3)
    await seen.stay(1)
    assert list(seen) == ["after"]
    for refused in (system.schedules.reschedule(receipt.id, delay=1), system.schedules.retry(receipt.id)):
        with pytest.raises(ConflictError, match=r"is cancelled at .*, so it cannot be re"):
            await refused


async def test_what_is_pending_can_be_moved_and_what_is_over_cannot(world: World, topic: str) -> None:
    system, seen = await world.system(), Due()
    await system.subscribe(topic, seen.note).ready()
    sooner = await system.publish(topic, "sooner", delay=HOUR, ttl=60)
    later = await system.publish(topic, "later", delay=LATER)
    put_off = await system.schedules.reschedule(later.id, delay=HOUR)
    assert (put_off.status, put_off.event.scheduled) == ("pending", put_off.due)
    moved = await system.schedules.reschedule(sooner.id, at=moment_in(system, LATER + 0.3))
    assert moved.event.expires_at == moved.due + timedelta(seconds=60)
    assert sooner.due is not None
    assert moved.due < sooner.due
    await seen.stay(1)
    assert list(seen) == ["sooner"]
    await system.schedules.reschedule(later.id, at=datetime(2001, 1, 1, tzinfo=UTC))
    await seen.stay(2)
    with pytest.raises(ConflictError, match=r"is delivered at .*, so it cannot be rescheduled"):
        await system.schedules.reschedule(sooner.id, delay=1)
    with pytest.raises(ConflictError, match=r"is delivered at .*, so it cannot be cancelled"):
        await system.schedules.cancel(sooner.id)


async def test_a_moment_that_has_passed_is_now_and_is_told(world: World, topic: str) -> None:
    system, seen = await world.system(), Due()
    await system.subscribe(topic, seen.note).ready()
    past = await system.publish(topic, 1, at=datetime(2001, 1, 1, tzinfo=UTC))
    assert past.overdue
    assert past.due is not None
    assert past.due.year > 2001
    assert not (await system.publish(topic, 2, delay=0)).overdue
    await seen.stay(2)


async def test_the_time_to_live_of_a_planned_event_begins_when_it_is_due(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def note(_data: Any, event: Event) -> None:
        seen.append(event.expires_at)

    await system.subscribe(topic, note).ready()
    receipt = await system.publish(topic, 1, delay=SOON, ttl=20)
    await seen.stay(1)
    assert receipt.due is not None
    assert list(seen) == [receipt.due + timedelta(seconds=20)]


@needs(Feature.REDIS)
async def test_what_expires_while_nobody_fires_is_not_published(world: World, topic: str) -> None:
    planner, seen = await world.system(), Due()
    late = await planner.publish(topic, "late", delay=LATER, ttl=0.05)
    kept = await planner.publish(topic, "kept", delay=LATER)
    await planner.aclose()
    await asyncio.sleep(LATER + 0.5)
    system = world.make()
    await system.subscribe(topic, seen.note).ready()
    assert (await ended(system, late.id)).status is ScheduleStatus.EXPIRED
    assert (await ended(system, kept.id)).status is ScheduleStatus.DELIVERED


async def test_what_is_planned_survives_its_planner(world: World, topic: str) -> None:
    planner, other, seen = await world.system(), await world.system(), Due()
    await other.subscribe(topic, seen.note).ready()
    await planner.publish(topic, "left", delay=0.3)
    await planner.aclose()
    await seen.stay(1)


async def test_what_a_handler_plans_belongs_to_its_chain(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def plan(_data: Any, _event: Event) -> None:
        await system.publish(f"{topic}.later", 1, delay=SOON)

    async def note(_data: Any, event: Event) -> None:
        seen.append((event.correlation_id, event.causation_id, event.hops))

    await system.subscribe(topic, plan).ready()
    await system.subscribe(f"{topic}.later", note).ready()
    receipt = await system.publish(topic, 0)
    await seen.stay(1)
    assert list(seen) == [(receipt.correlation_id, receipt.id, 1)]


async def test_schedules_are_listed_a_page_at_a_time(world: World, topic: str) -> None:
    system = await world.system()
    before, counted = (await system.schedules.list("cancelled")).total, await system.schedules.figures()
    receipts = [await system.publish(topic, number, delay=HOUR + number) for number in range(5)]
    try:
        pages = [await system.schedules.list(page=page, limit=2) for page in (1, 2, 3)]
        assert [(page.total, page.page, page.limit) for page in pages] == [(5, number, 2) for number in (1, 2, 3)]
        listed = [each.id for page in pages for each in page.items]
        assert listed == [receipt.id for receipt in receipts]
        assert (await system.schedules.list(page=4, limit=2)).items == []
        for receipt in receipts:
            await system.schedules.cancel(receipt.id)
            await asyncio.sleep(0.002)
        cancelled = await system.schedules.list("cancelled", limit=5)
        assert cancelled.total == before + 5
        assert [each.id for each in cancelled.items] == [receipt.id for receipt in reversed(receipts)]
        assert (await system.schedules.list()).total == 0
        told = await system.schedules.figures()
        assert (told.planned - counted.planned, told.cancelled - counted.cancelled, told.pending) == (5, 5, 0)
    finally:
        for receipt in receipts:
            await system.schedules.cancel(receipt.id)


async def test_an_unknown_schedule_is_not_found(world: World) -> None:
    system = await world.system()
    schedules = system.schedules
    for asked in (
        schedules.get("none"), schedules.cancel("none"), schedules.reschedule("none", delay=1), schedules.retry("none"),
    ):  # fmt: skip
        with pytest.raises(NotFoundError, match="there is no schedule 'none'; what has ended is remembered for a day"):
            await asked


BAD: dict[str, dict[str, Any]] = {
    "delay is in seconds, from 0 to 315576000": {"delay": -0.001},
    "ten years.*nan": {"delay": math.nan},
    "ten years.*True": {"delay": True},
    "ten years.*'1'": {"delay": "1"},
    "ten years.*315576001": {"delay": 315_576_001},
    "give one of them": {"delay": 1, "at": datetime.now(UTC)},
    "a datetime with a time zone": {"at": datetime(2030, 1, 1)},  # noqa: DTZ001
    "a datetime with a time zone.*17": {"at": 17},
    "more than ten years ahead": {"at": datetime.now(UTC) + TOO_FAR},
    "not later": {"delay": 1, "wait_local": True},
    "wait for what is published now": {"delay": 1, "wait_replicas": 1},
    "add delay= or at=": {"retry": ONCE},
    "is a RetryPolicy": {"delay": 1, "retry": 3},
    "is to be stored": {"delay": 1, "retry": ONCE},
    "add key= or durable=True": {"delay": 1, "dedupe": "x"},
    "what is stored": {"delay": 1, "max_stored": 1},
    "priority": {"delay": 1, "priority": 3},
    "ttl": {"delay": 1, "ttl": -1},
}


@pytest.mark.parametrize("message", list(BAD))
async def test_what_cannot_be_planned_is_refused_and_changes_nothing(world: World, topic: str, message: str) -> None:
    system = await world.system()
    with pytest.raises(InvalidArgumentError, match=message):
        await system.publish(topic, 1, **BAD[message])
    assert (await system.schedules.list()).total == 0


async def test_a_delay_of_none_is_no_delay(world: World, topic: str) -> None:
    system = await world.system()
    assert (await system.publish(topic, 1, delay=None, at=None)).due is None
    assert (await system.schedules.list()).total == 0


async def test_nobody_plans_what_only_the_system_publishes(world: World) -> None:
    system = await world.system()
    for topic in ("system.x", "cron.task.x", "no good"):
        with pytest.raises(InvalidTopicError):
            await system.publish(topic, 1, delay=1)


async def test_questions_that_make_no_sense_are_refused(world: World) -> None:
    schedules = (await world.system()).schedules
    for asked in (
        schedules.get(""), schedules.get("x" * 256), schedules.cancel(7),  # pyright: ignore[reportArgumentType]
        schedules.list("gone"), schedules.list(page=0), schedules.list(limit=0), schedules.list(limit=1001),
        schedules.reschedule("x", delay=-1), schedules.retry("x", delay=math.inf),
    ):  # fmt: skip
        with pytest.raises(InvalidArgumentError):
            await asked
    with pytest.raises(InvalidArgumentError, match="say when: delay= or at="):
        await schedules.reschedule("x")


async def test_a_scheduler_that_closes_leaves_the_role_to_the_next_one(world: World, topic: str) -> None:
    other, seen, took = await world.system(), Due(), list[float]()
    await other.subscribe(topic, seen.note).ready()
    for number in range(5):
        system = await world.system()
        await system.publish(topic, number, delay=0.1)
        await asyncio.sleep(0.05)
        watch = Watch()
        await system.aclose()
        await seen.reach(number + 1)
        took.append(watch.seconds)
    assert min(took) < 2.5  # the lease of a role that nobody left is longer
