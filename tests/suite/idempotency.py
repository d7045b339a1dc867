"""Idempotency keys: one run for many calls, its result kept, conflicts told, claims of the dead taken over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.seen import Seen, Watch, until
from tests.suite.world import Feature, World, needs
from tieline import (
    CallTimeoutError,
    ConflictError,
    EventSystem,
    HandlerError,
    InvalidArgumentError,
    InvalidPayloadError,
    NoRespondersError,
    OverloadedError,
    Settings,
    Step,
    StepName,
)
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import CANCEL, REPLY, error_to_wire
from tieline.errors import Outcome
from tieline.transports.redis import RedisTransport
from tieline.transports.redis_link import LinkDownError

HERE = pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])


class Work:
    """A handler that counts its runs, and waits for `gate` where it is closed."""

    def __init__(self) -> None:
        self.runs = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def do(self, data: Any) -> Any:
        self.runs += 1
        run = self.runs
        await self.gate.wait()
        if data == "fail":
            raise LookupError(f"run {run}")
        return {"run": run, "data": data}


class Joined:
    """How many calls have joined a run, as systems with this observer tell."""

    def __init__(self) -> None:
        self.count = 0

    def observe(self, step: Step) -> None:
        self.count += step.name == StepName.JOINED

    async def reach(self, count: int) -> None:
        await until(lambda: self.count >= count, say=lambda: f"{self.count} of {count} joined")


async def _pair(
    world: World, topic: str, work: Work, here: bool = False, **options: Any
) -> tuple[EventSystem, EventSystem]:
    """Two callers; the first one may be the responder too."""
    first, second = await world.system(**options), await world.system(**options)
    responder = first if here else await world.system()
    await responder.subscribe(topic, work.do).ready()
    return first, second


@HERE
async def test_the_same_key_gets_the_stored_reply(world: World, topic: str, here: bool) -> None:
    work = Work()
    first, second = await _pair(world, topic, work, here)
    for caller in (first, second, first):
        assert await caller.publish_and_wait(topic, [1, 2], idempotency_key="k") == {"run": 1, "data": [1, 2]}
    assert await first.publish_and_wait(topic, [1, 2], idempotency_key="other") == {"run": 2, "data": [1, 2]}
    assert await first.publish_and_wait(topic, [1, 2]) == {"run": 3, "data": [1, 2]}


async def test_keys_are_those_of_their_topic(world: World, topic: str) -> None:
    work = Work()
    caller, _ = await _pair(world, topic, work)
    await (await world.system()).subscribe(f"{topic}.b", work.do).ready()
    assert (await caller.publish_and_wait(topic, idempotency_key="k"))["run"] == 1
    assert (await caller.publish_and_wait(f"{topic}.b", idempotency_key="k"))["run"] == 2


@HERE
async def test_who_comes_meanwhile_joins_the_run(world: World, topic: str, here: bool) -> None:
    work, joined = Work(), Joined()
    first, second = await _pair(world, topic, work, here, observe=joined.observe)
    work.gate.clear()
    calls = [
        asyncio.create_task(caller.publish_and_wait(topic, "x", idempotency_key="k")) for caller in (first, second) * 20
    ]
    await until(lambda: work.runs == 1)
    await joined.reach(39)
    work.gate.set()
    assert await asyncio.gather(*calls) == [{"run": 1, "data": "x"}] * 40
    assert work.runs == 1


@HERE
async def test_another_payload_under_the_key_is_a_conflict(world: World, topic: str, here: bool) -> None:
    work = Work()
    first, second = await _pair(world, topic, work, here)
    work.gate.clear()
    running = asyncio.create_task(first.publish_and_wait(topic, {"a": 1}, idempotency_key="k"))
    await until(lambda: work.runs)
    for _ in range(2):  # while it runs, and when it has run
        with pytest.raises(ConflictError, match="'k'") as caught:
            await second.publish_and_wait(topic, {"a": 2}, idempotency_key="k")
        assert (caught.value.outcome, caught.value.retryable) == (Outcome.NOT_DELIVERED, False)
        work.gate.set()
        await running
    assert work.runs == 1


async def test_equal_payloads_are_equal_however_they_are_written(world: World, topic: str) -> None:
    work = Work()
    caller, _ = await _pair(world, topic, work)
    await caller.publish_and_wait(topic, {"a": 1, "b": [2.0, None]}, idempotency_key="k")
    await caller.publish_and_wait(topic, {"b": [2, None], "a": 1.0}, idempotency_key="k")
    await caller.publish_and_wait(topic, {"b": [2, None], "a": 1}, idempotency_key="k", content_type="application/json")
    assert work.runs == 1


async def test_a_key_without_a_payload_is_a_key_with_nil(world: World, topic: str) -> None:
    work = Work()
    caller, _ = await _pair(world, topic, work)
    assert await caller.publish_and_wait(topic, idempotency_key="k") == {"run": 1, "data": None}
    assert await caller.publish_and_wait(topic, None, idempotency_key="k") == {"run": 1, "data": None}
    with pytest.raises(ConflictError):
        await caller.publish_and_wait(topic, 0, idempotency_key="k")


async def test_the_error_of_a_handler_is_stored_like_a_reply(world: World, topic: str) -> None:
    work = Work()
    first, second = await _pair(world, topic, work)
    for caller in (first, second):
        with pytest.raises(HandlerError, match="run 1") as caught:
            await caller.publish_and_wait(topic, "fail", idempotency_key="k")
        assert (caught.value.type, caught.value.outcome) == ("LookupError", Outcome.RAN)


async def test_a_refusal_is_not_stored_and_is_told_to_those_who_joined(world: World, topic: str) -> None:
    raw = await (await world.raw()).answers_to(topic)
    joined = Joined()
    first, second = await world.system(), await world.system(observe=joined.observe)
    running = asyncio.create_task(first.publish_and_wait(topic, "x", idempotency_key="k"))
    request = await raw.request()
    joining = asyncio.create_task(second.publish_and_wait(topic, "x", idempotency_key="k"))
    await joined.reach(1)
    error = error_to_wire(InvalidPayloadError("not this one"))
    raw.port.answer(request.reply_to, Envelope(kind=REPLY, call_id=request.call_id, error=error))
    for call in (running, joining):
        with pytest.raises(InvalidPayloadError, match="not this one"):
            await asyncio.wait_for(call, 10.0)
    again = asyncio.create_task(first.publish_and_wait(topic, "x", idempotency_key="k"))
    await raw.requests.reach(2)
    raw.reply(raw.requests[1], "ran")
    assert await again == "ran"


async def test_a_payload_that_does_not_fit_leaves_no_claim(world: World, topic: str) -> None:
    async def strict(data: int) -> int:
        return data

    caller = await world.system()
    await (await world.system()).subscribe(topic, strict).ready()
    with pytest.raises(InvalidPayloadError):
        await caller.publish_and_wait(topic, "no number", idempotency_key="k")
    assert await caller.publish_and_wait(topic, 5, idempotency_key="k") == 5


async def test_nobody_to_run_it_leaves_no_claim(world: World, topic: str) -> None:
    caller, work = await world.system(), Work()
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic, "x", idempotency_key="k")
    await (await world.system()).subscribe(topic, work.do).ready()
    assert (await caller.publish_and_wait(topic, "x", idempotency_key="k"))["run"] == 1


@HERE
async def test_leaving_does_not_cancel_the_run(world: World, topic: str, here: bool) -> None:
    work, joined = Work(), Joined()
    first, second = await _pair(world, topic, work, here, observe=joined.observe)
    work.gate.clear()
    leaving = asyncio.create_task(first.publish_and_wait(topic, "x", idempotency_key="k"))
    await until(lambda: work.runs)
    leaving.cancel()
    await asyncio.wait([leaving])
    call = asyncio.create_task(second.publish_and_wait(topic, "x", idempotency_key="k"))
    await joined.reach(1)
    work.gate.set()
    assert await call == {"run": 1, "data": "x"}


async def test_who_joined_takes_over_when_the_claim_has_ended(world: World, topic: str) -> None:
    deaf = await (await world.raw()).answers_to(topic)
    first, second, work = await world.system(), await world.system(), Work()
    with pytest.raises(CallTimeoutError):
        await first.publish_and_wait(topic, "x", idempotency_key="k", ttl=1.0)
    dying = asyncio.create_task(first.publish_and_wait(topic, "x", idempotency_key="k", ttl=2.0))
    await deaf.requests.reach(2)
    await (await world.system()).subscribe(topic, work.do).ready()
    await deaf.port.aclose()
    joined = asyncio.create_task(second.publish_and_wait(topic, "x", idempotency_key="k", ttl=20.0))
    assert (await joined)["run"] == 1
    await asyncio.wait([dying])
    assert work.runs == 1


async def test_who_joined_waits_no_longer_than_it_said(world: World, topic: str) -> None:
    work = Work()
    first, second = await _pair(world, topic, work)
    work.gate.clear()
    running = asyncio.create_task(first.publish_and_wait(topic, "x", idempotency_key="k"))
    await until(lambda: work.runs)
    with pytest.raises(CallTimeoutError) as caught:
        await second.publish_and_wait(topic, "x", idempotency_key="k", ttl=1.0)
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    work.gate.set()
    await running


async def test_the_first_result_is_the_one_that_counts(world: World, topic: str) -> None:
    raw = await (await world.raw()).answers_to(topic)
    caller, late = await world.system(), await world.system()
    with pytest.raises(CallTimeoutError):
        await caller.publish_and_wait(topic, "x", idempotency_key="k", ttl=1.0)
    again = asyncio.create_task(caller.publish_and_wait(topic, "x", idempotency_key="k"))
    await raw.requests.reach(2)
    first, second = raw.requests
    for request, value in ((first, "first"), (second, "second")):
        key = {"topic": topic, "idempotency_key": "k", "fingerprint": request.fingerprint}
        raw.reply(request, value, **key)
    assert await again == "first"
    assert await late.publish_and_wait(topic, "x", idempotency_key="k") == "first"


async def test_so_many_join_and_no_more(world: World, topic: str) -> None:
    work = Work()
    first, second = await _pair(world, topic, work)
    work.gate.clear()
    running = asyncio.create_task(first.publish_and_wait(topic, "x", idempotency_key="k"))
    await until(lambda: work.runs)
    joining = [
        asyncio.create_task(second.publish_and_wait(topic, "x", idempotency_key="k"))
        for _ in range(contract.LIMIT_JOINERS + 3)
    ]
    await until(lambda: sum(call.done() for call in joining) == 3)
    work.gate.set()
    assert await running == {"run": 1, "data": "x"}
    results = await asyncio.gather(*joining, return_exceptions=True)
    assert sum(isinstance(result, OverloadedError) for result in results) == 3
    assert work.runs == 1


@needs(Feature.REDIS)
async def test_whoever_joined_is_answered_although_the_link_broke_when_the_result_was_stored(
    world: World, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, work = world.transport(), Work()
    assert isinstance(transport, RedisTransport)
    responder = await EventSystem(transport=transport, service="test").start()
    joined = Joined()
    first, second = await world.system(observe=joined.observe), await world.system(observe=joined.observe)
    await responder.subscribe(topic, work.do).ready()
    work.gate.clear()
    calls = [
        asyncio.create_task(caller.publish_and_wait(topic, "x", idempotency_key="k")) for caller in (first, second)
    ]
    await until(lambda: work.runs)
    await joined.reach(1)
    settled, cut = transport.runs._settled, []

    def cut_before_the_answer_is_read(*arguments: Any) -> None:
        if not cut:
            cut.append(arguments)
            assert transport.link is not None
            transport.link.abort("cut")
            arguments = (*arguments[:-1], LinkDownError("cut"))
        settled(*arguments)

    monkeypatch.setattr(transport.runs, "_settled", cut_before_the_answer_is_read)
    work.gate.set()
    try:
        assert await asyncio.wait_for(asyncio.gather(*calls), 20.0) == [{"run": 1, "data": "x"}] * 2
    finally:
        await responder.aclose(0.0)
    assert cut


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", 7, b"k", "\ud800"])
async def test_keys_that_can_be_none_are_refused(world: World, topic: str, key: Any) -> None:
    caller = await world.system()
    with pytest.raises(InvalidArgumentError):
        await caller.publish_and_wait(topic, "x", idempotency_key=key)


async def test_keys_of_any_language_are_fine(world: World, topic: str) -> None:
    work = Work()
    caller, _ = await _pair(world, topic, work)
    for number, key in enumerate(["ключ", "{a}:b*", "😀", "k" * 255, " "], start=1):
        for _ in range(2):
            assert (await caller.publish_and_wait(topic, "x", idempotency_key=key))["run"] == number


async def test_leaving_sends_no_cancel(world: World, topic: str) -> None:
    raw = await (await world.raw()).answers_to(topic)
    caller = await world.system()
    with pytest.raises(CallTimeoutError):
        await caller.publish_and_wait(topic, "x", idempotency_key="k", ttl=1.0)
    await asyncio.sleep(0.2)
    assert not [answer for answer in raw.answers if answer.kind == CANCEL]


@needs(Feature.PROCESSES)
async def test_a_run_whose_responder_dies_is_run_again_for_everyone(world: World, topic: str) -> None:
    first, second, work = await world.system(), await world.system(), Work()
    peer = await world.peer(topic)
    calls = [
        asyncio.create_task(caller.publish_and_wait(topic, {"do": "sleep", "seconds": 60}, idempotency_key="k"))
        for caller in (first, second)
    ]
    await peer.line("BEGUN")
    await (await world.system()).subscribe(topic, work.do).ready()
    peer.kill()
    assert [answer["run"] for answer in await asyncio.gather(*calls)] == [1, 1]


@needs(Feature.PROCESSES)
async def test_who_joined_takes_over_when_caller_and_responder_have_gone(world: World, topic: str) -> None:
    peer, work, data = await world.peer(topic), Work(), {"do": "sleep", "seconds": 60}
    joined = Joined()
    first, second = await world.system(), await world.system(observe=joined.observe)
    claiming = asyncio.create_task(first.publish_and_wait(topic, data, idempotency_key="k", ttl=50.0))
    await peer.line("BEGUN")
    joining = asyncio.create_task(second.publish_and_wait(topic, data, idempotency_key="k", ttl=50.0))
    await joined.reach(1)
    claiming.cancel()
    await (await world.system()).subscribe(topic, work.do).ready()
    watch = Watch()
    peer.kill()
    assert (await joining)["run"] == 1
    assert watch.seconds < 20.0, "long before the claim ended"


@needs(Feature.OWN_WINDOW)
async def test_results_expire_with_their_window(world: World, topic: str) -> None:
    work, settings = Work(), Settings(idempotency_window=0.3)
    caller = await world.system(settings=settings)
    await (await world.system(settings=settings)).subscribe(topic, work.do).ready()
    assert (await caller.publish_and_wait(topic, "x", idempotency_key="k"))["run"] == 1
    await asyncio.sleep(1.0)
    assert (await caller.publish_and_wait(topic, "y", idempotency_key="k"))["run"] == 2


async def test_many_keys_at_once(world: World, topic: str) -> None:
    ran = Seen()
    caller = await world.system()
    await (await world.system()).subscribe(topic, lambda data: ran.append(data) or data).ready()
    calls = [caller.publish_and_wait(topic, n % 100, idempotency_key=f"k{n % 100}") for n in range(1_000)]
    assert await asyncio.gather(*calls) == [n % 100 for n in range(1_000)]
    assert sorted(ran) == list(range(100))
