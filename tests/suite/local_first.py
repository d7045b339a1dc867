"""What can be served in this process is, without the broker."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.suite.seen import Seen
from tests.suite.world import World
from tieline import Step, StepName

REMOTE = {StepName.ROUTED_REMOTE, StepName.DISPATCHED, StepName.RECEIVED}


def _names(steps: list[Step], topic: str) -> list[StepName]:
    return [step.name for step in steps if step.topic == topic]


async def test_a_responder_here_is_called_without_the_broker(world: World, topic: str) -> None:
    elsewhere, steps = await world.system(), list[Step]()
    await elsewhere.subscribe(topic, lambda data: "elsewhere").ready()
    system = await world.system(observe=steps.append)
    await system.subscribe(topic, lambda data: "here").ready()
    assert [await system.publish_and_wait(topic) for _ in range(4)] == ["here"] * 4
    names = _names(steps, topic)
    assert names.count(StepName.ROUTED_LOCAL) == 4
    assert not REMOTE & set(names)


async def test_without_a_responder_here_the_broker_finds_one(world: World, topic: str) -> None:
    elsewhere, steps = await world.system(), list[Step]()
    await elsewhere.subscribe(topic, lambda data: "elsewhere").ready()
    system = await world.system(observe=steps.append)
    assert await system.publish_and_wait(topic) == "elsewhere"
    names = _names(steps, topic)
    assert StepName.ROUTED_REMOTE in names
    assert StepName.ROUTED_LOCAL not in names


async def test_a_responder_can_be_called_here_before_the_broker_has_confirmed_it(world: World, topic: str) -> None:
    system = await world.system()
    system.subscribe(topic, lambda data: "here")
    assert await system.publish_and_wait(topic) == "here"


async def test_an_event_comes_to_its_own_process_once_and_directly(world: World, topic: str) -> None:
    steps, seen = list[Step](), Seen()
    system = await world.system(observe=steps.append)
    await system.subscribe(topic, seen.take).ready()
    await system.publish(topic, 1, wait_local=True)
    assert seen == [1]
    await seen.stay(1)
    assert _names(steps, topic).count(StepName.HANDLED) == 1


async def test_who_calls_and_publishes_without_ever_waiting_lets_others_run(world: World, topic: str) -> None:
    system, turns = await world.system(), 0

    async def echo(data: Any) -> Any:
        return data

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    await system.subscribe(topic, echo).ready()
    running = asyncio.create_task(others())
    for number in range(2_000):
        assert await system.publish_and_wait(topic, number) == number
    calls, turns = turns, 0
    for number in range(2_000):
        await system.publish(topic, number)
    running.cancel()
    assert calls > 5
    assert turns > 5


async def test_local_handlers_run_in_a_task_and_context_of_their_own(world: World, topic: str) -> None:
    system, tasks = await world.system(), Seen()

    async def which(data: Any) -> None:
        tasks.append(asyncio.current_task())

    await system.subscribe(topic, which).ready()
    await system.publish_and_wait(topic)
    await system.publish(topic, wait_local=True)
    assert len({id(task) for task in [*tasks, asyncio.current_task()]}) == 3


async def test_a_local_call_ends_at_its_deadline_although_the_handler_goes_on(world: World, topic: str) -> None:
    steps = list[Step]()
    system = await world.system(observe=steps.append)
    await system.subscribe(topic, lambda data: data).ready()
    assert await system.publish_and_wait(topic, 5, ttl=5.0) == 5
    assert StepName.ROUTED_REMOTE not in _names(steps, topic)
