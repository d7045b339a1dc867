"""Bounds: what is refused, what gives way, and who hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.seen import QUIET_SECONDS, Seen, Watch, until
from tests.suite.world import World
from tieline import EventSystem, NoRespondersError, Outcome, OverloadedError, Settings, Step, StepName


class Stuck:
    """A handler that waits for its gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.began = Seen()

    async def handle(self, data: Any) -> Any:
        self.began.append(data)
        await self.gate.wait()
        return data


async def _full(world: World, topic: str, system: EventSystem | None = None) -> tuple[EventSystem, Stuck, Any]:
    """A responder that runs one request and has no room for another."""
    stuck, system = Stuck(), system or await world.system()
    await system.subscribe(topic, stuck.handle, concurrency=1, queue=0).ready()
    running = asyncio.create_task((await world.system()).publish_and_wait(topic, "first"))
    await stuck.began.reach(1)
    return system, stuck, running


async def test_a_full_responder_refuses_at_once_and_says_when_to_come_back(world: World, topic: str) -> None:
    _, stuck, running = await _full(world, topic)
    caller, watch = await world.system(), Watch()
    with pytest.raises(OverloadedError) as caught:
        await caller.publish_and_wait(topic, "second")
    assert watch.seconds < 10.0
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    assert caught.value.retryable
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after < 10
    stuck.gate.set()
    assert await running == "first"
    assert stuck.began == ["first"]


async def test_a_full_responder_in_the_callers_own_process_refuses_too(world: World, topic: str) -> None:
    system, stuck, running = await _full(world, topic)
    with pytest.raises(OverloadedError) as caught:
        await system.publish_and_wait(topic, "second")
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    assert caught.value.retry_after is not None
    stuck.gate.set()
    await running


async def test_without_room_here_one_refusal_from_elsewhere_is_not_the_end(world: World, topic: str) -> None:
    own, gates = await world.system(), list[Stuck]()
    for system in (await world.system(), own):  # so that our own turn comes between the other two
        gates.append(stuck := Stuck())
        await system.subscribe(topic, stuck.handle, concurrency=1, queue=0).ready()
    busy = [asyncio.create_task(own.publish_and_wait(topic, n)) for n in range(2)]
    for stuck in gates:
        await stuck.began.reach(1)
    await (await world.system()).subscribe(topic, lambda data: "free").ready()
    assert [await own.publish_and_wait(topic) for _ in range(4)] == ["free"] * 4
    for stuck in gates:
        stuck.gate.set()
    assert await asyncio.gather(*busy) == [0, 1]


async def test_what_one_responder_refuses_is_sent_to_another(world: World, topic: str) -> None:
    _, stuck, running = await _full(world, topic)
    other = await world.system()
    await other.subscribe(topic, lambda data: "other").ready()
    caller = await world.system()
    assert [await caller.publish_and_wait(topic, n) for n in range(6)] == ["other"] * 6
    stuck.gate.set()
    await running


async def test_what_there_is_no_room_for_here_is_sent_elsewhere(world: World, topic: str) -> None:
    steps = list[Step]()
    system, stuck, running = await _full(world, topic, await world.system(observe=steps.append))
    other = await world.system()
    await other.subscribe(topic, lambda data: "other").ready()
    steps.clear()
    assert [await system.publish_and_wait(topic) for _ in range(4)] == ["other"] * 4
    assert StepName.RECEIVED not in [step.name for step in steps], "it was not sent round to come back here"
    stuck.gate.set()
    await running


async def test_two_full_responders_are_asked_and_then_the_caller_is_told(world: World, topic: str) -> None:
    fulls = [await world.raw(), await world.raw(), await world.raw()]
    for raw in fulls:
        await raw.answers_to(topic)
    call = asyncio.create_task((await world.system()).publish_and_wait(topic))
    for count in (1, 2):
        await until(lambda count=count: sum(len(raw.requests) for raw in fulls) == count)
        raw = next(raw for raw in fulls if raw.requests and not getattr(raw, "refused", False))
        raw.refused = True  # type: ignore[attr-defined]
        error = {"code": 5, "message": "full", "outcome": 1, "retry_after_ms": 1_500}
        raw.reply(raw.requests[0], None, data=b"", error=error)
    with pytest.raises(OverloadedError, match="full") as caught:
        await call
    assert caught.value.retry_after == 1.5
    assert caught.value.from_wire
    assert sum(len(raw.requests) for raw in fulls) == 2


async def test_requests_wait_in_the_queue_in_their_order(world: World, topic: str) -> None:
    caller, system, stuck = await world.system(), await world.system(), Stuck()
    await system.subscribe(topic, stuck.handle, concurrency=1, queue=5).ready()
    mailbox = system.subscriptions[0].mailbox
    calls = []
    for number in range(6):
        calls.append(asyncio.create_task(caller.publish_and_wait(topic, number)))
        await until(lambda number=number: len(stuck.began) + len(mailbox.waiting) == number + 1)
    stuck.gate.set()
    assert await asyncio.gather(*calls) == list(range(6))
    assert stuck.began == list(range(6))


async def test_a_filter_refuses_a_request_as_if_nobody_answered(world: World, topic: str) -> None:
    system = await world.system()
    await system.subscribe(topic, lambda data: data, filter=lambda data: data == "mine").ready()
    for caller in (system, await world.system()):
        assert await caller.publish_and_wait(topic, "mine") == "mine"
        with pytest.raises(NoRespondersError) as caught:
            await caller.publish_and_wait(topic, "yours")
        assert caught.value.outcome is Outcome.NOT_DELIVERED


async def test_what_one_filter_refuses_another_responder_may_take(world: World, topic: str) -> None:
    callers = [await world.system() for _ in "abc"]
    for letter, system in zip("ab", callers, strict=False):
        await system.subscribe(topic, lambda data, who=letter: who, filter=lambda data, who=letter: data == who).ready()
    for caller in callers:
        assert [await caller.publish_and_wait(topic, letter) for letter in "abab"] == list("abab")
        with pytest.raises(NoRespondersError, match="filter"):
            await caller.publish_and_wait(topic, "c")


async def test_a_full_queue_drops_the_oldest_event_and_warns(world: World, topic: str) -> None:
    steps = list[Step]()
    publisher, system = await world.system(), await world.system(observe=steps.append)
    warner, stuck, warnings, marker = await world.system(), Stuck(), Seen(), Seen()
    await warner.subscribe("system.warning", warnings.take).ready()
    subscription = system.subscribe(topic, stuck.handle, concurrency=1, queue=2, name="slow one")
    await subscription.ready()
    await system.subscribe(topic, marker.take).ready()
    for number in range(6):
        await publisher.publish(topic, number, correlation_id=f"n{number}")
    await marker.reach(6)
    dropped = [step.correlation_id for step in steps if step.name == StepName.DROPPED]
    assert dropped == ["n1", "n2", "n3"], "who gave way, not who came"
    stuck.gate.set()
    await stuck.began.stay(3)
    assert stuck.began == [0, 4, 5]
    assert subscription.mailbox.dropped == 3
    await until(lambda: [w for w in warnings if w.get("topic") == topic])
    warning = next(w for w in warnings if w.get("topic") == topic)
    assert warning["kind"] == "slow_consumer"
    assert warning["subscription"] == "slow one"
    assert warning["dropped"] >= 1


async def test_warnings_come_at_most_once_a_second(world: World, topic: str) -> None:
    publisher, system, stuck, warnings = await world.system(), await world.system(), Stuck(), Seen()
    await publisher.subscribe("system.warning", warnings.take, filter=lambda data: data.get("topic") == topic).ready()
    await system.subscribe(topic, stuck.handle, concurrency=1, queue=0).ready()
    watch = Watch()
    for number in range(50):
        await publisher.publish(topic, number)
    await warnings.reach(1)
    await asyncio.sleep(QUIET_SECONDS)
    assert len(warnings) <= 1 + watch.seconds
    stuck.gate.set()


async def test_a_batch_that_gives_way_ends_for_those_who_wait_for_it(world: World, topic: str) -> None:
    system, stuck = await world.system(), Stuck()
    subscription = system.subscribe(topic, stuck.handle, batch=(10, 0.05), concurrency=1, queue=0)
    await subscription.ready()
    await system.publish(topic, 1)
    await stuck.began.reach(1)
    async with asyncio.timeout(10):
        await system.publish(topic, 2, wait_local=True)
    assert subscription.mailbox.dropped == 1
    stuck.gate.set()


async def test_more_pending_calls_than_allowed_are_refused(world: World, topic: str) -> None:
    caller, raw = await world.system(settings=Settings(pending_calls=3)), await world.raw()
    await raw.answers_to(topic)
    calls = [asyncio.create_task(caller.publish_and_wait(topic, n)) for n in range(3)]
    await raw.requests.reach(3)
    with pytest.raises(OverloadedError) as caught:
        await caller.publish_and_wait(topic, "one more")
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    for request in list(raw.requests):
        raw.reply(request, "done")
    assert await asyncio.gather(*calls) == ["done"] * 3
    call = asyncio.create_task(caller.publish_and_wait(topic, "room again"))
    await raw.requests.reach(4)
    raw.reply(raw.requests[3], "done")
    assert await call == "done"
