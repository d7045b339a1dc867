"""What event systems count, whatever carries their envelopes."""

from __future__ import annotations

import asyncio

import pytest

from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World, needs
from tieline import NoRespondersError


async def test_calls_are_counted_where_they_are_made_and_where_they_are_answered(world: World, topic: str) -> None:
    shop, prices = await world.system(), await world.system()

    async def price(data: int) -> int:
        await asyncio.sleep(0.02)
        return data

    await prices.subscribe(topic, price, group="g").ready()
    for number in range(3):
        await shop.publish_and_wait(topic, number)
    with pytest.raises(NoRespondersError):
        await shop.publish_and_wait(f"{topic}.nobody")
    made, answered = shop.metrics(), prices.metrics()
    assert (made.calls.published_events, made.round_trip.count, dict(made.errors)) == (4, 3, {"NO_RESPONDERS": 1})
    assert (made.total_events, answered.published_events) == (0, 0)
    (group,) = answered.groups
    assert (group.topic, group.group, group.success_events) == (topic, "g", 3)
    assert made.round_trip.sum > answered.handle_time.sum > 0.05
    assert answered.queue_time.count == 3
    assert answered.queue_time.max < 30.0


async def test_each_group_counts_its_copy_wherever_it_is_handled(world: World, topic: str) -> None:
    here, one, other = [await world.system() for _ in range(3)]
    seen = Seen()
    for system in (one, other):
        await system.subscribe(topic, seen.take, group="g").ready()
        await system.subscribe(topic, seen.take).ready()
    for number in range(10):
        await here.publish(topic, number)
    await seen.stay(30)
    live = [system.metrics().live for system in (one, other)]
    assert here.metrics().live.published_events == 10
    assert sum(figures.delivered_events for figures in live) == 30
    groups = [group for system in (one, other) for group in system.metrics().groups]
    assert sum(group.delivered_events for group in groups) == 10


async def test_what_waits_in_the_process_is_pending(world: World, topic: str) -> None:
    here, there, gate, begun = await world.system(), await world.system(), asyncio.Event(), Seen()

    async def held(data: int) -> None:
        begun.append(data)
        await gate.wait()

    await there.subscribe(topic, held, concurrency=1).ready()
    for number in range(3):
        await here.publish(topic, number)
    await until(lambda: there.metrics().pending_events == 3)
    gate.set()
    await until(lambda: there.metrics().live.success_events == 3)
    assert there.metrics().pending_events == 0


@needs(Feature.DURABLE)
async def test_stored_events_are_counted_and_prometheus_is_told_how_far_their_groups_are(
    world: World, topic: str
) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()
    subscription = there.subscribe(topic, seen.take, durable=True, group="g")
    await subscription.ready()
    await here.publish(topic, 1, key="k")
    await seen.reach(1)
    await until(lambda: there.metrics().durable.success_events == 1)
    await subscription.unsubscribe()
    for number in range(2):
        await here.publish(topic, number, key="k")
    assert here.metrics().durable.published_events == 3
    assert there.metrics().durable.queue_time.count == 1
    told = (await there.prometheus(groups=True)).splitlines()
    assert f'tieline_group_waiting{{topic="{topic}",group="g"}} 2' in told
    assert f'tieline_group_keys{{topic="{topic}",group="g"}} 1' in told
    assert f'tieline_events_delivered_total{{topic="{topic}",group="g",kind="durable"}} 1' in told
    assert "tieline_connected 1" in told
