"""Responders in processes of their own that are killed, frozen, told to end, or have a wrong clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.failing_calls import CURIOUS
from tests.suite.seen import BUSY_SECONDS, Seen, Watch, until
from tests.suite.world import Feature, World, needs
from tieline import NoRespondersError, Outcome, ResponderLostError, Step, StepName

HOUR = 3_600.0
SHORT_LEASE = {"lease": 2.0, "lease_refresh": 0.5}


def _sleep(seconds: float) -> dict[str, Any]:
    return {"do": "sleep", "seconds": seconds}


@needs(Feature.PROCESSES)
async def test_kill_9_of_a_responder_ends_its_call_within_3_seconds(world: World, topic: str) -> None:
    steps = list[Step]()
    caller, peer = await world.system(observe=steps.append), await world.peer(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, _sleep(60)))
    await until(lambda: StepName.ACCEPTED in [step.name for step in steps])
    watch = Watch()
    peer.kill()
    with pytest.raises(ResponderLostError) as caught:
        await call
    assert watch.seconds < 3.0 + BUSY_SECONDS
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    assert caught.value.details["accepted"] is True
    assert f"instance {caught.value.details['instance']}, is gone" in caught.value.message
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic)


@needs(Feature.PROCESSES)
async def test_after_kill_9_an_idempotent_call_succeeds_elsewhere(world: World, topic: str) -> None:
    caller, peer = await world.system(settings=CURIOUS), await world.peer(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, _sleep(60), idempotent=True))
    await peer.line("^BEGUN")
    other = await world.system()
    await other.subscribe(topic, lambda data: "elsewhere").ready()
    peer.kill()
    assert await call == "elsewhere"


@needs(Feature.PROCESSES, Feature.OWN_LEASE)
async def test_a_frozen_responder_is_lost_when_its_lease_has_ended(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic, settings=SHORT_LEASE)
    call = asyncio.create_task(caller.publish_and_wait(topic, _sleep(60)))
    await peer.line("^BEGUN")
    watch = Watch()
    peer.stop()
    with pytest.raises(ResponderLostError, match="lease"):
        await call
    assert 0.5 < watch.seconds < SHORT_LEASE["lease"] + 2.0 + BUSY_SECONDS


@needs(Feature.PROCESSES, Feature.OWN_LEASE)
async def test_a_frozen_responder_that_wakes_in_time_answers(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, _sleep(1.5)))
    await peer.line("^BEGUN")
    peer.stop()
    await asyncio.sleep(2.0)
    assert not call.done()
    peer.cont()
    assert await call == "slept"


@needs(Feature.PROCESSES, Feature.OWN_LEASE)
async def test_idempotent_calls_that_a_frozen_responder_took_succeed_elsewhere(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic, settings=SHORT_LEASE)
    other = await world.system()
    await other.subscribe(topic, lambda data: "other").ready()
    peer.stop()
    calls = [caller.publish_and_wait(topic, {"do": "echo"}, idempotent=True) for _ in range(4)]
    assert await asyncio.gather(*calls) == ["other"] * 4


@needs(Feature.PROCESSES)
async def test_a_responder_told_to_end_finishes_what_it_runs(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, _sleep(0.7)))
    await peer.line("^BEGUN")
    peer.terminate()
    assert await call == "slept"
    assert await peer.wait() == 0
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic)


@needs(Feature.PROCESSES)
async def test_cancelling_a_call_stops_the_handler_in_the_other_process(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, _sleep(60)))
    await peer.line("^BEGUN")
    call.cancel()
    await peer.line("^CANCELLED")


@needs(Feature.PROCESSES)
@pytest.mark.parametrize("clock", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_a_clock_that_is_an_hour_wrong_changes_nothing(world: World, topic: str, clock: float) -> None:
    caller, peer, seen = await world.system(), await world.peer(topic, clock=clock), Seen()
    await caller.subscribe(f"{topic}.event", seen.take).ready()
    await caller.subscribe(f"{topic}.back", lambda data: data + 1).ready()
    assert await caller.publish_and_wait(topic, {"do": "echo", "value": 1}, ttl=20.0) == 1
    assert 30.0 < await caller.publish_and_wait(topic, {"do": "remaining"}, ttl=60.0) < 90.0
    assert await caller.publish_and_wait(topic, {"do": "call", "topic": f"{topic}.back", "value": 1}, ttl=20.0) == 2
    await caller.publish_and_wait(topic, {"do": "publish", "topic": f"{topic}.event", "value": "soon", "ttl": 20.0})
    await seen.reach(1)
    await caller.publish(topic, {"short": "life"}, ttl=20.0)
    await peer.line("^EVENT.*life")


@needs(Feature.PROCESSES)
async def test_a_call_nested_in_another_process_has_the_time_that_remains(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic)
    inner = await world.peer(f"{topic}.inner")
    nested = {"do": "call", "topic": f"{topic}.inner", "value": {"do": "remaining"}}
    assert 1.0 < await caller.publish_and_wait(topic, nested, ttl=10.0) <= 12.0
    assert peer.pid != inner.pid


@needs(Feature.PROCESSES)
async def test_three_processes_share_the_events_of_a_group(world: World, topic: str) -> None:
    publisher = await world.system()
    peers = [await world.peer(topic, group="g") for _ in range(3)]
    for number in range(30):
        await publisher.publish(topic, {"number": number})

    def counts() -> list[int]:
        return [len([line for line in peer.output if line.startswith("EVENT")]) for peer in peers]

    await until(lambda: sum(counts()) >= 30, say=lambda: str(counts()))
    await asyncio.sleep(0.3)
    assert counts() == [10, 10, 10]
