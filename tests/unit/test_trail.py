"""What a process remembers of its calls, what it holds on to for that, and what it stores of failures."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from tieline import EventSystem, TielineError
from tieline._contract.envelope_pb2 import Trail as WireTrail
from tieline.transports.memory import MemoryBroker, MemoryTransport


async def fail(data: int) -> None:
    raise LookupError("no such row")


async def _stored(events: EventSystem, correlation_id: str) -> WireTrail:
    port = events._instance.port
    assert port is not None
    return WireTrail.FromString(await port.find_trail(correlation_id))


async def fail_later(data: int) -> None:
    await asyncio.sleep(0)
    raise LookupError("no such row")


@pytest.mark.parametrize("topic", ["here", "later", "elsewhere", "nobody"])
async def test_an_error_that_was_raised_is_not_kept(topic: str) -> None:
    broker = MemoryBroker()
    async with (
        EventSystem(transport=MemoryTransport(broker)) as events,
        EventSystem(transport=MemoryTransport(broker)) as other,
    ):
        events.subscribe("here", fail)
        events.subscribe("later", fail_later)
        await other.subscribe("elsewhere", fail_later).ready()
        with pytest.raises(TielineError) as caught:
            await events.publish_and_wait(topic, 1, correlation_id="c")
        error = weakref.ref(caught.value)
        del caught
        await asyncio.sleep(0)  # the step of the loop that raised it is over
        gc.collect()
        assert error() is None
        failed = (await events.explain("c")).steps[-1]
        assert (failed.name, bool(failed.detail["message"])) == ("failed", True)


async def test_each_step_is_stored_once_and_the_failing_call_first_of_all() -> None:
    async with EventSystem("memory://", service="shop") as events:
        events.subscribe("bad", fail)
        events.subscribe("good", lambda data: data)
        for failures in (1, 2):
            for number in range(200):
                await events.publish_and_wait("good", number, correlation_id="c")
            with pytest.raises(TielineError):
                await events.publish_and_wait("bad", 1, correlation_id="c")
            steps = (await _stored(events, "c")).steps
            assert steps[-1].name == "failed"
            assert len([step for step in steps if step.name == "failed"]) <= failures
        times = [(step.name, step.time, step.topic) for step in steps]
        assert len(times) > 50, "with as many of the steps before as there is room for"
        with pytest.raises(TielineError):
            await events.publish_and_wait("bad", 1, correlation_id="few")
        with pytest.raises(TielineError):
            await events.publish_and_wait("bad", 1, correlation_id="few")
        assert [step.name for step in (await _stored(events, "few")).steps] == ["routed_local", "failed"] * 2


async def test_of_a_chain_that_is_too_long_to_be_told_the_last_steps_are() -> None:
    topic = ".".join(letter * 60 for letter in "abcd")
    async with EventSystem("memory://", service="s" * 60) as events:

        async def long(data: int) -> None:
            raise ValueError("x" * 300)

        events.subscribe(topic, long, name="n" * 1_000)
        for number in range(999):
            with pytest.raises(TielineError):
                await events.publish_and_wait(topic, number, correlation_id="c")
        explained = await events.explain("c")
    assert explained.missing == []
    assert len(explained.steps) > 500
