"""Retry policies: what is tried again, what is not, and never past the deadline."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from tests.suite.seen import Watch, until
from tests.suite.world import World
from tieline import (
    CallTimeoutError,
    EventSystem,
    ExpiredError,
    HandlerError,
    InvalidArgumentError,
    InvalidPayloadError,
    NoRespondersError,
    OverloadedError,
    Retry,
    Step,
    StepName,
    current_event,
)
from tieline.envelope import REPLY, error_to_wire

QUICK = Retry(attempts=4, base=0.01, cap=0.02)
HERE = pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])


class Flaky:
    """A handler that raises so many times."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error
        self.runs = 0

    async def handle(self, data: Any) -> int:
        self.runs += 1
        if self.runs <= self.failures:
            raise self.error
        return self.runs


async def _pair(world: World, topic: str, here: bool, handler: Any, **options: Any) -> EventSystem:
    caller = await world.system(**options)
    await (caller if here else await world.system()).subscribe(topic, handler).ready()
    return caller


@HERE
@pytest.mark.parametrize("failures", [0, 1])
async def test_a_timeout_tells_the_seconds_that_were_given(world: World, topic: str, here: bool, failures: int) -> None:
    flaky = Flaky(failures, ValueError("not yet"))

    async def slow(data: Any) -> None:
        await flaky.handle(data)
        await asyncio.sleep(30)

    caller = await _pair(world, topic, here, slow)
    retry = Retry(attempts=4, base=0.01, cap=0.02, when=lambda error: True)
    with pytest.raises(CallTimeoutError, match=r" 0\.3 s$") as caught:
        await caller.publish_and_wait(topic, ttl=0.3, retry=retry, idempotent=True)
    assert ("the last of 2 tries" in caught.value.message) == (failures > 0)


async def test_who_is_not_there_yet_is_asked_again(world: World, topic: str) -> None:
    steps: list[Step] = []
    caller, responder = await world.system(observe=steps.append), await world.system()
    call = asyncio.create_task(caller.publish_and_wait(topic, 1, retry=Retry(attempts=200, base=0.05, cap=0.05)))
    await until(lambda: StepName.RETRIED in [step.name for step in steps])
    await responder.subscribe(topic, lambda data: data + 1).ready()
    assert await call == 2
    retried = [step for step in steps if step.name == "retried"]
    assert retried
    assert {step.detail["code"] for step in retried} == {"NO_RESPONDERS"}
    assert len({step.correlation_id for step in steps if step.topic == topic}) == 1


async def test_so_many_tries_and_no_more(world: World, topic: str) -> None:
    steps: list[Step] = []
    caller = await world.system(observe=steps.append)
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic, retry=QUICK)
    assert sum(step.name == "retried" for step in steps) == 3


@HERE
async def test_what_a_handler_raised_is_not_tried_again(world: World, topic: str, here: bool) -> None:
    flaky = Flaky(1, LookupError("once"))
    caller = await _pair(world, topic, here, flaky.handle)
    for idempotent in (False, True):
        flaky.runs = 0
        with pytest.raises(HandlerError):
            await caller.publish_and_wait(topic, retry=QUICK, idempotent=idempotent)
        assert flaky.runs == 1


@HERE
async def test_what_an_idempotent_call_raised_is_tried_again_where_the_policy_says_so(
    world: World, topic: str, here: bool
) -> None:
    flaky = Flaky(2, LookupError("twice"))
    caller = await _pair(world, topic, here, flaky.handle)
    policy = Retry(attempts=4, base=0.01, cap=0.02, when=lambda error: error.type == "LookupError")
    assert await caller.publish_and_wait(topic, retry=policy, idempotent=True) == 3
    flaky.runs = 0
    with pytest.raises(HandlerError):
        await caller.publish_and_wait(topic, retry=policy)
    assert flaky.runs == 1


async def test_a_last_try_that_reached_nobody_does_not_hide_that_an_earlier_one_ran(world: World, topic: str) -> None:
    caller, responder = await world.system(), await world.system()

    async def once(data: Any) -> None:
        await responder.subscriptions[0].unsubscribe()
        raise LookupError("once")

    await responder.subscribe(topic, once).ready()
    policy = Retry(attempts=3, base=0.1, cap=0.1, when=lambda error: error.type == "LookupError")
    with pytest.raises(NoRespondersError) as caught:
        await caller.publish_and_wait(topic, retry=policy, idempotent=True)
    assert caught.value.outcome == "MAY_HAVE_RUN"


async def test_what_may_have_run_is_tried_again_only_if_that_does_no_harm(world: World, topic: str) -> None:
    raw = await (await world.raw()).answers_to(topic)
    caller = await world.system()

    def refuse(times: int) -> None:
        for request in raw.requests[-times:]:
            error = error_to_wire(OverloadedError("full", retry_after=0.01))
            raw.reply(request, None, kind=REPLY, error=error)

    call = asyncio.create_task(caller.publish_and_wait(topic, retry=QUICK))
    for count in (1, 2, 3):
        await raw.requests.reach(count)
        refuse(1)
    await raw.requests.reach(4)
    raw.reply(raw.requests[3], "at last")
    assert await call == "at last"


async def test_bad_input_is_not_tried_again(world: World, topic: str) -> None:
    runs = 0

    async def strict(data: int) -> None:
        nonlocal runs
        runs += 1

    caller = await _pair(world, topic, False, strict)
    with pytest.raises(InvalidPayloadError):
        await caller.publish_and_wait(topic, "no number", retry=QUICK, idempotent=True)
    assert runs == 0


async def test_no_try_is_made_that_would_begin_after_the_deadline(world: World, topic: str) -> None:
    caller, watch = await world.system(), Watch()
    with pytest.raises((NoRespondersError, CallTimeoutError)) as caught:
        await caller.publish_and_wait(topic, ttl=0.5, retry=Retry(attempts=1_000, base=0.1, cap=0.1))
    if isinstance(caught.value, CallTimeoutError):  # the last try had but a moment left
        assert "the last of" in caught.value.message
    assert watch.seconds < 5.0


async def test_all_tries_share_one_deadline(world: World, topic: str) -> None:
    remaining: list[float] = []

    async def slow(data: Any) -> None:
        event = current_event()
        assert event is not None
        remaining.append(event.remaining())
        await asyncio.sleep(0.8)
        raise LookupError

    caller, watch = await _pair(world, topic, False, slow), Watch()
    policy = Retry(attempts=100, base=0.0, cap=0.0, when=lambda error: True)
    with pytest.raises((HandlerError, CallTimeoutError, ExpiredError)):
        await caller.publish_and_wait(topic, ttl=3.0, retry=policy, idempotent=True)
    assert watch.seconds < 10.0
    assert 2 <= len(remaining) <= 4
    assert remaining == sorted(remaining, reverse=True)


async def test_the_pause_is_at_least_what_the_other_side_asked_for() -> None:
    error = OverloadedError("full", retry_after=3.0)
    assert QUICK.pause(1, error) == 3.0
    pauses = [Retry(base=1.0, cap=4.0, attempts=99).pause(made, NoRespondersError()) for made in range(1, 60)]
    assert all(pause is not None and 0 <= pause <= 4.0 for pause in pauses)
    assert len(set(pauses)) > 50, "full jitter"
    assert QUICK.pause(4, error) is None


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"base": -1.0},
        {"base": 2.0, "cap": 1.0},
        {"attempts": 1.5},
        {"attempts": True},
        {"attempts": "3"},
        {"base": "x"},
        {"cap": None},
        {"base": math.nan},
        {"when": "always"},
        {"when": asyncio.sleep},
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="retry policy"):
        Retry(**options)
