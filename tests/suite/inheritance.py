"""What a handler's own calls and events take over from what it handles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.suite.seen import Seen
from tests.suite.world import Feature, World, needs
from tieline import CallTimeoutError, Event, EventSystem, HandlerError, LoopDetectedError, RetryPolicy, current_event

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
places = pytest.mark.parametrize("here", [False, True], ids=["elsewhere", "here"])


def _facts(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "correlation": event.correlation_id,
        "causation": event.causation_id,
        "hops": event.hops,
        "headers": dict(event.headers),
    }


async def _chain(world: World, topic: str, here: bool) -> tuple[EventSystem, Seen]:
    """`topic.first` is handled by calling `topic.second` and publishing `topic.third`; the facts of all three."""
    first = await world.system()
    second = first if here else await world.system()
    seen = Seen()

    async def begin(data: Any, event: Event) -> None:
        seen.append(_facts(event))
        await first.publish_and_wait(f"{topic}.second", headers={"own": "1"})
        await first.publish(f"{topic}.third")

    async def note(data: Any, event: Event) -> None:
        seen.append(_facts(event))

    await first.subscribe(f"{topic}.first", begin).ready()
    for end in ("second", "third"):
        await second.subscribe(f"{topic}.{end}", note).ready()
    return first, seen


@places
@pytest.mark.parametrize("as_request", [True, False], ids=["request", "event"])
async def test_correlation_cause_trace_and_hops_are_inherited(
    world: World, topic: str, here: bool, as_request: bool
) -> None:
    system, seen = await _chain(world, topic, here)
    if as_request:
        await system.publish_and_wait(f"{topic}.first", headers={**TRACE, "mine": "x"}, correlation_id="order-7")
    else:
        await system.publish(f"{topic}.first", headers={**TRACE, "mine": "x"}, correlation_id="order-7")
    await seen.reach(3)
    first, second, third = seen
    assert first["hops"] == 0
    assert first["causation"] == ""
    assert first["headers"] == {**TRACE, "mine": "x"}
    assert second["headers"] == {**TRACE, "own": "1"}
    assert third["headers"] == TRACE
    for follower in (second, third):
        assert (follower["correlation"], follower["causation"]) == ("order-7", first["id"])
        assert follower["hops"] == 1


async def test_a_handler_may_give_headers_and_a_correlation_of_its_own(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def begin(data: Any) -> None:
        await system.publish(f"{topic}.next", headers={"traceparent": "mine"}, correlation_id="mine too")

    async def note(data: Any, event: Event) -> None:
        seen.append(_facts(event))

    await system.subscribe(f"{topic}.first", begin).ready()
    await system.subscribe(f"{topic}.next", note).ready()
    await system.publish_and_wait(f"{topic}.first", headers=TRACE, correlation_id="order-7")
    await seen.reach(1)
    assert seen[0]["headers"] == {"traceparent": "mine"}
    assert seen[0]["correlation"] == "mine too"


@places
async def test_a_chain_without_a_name_is_named_after_its_first_event(world: World, topic: str, here: bool) -> None:
    system, seen = await _chain(world, topic, here)
    receipt = await system.publish(f"{topic}.first")
    await seen.reach(3)
    assert {facts["correlation"] for facts in seen} == {receipt.id} == {receipt.correlation_id}
    assert seen[1]["causation"] == receipt.id


async def test_a_request_handled_elsewhere_keeps_its_identity(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()

    async def tell(data: Any, event: Event) -> Any:
        return [_facts(event), event.source]

    await system.subscribe(topic, tell).ready()
    facts, source = await caller.publish_and_wait(topic)
    assert facts["id"] == facts["correlation"]
    assert source == f"test/{caller.instance}"


@places
async def test_a_handler_that_publishes_what_it_handles_is_stopped(world: World, topic: str, here: bool) -> None:
    system, runs, errors = await world.system(), Seen(), Seen()
    other = system if here else await world.system()

    def echo_through(sender: EventSystem) -> Any:
        async def echo(data: Any) -> None:
            runs.append(data)
            try:
                await sender.publish(f"{topic}.{1 - data}", 1 - data)
            except LoopDetectedError as error:
                errors.append(error)

        return echo

    await system.subscribe(f"{topic}.0", echo_through(system)).ready()
    await other.subscribe(f"{topic}.1", echo_through(other)).ready()
    await system.publish(f"{topic}.0", 0)
    await errors.reach(1)
    await runs.stay(17)
    assert "16 handlers led" in errors[0].message


@places
async def test_calls_that_call_themselves_are_stopped(world: World, topic: str, here: bool) -> None:
    system, depth = await world.system(), Seen()
    caller = system if here else await world.system()

    async def recurse(data: int) -> Any:
        depth.append(data)
        return await caller.publish_and_wait(topic, data + 1)

    await system.subscribe(topic, recurse).ready()
    with pytest.raises(HandlerError) as caught:
        await caller.publish_and_wait(topic, 0)
    assert caught.value.details["code"] in ("LOOP_DETECTED", "HANDLER_ERROR")
    assert len(depth) == 17


@places
async def test_a_nested_call_ends_when_the_call_that_caused_it_does(world: World, topic: str, here: bool) -> None:
    outer, ended = await world.system(), Seen()
    inner = outer if here else await world.system()

    async def slow(data: Any, event: Event) -> None:
        assert event.remaining() <= 10
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("inner")

    async def asks(data: Any) -> None:
        try:
            await outer.publish_and_wait(f"{topic}.inner", ttl=30.0)
        finally:
            ended.append("outer")

    await inner.subscribe(f"{topic}.inner", slow).ready()
    await outer.subscribe(f"{topic}.outer", asks).ready()
    caller = await world.system()
    with pytest.raises((CallTimeoutError, HandlerError), match=r"TIMEOUT|no reply"):
        await caller.publish_and_wait(f"{topic}.outer", ttl=2.0)
    await ended.reach(2)


async def test_handlers_of_events_do_not_pass_on_their_expiry(world: World, topic: str) -> None:
    system, remaining = await world.system(), Seen()

    async def tell(data: Any, event: Event) -> None:
        remaining.append(event.remaining())

    async def asks(data: Any) -> None:
        await system.publish_and_wait(f"{topic}.inner", ttl=20.0)

    await system.subscribe(f"{topic}.inner", tell).ready()
    await system.subscribe(f"{topic}.outer", asks).ready()
    await system.publish(f"{topic}.outer", ttl=2.0, wait_local=True)
    assert remaining[0] > 15


async def test_the_current_event_is_the_handlers_own_and_nobody_elses(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def tell(data: Any) -> None:
        await asyncio.sleep(0.05)
        event = current_event()
        seen.append((data, event and event.data))

    await system.subscribe(topic, tell).ready()
    assert current_event() is None
    await asyncio.gather(*(system.publish(topic, n, wait_local=True) for n in range(10)))
    assert current_event() is None
    assert sorted(seen) == [(n, n) for n in range(10)]


async def test_what_is_published_after_a_handler_by_somebody_else_inherits_nothing(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def note(data: Any, event: Event) -> None:
        seen.append((event.hops, event.causation_id))

    await system.subscribe(topic, note).ready()
    for _ in range(2):
        await system.publish_and_wait(topic)
    assert seen == [(0, ""), (0, "")]


async def _traced(world: World, topic: str) -> tuple[EventSystem, EventSystem, Seen]:
    """Two systems, and the traces of what arrives on `topic.done`."""
    system, other, seen = await world.system(), await world.system(), Seen()

    async def note(data: Any, event: Event) -> None:
        seen.append(dict(event.headers))

    await system.subscribe(f"{topic}.done", note).ready()
    return system, other, seen


async def test_a_trace_goes_through_streams_gathers_and_batches(world: World, topic: str) -> None:
    system, other, seen = await _traced(world, topic)

    async def stream(data: Any) -> AsyncGenerator[int, None]:
        for number in range(2):
            await other.publish(f"{topic}.done", number)
            yield number

    async def answer(data: Any) -> None:
        await other.publish(f"{topic}.done", data)

    await other.subscribe(f"{topic}.stream", stream).ready()
    await other.subscribe(f"{topic}.gather", answer).ready()
    await other.subscribe(f"{topic}.batch", answer, batch=(1, 1.0)).ready()
    assert [item async for item in system.publish_and_stream(f"{topic}.stream", headers=TRACE)] == [0, 1]
    assert (await system.publish_and_gather(f"{topic}.gather", headers=TRACE)).complete
    await system.publish(f"{topic}.batch", headers=TRACE)
    await seen.stay(4)
    assert seen == [TRACE] * 4


@needs(Feature.DURABLE)
async def test_a_trace_goes_through_what_is_stored_tried_again_and_put_back(world: World, topic: str) -> None:
    system, other, seen = await _traced(world, topic)

    async def handle(data: Any, event: Event) -> None:
        await other.publish(f"{topic}.done")
        if event.delivery is not None and event.delivery.attempt < 3 and len(seen) < 4:
            raise LookupError("not yet")

    retry = RetryPolicy(max_attempts=2, backoff=0.001, jitter=False)
    await other.subscribe(f"{topic}.stored", handle, durable=True, retry=retry, on_poison="dead_letter").ready()
    await system.publish(f"{topic}.stored", key="k", headers=TRACE)
    while not (letters := await system.dead_letters.list(f"{topic}.stored")):
        await asyncio.sleep(0.01)
    await system.dead_letters.redrive(f"{topic}.stored", [letters[0].id])
    await seen.reach(3)
    await system.publish(f"{topic}.stored", durable=True, headers=TRACE, delay=0.05)
    await seen.reach(5)
    assert seen == [TRACE] * len(seen)
