"""Observers see everything and answer nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.seen import Seen
from tests.suite.world import World, in_step
from tieline import Event, EventSystem, NoRespondersError, Step


class Observed(Seen):
    """What an observer saw: whether it was a request, and the payload."""

    async def note(self, data: Any, event: Event) -> str:
        self.append((event.is_request, event.topic.rpartition(".")[2], data))
        return "never an answer"


async def _observer(system: EventSystem, pattern: str, *others: EventSystem) -> Observed:
    observed = Observed()
    await system.subscribe(pattern, observed.note, observe=True).ready()
    for other in others:
        await in_step(other)
    return observed


@pytest.mark.parametrize("wild", [False, True], ids=["topic", "pattern"])
async def test_an_observer_sees_events_and_requests_between_others(world: World, topic: str, wild: bool) -> None:
    caller, responder, watcher = [await world.system() for _ in range(3)]
    await responder.subscribe(f"{topic}.a", lambda data: "answer").ready()
    observed = await _observer(watcher, f"{topic}.>" if wild else f"{topic}.a", caller)
    await caller.publish(f"{topic}.a", 1)
    assert await caller.publish_and_wait(f"{topic}.a", 2) == "answer"
    await observed.stay(2)
    assert observed == [(False, "a", 1), (True, "a", 2)]


async def test_an_observer_elsewhere_sees_what_is_served_locally(world: World, topic: str) -> None:
    system, watcher = await world.system(), await world.system()
    await system.subscribe(topic, lambda data: "answer").ready()
    observed = await _observer(watcher, topic, system)
    assert await system.publish_and_wait(topic, 1) == "answer"
    await system.publish(topic, 2, wait_local=True)
    await observed.stay(2)
    assert [(request, data) for request, _, data in observed] == [(True, 1), (False, 2)]


async def test_an_observer_here_sees_what_is_served_locally(world: World, topic: str) -> None:
    system = await world.system()
    await system.subscribe(topic, lambda data: "answer").ready()
    observed = await _observer(system, topic)
    assert await system.publish_and_wait(topic, 1) == "answer"
    await system.publish(topic, 2)
    await observed.stay(2)


async def test_an_observer_by_reference_sees_what_is_served_locally(world: World, topic: str) -> None:
    system, observed = await world.system(), Seen()
    await system.subscribe(topic, lambda data: "answer").ready()
    await system.subscribe(topic, observed.take, observe=True, by_reference=True).ready()
    await system.publish(topic, {"number": 1})
    assert await system.publish_and_wait(topic, {"number": 2}) == "answer"
    await observed.stay(2)
    assert observed == [{"number": 1}, {"number": 2}]


async def test_an_observer_at_the_caller_sees_what_is_served_elsewhere(world: World, topic: str) -> None:
    caller, responder = await world.system(), await world.system()
    await responder.subscribe(topic, lambda data: "answer").ready()
    observed = await _observer(caller, topic)
    assert await caller.publish_and_wait(topic, 1) == "answer"
    await caller.publish(topic, 2)
    await observed.stay(2)
    assert [(request, data) for request, _, data in observed] == [(True, 1), (False, 2)]


async def test_an_observer_at_the_responder_sees_a_request_once(world: World, topic: str) -> None:
    caller, responder = await world.system(), await world.system()
    await responder.subscribe(topic, lambda data: "answer").ready()
    observed = await _observer(responder, topic, caller)
    assert await caller.publish_and_wait(topic, 1) == "answer"
    await observed.stay(1)


async def test_an_observer_sees_a_request_once_however_often_it_is_sent(world: World, topic: str) -> None:
    caller, watcher = await world.system(), await world.system()
    observed = await _observer(watcher, topic, caller)
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic, 1, wait_for_responders=0.4)
    await observed.stay(1)


async def test_an_observer_does_not_serve_a_group(world: World, topic: str) -> None:
    publisher, watcher, member, seen = await world.system(), await world.system(), await world.system(), Seen()
    await member.subscribe(topic, seen.take, group="g").ready()
    observed = await _observer(watcher, topic, publisher)
    for number in range(4):
        await publisher.publish(topic, number)
    await observed.stay(4)
    await seen.stay(4)


async def test_a_failing_observer_disturbs_nobody(world: World, topic: str) -> None:
    system = await world.system()

    async def fails(data: Any) -> None:
        raise RuntimeError("the observer's own problem")

    await system.subscribe(topic, fails, observe=True).ready()
    await system.subscribe(topic, lambda data: "answer").ready()
    assert await system.publish_and_wait(topic) == "answer"
    await asyncio.sleep(0)


async def test_an_observer_that_leaves_sees_nothing_more(world: World, topic: str) -> None:
    publisher, watcher = await world.system(), await world.system()
    observed = await _observer(watcher, topic, publisher)
    await publisher.publish(topic, 1)
    await observed.reach(1)
    await watcher.subscriptions[0].unsubscribe()
    await publisher.publish(topic, 2)
    await observed.stay(1)


async def test_a_function_that_is_told_steps_and_raises_disturbs_nobody(world: World, topic: str) -> None:
    def tell(step: Step) -> None:
        raise ValueError("never mind")

    here, there = await world.system(observe=tell), await world.system(observe=tell)
    await there.subscribe(topic, lambda data: data).ready()
    assert await here.publish_and_wait(topic, 1) == 1
    assert await there.publish_and_wait(topic, 2) == 2
    assert here.connected
    assert there.connected
