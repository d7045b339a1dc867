"""Calls that go well: who answers, how many at once, and what else arrives meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from tests.suite.seen import QUIET_SECONDS, Seen, Watch, until
from tests.suite.world import Feature, World, needs
from tieline import CallTimeoutError, ExpiredError, NoRespondersError, Settings
from tieline.codec import encode
from tieline.envelope import ACCEPTED, REPLY, REQUEST, error_from_wire, new_call_id
from tieline.errors import HandlerError, Outcome


async def test_a_call_returns_what_the_handler_elsewhere_returned(world: World, topic: str) -> None:
    here, there = await world.system(), await world.system()

    async def add(numbers: list[int]) -> int:
        return sum(numbers)

    await there.subscribe(topic, add).ready()
    assert await here.publish_and_wait(topic, [1, 2, 3, 4, 5]) == 15


async def test_responders_take_turns_whatever_their_group(world: World, topic: str) -> None:
    caller = await world.system()
    for index in range(3):
        system = await world.system()
        await system.subscribe(topic, lambda data, index=index: index, group=f"g{index}" if index else "").ready()
    answers = [await caller.publish_and_wait(topic) for _ in range(9)]
    assert sorted(answers) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


async def test_subscriptions_of_one_instance_take_turns(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()
    for index in range(3):
        await system.subscribe(topic, lambda data, index=index: index).ready()
    assert sorted([await caller.publish_and_wait(topic) for _ in range(6)]) == [0, 0, 1, 1, 2, 2]


async def test_only_one_responder_runs_a_request(world: World, topic: str) -> None:
    caller, ran = await world.system(), Seen()
    for _ in range(3):
        await (await world.system()).subscribe(topic, ran.take).ready()
    await caller.publish_and_wait(topic, 1)
    await ran.stay(1)


async def test_ten_thousand_calls_at_once_are_answered_each_with_its_own(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()
    gate = asyncio.Event()

    async def slow(data: int) -> int:
        await gate.wait()
        return data * 2

    await system.subscribe(topic, slow, concurrency=10_000).ready()
    calls = [asyncio.create_task(caller.publish_and_wait(topic, number, ttl=160.0)) for number in range(10_000)]
    running = system.subscriptions[0].mailbox.running
    await until(lambda: len(running) == 10_000, 120.0, lambda: str(len(running)))
    gate.set()
    assert await asyncio.gather(*calls) == [number * 2 for number in range(10_000)]


async def test_nobody_answers_is_told_at_once(world: World, topic: str) -> None:
    caller, watch = await world.system(settings=Settings(responders_grace=60.0)), Watch()
    with pytest.raises(NoRespondersError, match=topic) as caught:
        await caller.publish_and_wait(topic, ttl=20.0)
    assert watch.seconds < 10.0
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    assert caught.value.retryable


@needs(Feature.REDIS)
async def test_nobody_answers_is_told_at_once_although_a_monitor_listens(world: World, topic: str) -> None:
    assert world.place.redis is not None
    _, monitor = await asyncio.open_connection("127.0.0.1", world.place.redis.port)
    try:
        monitor.write(b"PSUBSCRIBE *\r\n")
        await until(lambda: world.place.redis.command("PUBSUB", "NUMPAT") != ":0")  # type: ignore[union-attr]
        caller, gone = await world.system(settings=Settings(responders_grace=60.0)), await world.system()
        await gone.subscribe(topic, Seen().take).ready()
        await gone.aclose()
        watch = Watch()
        with pytest.raises(NoRespondersError):
            await caller.publish_and_wait(topic, ttl=20.0)
        assert watch.seconds < 10.0
    finally:
        monitor.close()


@pytest.mark.parametrize("options", [{"observe": True}, {"batch": (5, 0.2)}], ids=["observer", "batch"])
async def test_observers_and_batches_never_answer(world: World, topic: str, options: dict[str, Any]) -> None:
    caller, system = await world.system(), await world.system()
    await system.subscribe(topic, Seen().take, **options).ready()
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic)


async def test_wildcard_subscriptions_never_answer(world: World, topic: str) -> None:
    system = await world.system()
    await system.subscribe(f"{topic}.*", Seen().take).ready()
    await system.subscribe(f"{topic}.>", Seen().take, group="g").ready()
    for caller in (system, await world.system()):
        with pytest.raises(NoRespondersError):
            await caller.publish_and_wait(f"{topic}.a")


async def test_a_call_can_wait_for_its_responder(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()
    call = asyncio.create_task(caller.publish_and_wait(topic, 1, wait_for_responders=20.0))
    await asyncio.sleep(0.2)
    assert not call.done()
    await system.subscribe(topic, lambda data: data + 1).ready()
    assert await call == 2


async def test_a_call_waits_for_its_responder_no_longer_than_it_said(world: World, topic: str) -> None:
    caller, watch = await world.system(), Watch()
    with pytest.raises(NoRespondersError) as caught:
        await caller.publish_and_wait(topic, wait_for_responders=0.4)
    assert caught.value.message == f"nobody answers {topic!r} after 0.4 s: start a subscriber of it"
    assert 0.35 <= watch.seconds < 10.0


async def test_a_call_that_waits_for_its_responder_until_its_deadline_says_that_nobody_answers(
    world: World, topic: str
) -> None:
    caller, watch = await world.system(settings=Settings(redispatch=20.0)), Watch()
    with pytest.raises(NoRespondersError) as caught:
        await caller.publish_and_wait(topic, wait_for_responders=20.0, ttl=0.4)
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    assert watch.seconds < 10.0


async def test_no_reply_in_time_is_a_timeout_and_the_call_may_have_run(world: World, topic: str) -> None:
    caller, raw, watch = await world.system(), await world.raw(), Watch()
    await raw.answers_to(topic)
    with pytest.raises(CallTimeoutError) as caught:
        await caller.publish_and_wait(topic, ttl=1.0)
    assert 0.95 <= watch.seconds < 10.0
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    assert not caught.value.details["accepted"]
    assert not caught.value.retryable
    assert isinstance(caught.value, TimeoutError)


async def test_a_responder_that_takes_long_says_that_it_accepted(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()

    async def slow(data: Any) -> None:
        await asyncio.sleep(30.0)

    await system.subscribe(topic, slow).ready()
    with pytest.raises(CallTimeoutError) as caught:
        await caller.publish_and_wait(topic, ttl=2.0)
    assert caught.value.details["accepted"]


async def test_a_quick_responder_does_not_say_that_it_accepted(world: World, topic: str) -> None:
    raw, system = await world.raw(), await world.system(settings=Settings(accept_after=1.0))
    await system.subscribe(topic, lambda data: data).ready()
    raw.port.dispatch(raw.envelope(REQUEST, topic, 1), "")
    await raw.answers.reach(1)
    await asyncio.sleep(1.2)
    assert [answer.kind for answer in raw.answers] == [REPLY]


async def test_accepted_is_said_once_and_before_the_reply(world: World, topic: str) -> None:
    raw, system = await world.raw(), await world.system()

    async def slow(data: Any) -> None:
        await asyncio.sleep(0.5)

    await system.subscribe(topic, slow).ready()
    request, watch = raw.envelope(REQUEST, topic, 1), Watch()
    raw.port.dispatch(request, "")
    await raw.answers.reach(1)
    assert watch.seconds >= 0.24
    await raw.answers.stay(2)
    assert [(answer.kind, answer.call_id) for answer in raw.answers] == [
        (ACCEPTED, request.call_id),
        (REPLY, request.call_id),
    ]


async def test_a_request_that_has_expired_is_refused_and_not_run(world: World, topic: str) -> None:
    raw, system, ran = await world.raw(), await world.system(), Seen()
    await system.subscribe(topic, ran.take).ready()
    now = raw.port.clock.now()
    raw.port.dispatch(raw.envelope(REQUEST, topic, 1, time=now - 9_000, ttl_ms=5_000, expires_at=now - 4_000), "")
    await raw.answers.reach(1)
    error = error_from_wire(raw.answers[0].error)
    assert isinstance(error, ExpiredError)
    assert error.outcome is Outcome.NOT_DELIVERED
    assert ran == []


async def test_a_request_that_expires_while_it_waits_is_not_run(world: World, topic: str) -> None:
    caller, system, ran, gate = await world.system(), await world.system(), Seen(), asyncio.Event()

    async def slow(data: int) -> None:
        ran.append(data)
        await gate.wait()

    await system.subscribe(topic, slow, concurrency=1).ready()
    first = asyncio.create_task(caller.publish_and_wait(topic, 1))
    await ran.reach(1)
    with pytest.raises(CallTimeoutError):
        await caller.publish_and_wait(topic, 2, ttl=0.2)
    await asyncio.sleep(0.3)
    gate.set()
    await first
    await ran.stay(1)


async def test_late_duplicate_and_unknown_replies_change_nothing(world: World, topic: str) -> None:
    caller, raw = await world.system(), await world.raw()
    await raw.answers_to(topic)
    with pytest.raises(CallTimeoutError):
        await caller.publish_and_wait(topic, ttl=1.0)
    late = await raw.request()
    call = asyncio.create_task(caller.publish_and_wait(topic, ttl=10.0))
    await raw.requests.reach(2)
    wanted = raw.requests[1]
    raw.reply(late, "late")
    raw.reply(wanted, "unknown", call_id=new_call_id())
    raw.reply(wanted, "of nothing", call_id=b"")
    raw.reply(wanted, "wrong kind", kind=REQUEST)
    await asyncio.sleep(QUIET_SECONDS)
    assert not call.done()
    raw.reply(wanted, "right")
    raw.reply(wanted, "duplicate")
    assert await call == "right"
    assert await _still_answers(world, caller, topic)


async def _still_answers(world: World, caller: Any, topic: str) -> bool:
    system = await world.system()
    await system.subscribe(f"{topic}.still", lambda data: data).ready()
    return await caller.publish_and_wait(f"{topic}.still", "here") == "here"


async def test_a_forged_reply_without_the_call_id_ends_nothing(world: World, topic: str) -> None:
    caller, honest, forger = await world.system(), await world.raw(), await world.raw()
    await honest.answers_to(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, ttl=10.0))
    request = await honest.request()
    for guess in range(200):
        forger.reply(request, "forged", call_id=guess.to_bytes(16, "big"))
    forger.reply(request, "forged", call_id=request.call_id[:-1])
    await asyncio.sleep(QUIET_SECONDS)
    assert not call.done()
    honest.reply(request, "honest")
    assert await call == "honest"


async def test_a_reply_that_cannot_be_read_is_an_error_of_a_call_that_ran(world: World, topic: str) -> None:
    caller, raw = await world.system(), await world.raw()
    await raw.answers_to(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, ttl=10.0))
    raw.reply(await raw.request(), None, data=encode([1, 2, 3])[:-1])
    with pytest.raises(ValueError, match="INVALID_PAYLOAD") as caught:
        await call
    assert caught.value.outcome is Outcome.RAN  # type: ignore[attr-defined]


async def test_an_error_of_an_unknown_code_is_internal_and_says_the_number(world: World, topic: str) -> None:
    caller, raw = await world.system(), await world.raw()
    await raw.answers_to(topic)
    call = asyncio.create_task(caller.publish_and_wait(topic, ttl=10.0))
    raw.reply(await raw.request(), None, error={"code": 4711, "message": "from the future", "outcome": 99})
    with pytest.raises(Exception, match="from the future") as caught:
        await call
    assert getattr(caught.value, "code", "") == "INTERNAL"
    assert getattr(caught.value, "details", {}) == {"number": 4711}
    assert getattr(caught.value, "outcome", None) is Outcome.MAY_HAVE_RUN


async def test_a_reply_may_be_nothing(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()
    await system.subscribe(topic, Seen().take).ready()
    assert await caller.publish_and_wait(topic) is None
    assert await system.publish_and_wait(topic) is None


async def test_calls_both_ways_between_two_instances_do_not_disturb_each_other(world: World, topic: str) -> None:
    left, right = await world.system(), await world.system()
    await left.subscribe(f"{topic}.left", lambda data: ["left", data]).ready()
    await right.subscribe(f"{topic}.right", lambda data: ["right", data]).ready()
    answers = await asyncio.gather(
        *(left.publish_and_wait(f"{topic}.right", n) for n in range(50)),
        *(right.publish_and_wait(f"{topic}.left", n) for n in range(50)),
    )
    assert answers == [["right", n] for n in range(50)] + [["left", n] for n in range(50)]


async def test_a_handler_may_call_somebody_who_calls_back(world: World, topic: str) -> None:
    left, right = await world.system(), await world.system()

    async def ask_back(data: int) -> Any:
        return await right.publish_and_wait(f"{topic}.back", data)

    await right.subscribe(f"{topic}.there", ask_back).ready()
    await left.subscribe(f"{topic}.back", lambda data: data * 10).ready()
    assert await left.publish_and_wait(f"{topic}.there", 4) == 40


async def test_a_failing_handler_says_what_failed(world: World, topic: str) -> None:
    class OutOfStock(Exception):
        details: ClassVar = {"left": 0}

    async def order(data: Any) -> None:
        raise OutOfStock("no more bolts")

    caller, system = await world.system(), await world.system()
    await system.subscribe(topic, order).ready()
    for each in (caller, system):
        with pytest.raises(HandlerError) as caught:
            await each.publish_and_wait(topic)
        error = caught.value
        assert (error.type, error.message, error.details) == ("OutOfStock", "no more bolts", {"left": 0})
        assert error.outcome is Outcome.RAN
        assert not error.retryable
