"""What an event system counts, by a clock turned by hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from tests.suite.seen import until
from tieline import (
    CallTimeoutError,
    Event,
    EventSystem,
    NoRespondersError,
    OverloadedError,
    RetryPolicy,
    TielineError,
    blocking,
    testing,
)
from tieline._contract.contract import ASK_TOPIC, LIMIT_METRIC_GROUPS, LIMIT_METRIC_TOPICS, METRICS
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import EVENT
from tieline.figures.metrics import Figures, Metrics
from tieline.figures.tally import CALL, COUNTERS, LIVE, OTHER, Tally
from tieline.transport import Interest, Route


@pytest.fixture(params=[False, True], ids=["here", "elsewhere"])
async def events(request: pytest.FixtureRequest) -> AsyncIterator[testing.System]:
    async with testing.system(remote=request.param) as system:
        yield system


@pytest.fixture
async def local() -> AsyncIterator[testing.System]:
    async with testing.system() as system:
        yield system


def there(events: testing.System) -> Metrics:
    """What is counted where handlers are."""
    return (events.far or events).metrics()


def handled(figures: Figures) -> tuple[int, int, int, int, int]:
    """Pending, success, failed, expired, cancelled."""
    return (
        figures.pending_events,
        figures.success_events,
        figures.failed_events,
        figures.expired_events,
        figures.cancelled_events,
    )


async def test_a_handler_takes_as_long_as_it_takes(events: testing.System) -> None:
    @events.subscribe("slow")
    async def slow(data: Any, event: Event) -> None:
        await event.clock.sleep(2.5)

    call = asyncio.create_task(events.publish_and_wait("slow"))
    await events.clock.advance(1.0)
    assert handled(there(events).topics["slow"]) == (1, 0, 0, 0, 0)
    await events.clock.advance(1.5)
    await call
    told = there(events)
    assert handled(told.topics["slow"]) == (0, 1, 0, 0, 0)
    assert told.handle_time.sum == pytest.approx(2.5)
    assert told.average_latency == told.topics["slow"].average_latency == pytest.approx(2.5)
    assert told.calls.handle_time == told.handle_time
    trip = events.metrics().round_trip
    assert (trip.count, trip.sum) == (1, pytest.approx(2.5))


async def test_what_waits_for_a_handler_is_queued(events: testing.System) -> None:
    @events.subscribe("one", concurrency=1)
    async def one(data: Any, event: Event) -> None:
        await event.clock.sleep(2.0)

    for _ in range(3):
        await events.publish("one")
    await events.clock.advance(1.0)
    assert handled(there(events).live) == (3, 0, 0, 0, 0)
    await events.clock.advance(5.0)
    told = there(events).topics["one"]
    assert (told.queue_time.count, told.queue_time.sum, told.queue_time.max) == (3, pytest.approx(6.0), 4.0)
    assert (told.handle_time.count, told.handle_time.sum) == (3, pytest.approx(6.0))
    assert (told.total_events, events.metrics().live.published_events) == (3, 3)


async def test_the_way_to_another_process_is_queue_time() -> None:
    async with testing.system(remote=True) as events:
        events.subscribe("far", lambda data: data)
        events.faults.delay(3.0, "far", kind="event")
        events.faults.delay(4.0, "far", kind="request")
        await events.publish("far")
        call = asyncio.create_task(events.publish_and_wait("far"))
        await events.clock.advance(5.0)
        await call
        told = there(events)
        assert (told.live.queue_time.sum, told.calls.queue_time.sum) == (3.0, 4.0)
        assert events.metrics().round_trip.sum == pytest.approx(4.0)


async def test_a_call_that_is_answered_at_once_is_counted_all_the_same(events: testing.System) -> None:
    @events.subscribe("at.once", group="g")
    async def at_once(data: int) -> int:
        return data

    for number in range(3):
        await events.publish_and_wait("at.once", number)
    made = events.metrics()
    assert (made.calls.published_events, made.round_trip.count) == (3, 3)
    told = there(events)
    assert [(one.topic, one.group, one.delivered_events) for one in told.groups] == [("at.once", "g", 3)]
    assert told.queue_time.count == sum(told.queue_time.buckets) == told.handle_time.count == 3
    assert not made.errors


async def test_what_expires_in_the_queue_was_not_delivered(events: testing.System) -> None:
    @events.subscribe("one", concurrency=1)
    async def one(data: Any, event: Event) -> None:
        await event.clock.sleep(10.0)

    await events.publish("one")
    await events.publish("one", ttl=5.0)
    await events.clock.advance(20.0)
    assert handled(there(events).topics["one"]) == (0, 1, 0, 1, 0)
    assert there(events).expired_events == 1


async def test_a_call_that_times_out_is_an_error_here_and_stopped_there(events: testing.System) -> None:
    events.subscribe("slow", asyncio.Event().wait)
    call = asyncio.create_task(events.publish_and_wait("slow", ttl=5.0))
    await events.clock.advance(6.0)
    with pytest.raises(CallTimeoutError):
        await call
    await events.clock.advance(1.0)
    assert dict(events.metrics().errors) == {"TIMEOUT": 1}
    assert events.metrics().round_trip.count == 0
    assert handled(there(events).topics["slow"]) == (0, 0, 0, 0, 1)


async def test_a_call_that_is_given_up_is_counted(events: testing.System) -> None:
    events.subscribe("slow", asyncio.Event().wait)
    call = asyncio.create_task(events.publish_and_wait("slow"))
    await events.clock.settle()
    call.cancel()
    await events.clock.advance(1.0)
    assert dict(events.metrics().errors) == {"CANCELLED": 1}
    assert handled(there(events).topics["slow"]) == (0, 0, 0, 0, 1)


async def test_failures_of_every_kind_are_counted_once(
    events: testing.System, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    @events.subscribe("number")
    async def number(data: int) -> object:
        if data == 1:
            raise ValueError("no")
        await asyncio.sleep(0)
        return object() if data == 2 else data

    for data in ("text", 1, 2, 3):
        try:
            await events.publish_and_wait("number", data)
        except TielineError:
            continue
    assert handled(there(events).topics["number"]) == (0, 1, 3, 0, 0)
    assert dict(events.metrics().errors) == {"INVALID_PAYLOAD": 1, "HANDLER_ERROR": 2}
    assert events.metrics().calls.published_events == 4


async def test_what_has_to_give_way_was_dropped(local: testing.System, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    gate = asyncio.Event()
    local.subscribe("full", gate.wait, concurrency=1, queue=1)
    for _ in range(4):
        await local.publish("full")
    assert local.metrics().topics["full"].dropped_events == 2
    with pytest.raises(OverloadedError):
        await local.publish_and_wait("full")
    assert local.metrics().counters["overloads"] == 1
    gate.set()


async def test_events_of_a_pattern_count_under_their_own_topics_and_observers_do_not_count(
    events: testing.System,
) -> None:
    events.subscribe("user.*", lambda data: None, group="mail")
    events.subscribe("user.>", lambda data: None, observe=True)
    await events.publish("user.a")
    await events.publish("user.b")
    await events.clock.settle()
    told = there(events)
    assert [(one.topic, one.group, one.delivered_events) for one in told.groups] == [
        ("user.a", "mail", 1),
        ("user.b", "mail", 1),
    ]
    assert told.delivered_events == 2


async def test_what_a_filter_refuses_is_not_counted_for_its_handler(events: testing.System) -> None:
    events.subscribe("mine", lambda data: data, filter=lambda data: data == "mine")
    with pytest.raises(NoRespondersError):
        await events.publish_and_wait("mine", "yours")
    await events.publish("mine", "yours")
    await events.clock.settle()
    assert there(events).total_events == 0
    assert events.metrics().topics["mine"].published_events == 2
    assert dict(events.metrics().errors) == {"NO_RESPONDERS": 1}


async def test_what_an_observer_has_is_not_pending(events: testing.System) -> None:
    gate = asyncio.Event()
    events.subscribe("seen", gate.wait, observe=True)
    await events.publish("seen")
    await events.clock.settle()
    assert there(events).pending_events == 0
    gate.set()


async def test_collected_events_are_pending_until_their_batch_is_full(events: testing.System) -> None:
    events.subscribe("many", lambda data: None, batch=(10, 5.0))
    for _ in range(3):
        await events.publish("many")
    await events.clock.advance(1.0)
    assert there(events).topics["many"].pending_events == 3
    await events.clock.advance(5.0)
    assert handled(there(events).topics["many"]) == (0, 3, 0, 0, 0)
    assert there(events).queue_time.sum == pytest.approx(15.0, abs=0.01)


async def test_durable_events_count_apart_and_each_attempt_is_a_delivery(
    local: testing.System, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    @local.subscribe("order", durable=True)
    async def order(data: Any, event: Event) -> None:
        await event.clock.sleep(0.5)
        assert event.delivery is not None
        if event.delivery.attempt < 3:
            raise ValueError("not yet")

    await local.registered(local.subscriptions[0])
    await local.publish("order", 1, key="k", dedupe="one")
    await local.publish("order", 1, key="k", dedupe="one")
    await local.clock.advance(60.0)
    told = local.metrics()
    assert told.durable.published_events == 1
    assert (told.durable.delivered_events, told.durable.failed_events, told.durable.success_events) == (3, 2, 1)
    assert (told.durable.retried_events, told.durable.redelivered_events) == (2, 2)
    assert (told.durable.queue_time.count, told.durable.handle_time.sum) == (1, pytest.approx(1.5))
    assert told.counters["events_deduplicated"] == 1
    assert [(one.topic, one.group) for one in told.groups] == [("order", "default")]
    assert told.live.total_events == told.calls.total_events == 0


async def test_how_long_what_comes_once_more_was_away_is_no_queue_time(
    local: testing.System, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    retry = RetryPolicy(max_attempts=1)

    @local.subscribe("order", durable=True, retry=retry, on_poison="dead_letter")
    async def order(data: Any, event: Event) -> None:
        if not event.envelope.redriven:
            raise ValueError("not yet")

    await local.registered(local.subscriptions[0])
    await local.publish("order", 1, key="k")
    await local.clock.advance(3_600.0)
    await local.dead_letters.redrive("order")
    await local.clock.advance(1.0)
    local.subscribe("live", order)
    now = local.clock.now()
    for replay in ("", "r1"):
        envelope = Envelope(kind=EVENT, topic="live", time=now - 5_000, replay=replay, redriven=1)  # type: ignore[arg-type]
        local._instance.responder.event(Interest(Route.EVENT, "live"), envelope)
    await local.clock.settle()
    told = local.metrics()
    assert (told.durable.success_events, told.durable.queue_time.count, told.durable.queue_time.sum) == (1, 1, 0.0)
    assert (told.live.success_events, told.live.queue_time.count, told.live.queue_time.sum) == (2, 1, 5.0)


async def test_totals_are_the_sum_of_topics_and_of_kinds(local: testing.System) -> None:
    for topic in ("a", "b"):
        local.subscribe(topic, lambda data: data)
        await local.publish(topic)
        await local.publish_and_wait(topic)
    await until(lambda: local.metrics().pending_events == 0)  # synchronous handlers are in threads
    told = local.metrics()
    for figures in (told.topics.values(), (told.live, told.calls, told.durable), told.series):
        assert sum(one.total_events for one in figures) == told.total_events == 4
        assert sum(one.handle_time.count for one in figures) == told.handle_time.count == 4
    ended = told.delivered_events + told.expired_events + told.cancelled_events + told.dropped_events
    assert told.total_events == told.pending_events + ended


async def test_figures_do_not_change_any_more(local: testing.System) -> None:
    local.subscribe("a", lambda data: data)
    await local.publish_and_wait("a")
    told = local.metrics()
    await local.publish_and_wait("a")
    assert told.topics["a"].total_events == 1
    with pytest.raises(FrozenInstanceError):
        told.failed_events = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        told.topics["b"] = told.live  # type: ignore[index]
    with pytest.raises(TypeError):
        told.counters["gaps"] = 1  # type: ignore[index]


async def test_the_systems_own_questions_are_not_counted(events: testing.System) -> None:
    await events.services()
    await events.explain("nothing")
    events._instance.tally.call_failed(ASK_TOPIC, "TIMEOUT")
    for system in (events, events.far or events):
        assert system.metrics().series == ()
        assert not system.metrics().errors


async def test_a_gap_is_counted_where_the_link_broke() -> None:
    async with testing.system() as events:
        await events.faults.cut(events)
        told = events.metrics()
        assert (told.counters["disconnects"], told.gauges["connected"]) == (1, 0.0)
        await events.faults.restore(events)
        assert (events.metrics().counters["gaps"], events.metrics().gauges["connected"]) == (1, 1.0)


async def test_a_system_that_was_not_started_has_figures() -> None:
    told = EventSystem("memory://").metrics()
    assert (told.total_events, told.gauges["connected"], told.average_latency) == (0, 0.0, 0.0)
    assert told.since.timestamp() == pytest.approx(told.gauges["start_time_seconds"])


def test_without_await_the_figures_are_the_same() -> None:
    with blocking.EventSystem("memory://") as events:
        events.subscribe("a", lambda data: data)
        events.publish_and_wait("a", 1)
        assert events.metrics().calls.round_trip.count == 1
        assert 'tieline_events_published_total{topic="a",kind="call"} 1' in events.prometheus()


def test_beyond_the_bound_topics_are_counted_together() -> None:
    tally = Tally(0)
    for number in range(LIMIT_METRIC_TOPICS + 5):
        tally.live(f"t{number}").published += 1
        tally.live(f"t{number}").published += 1
    assert len(list(tally)) == LIMIT_METRIC_TOPICS + 1
    assert tally.series(OTHER, "", LIVE).published == 10
    assert tally.calls("t0").topic == "t0"


def test_beyond_the_bound_groups_are_counted_together() -> None:
    tally = Tally(0)
    for number in range(LIMIT_METRIC_GROUPS + 5):
        tally.series("a", f"g{number}", CALL).failed += 1
    assert len(list(tally)) == LIMIT_METRIC_GROUPS + 1
    assert tally.series("a", OTHER, CALL).failed == 5


def test_every_counter_without_labels_is_told_from_the_beginning() -> None:
    told = EventSystem("memory://").metrics()
    assert (
        set(told.counters) == set(COUNTERS) == {n for n, m in METRICS.items() if m.type == "counter" and not m.labels}
    )
    gauges = {name for name, spec in METRICS.items() if spec.type == "gauge" and not spec.labels}
    assert set(told.gauges) == {name for name in gauges if not name.startswith("recorder_")}


async def test_where_a_recorder_runs_its_figures_are_told() -> None:
    async with EventSystem("memory://") as events:
        async with await events.record("sqlite:///:memory:"):
            gauges = events.metrics().gauges
            assert [gauges[f"recorder_{name}"] for name in ("lag_seconds", "waiting", "lost")] == [0, 0, 0]
        assert not any(name.startswith("recorder_") for name in events.metrics().gauges)
