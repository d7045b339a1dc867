"""One question, many answers: whom it reaches, when it ends, and who is named missing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.suite.seen import Seen, Watch, until
from tests.suite.world import Feature, World, needs
from tieline import (
    CallCancelledError,
    CallTimeoutError,
    EventSystem,
    Gathered,
    HandlerError,
    InvalidArgumentError,
    NoRespondersError,
    Outcome,
    Responder,
    ResponderLostError,
    Settings,
)
from tieline.envelope import CANCEL


async def _service(world: World, topic: str, service: str, handler: Any = None, **options: Any) -> EventSystem:
    system = await world.system(service=service)
    await system.subscribe(topic, handler or (lambda data: [service, data]), **options).ready()
    return system


def _services(gathered: Gathered) -> list[str]:
    return sorted(reply.responder.service for reply in gathered.replies)


async def test_one_instance_of_each_service_answers(world: World, topic: str) -> None:
    caller = await world.system(service="asker")
    systems = [await _service(world, topic, service) for service in ("prices", "prices", "stock", "stock", "tax")]
    gathered = await caller.publish_and_gather(topic, 7)
    assert _services(gathered) == ["prices", "stock", "tax"]
    assert sorted(gathered.values) == [["prices", 7], ["stock", 7], ["tax", 7]]
    assert gathered.complete
    assert (gathered.errors, gathered.missing) == ([], [])
    by_service = {reply.responder.service: reply.responder for reply in gathered.replies}
    assert by_service["tax"] == Responder("tax", systems[4].instance, "")


async def test_one_member_of_each_group_answers_whatever_its_service(world: World, topic: str) -> None:
    caller, ran = await world.system(), Seen()
    for number, group in enumerate(("red", "red", "blue", "")):
        answer = group or "none"
        await _service(
            world, topic, f"s{number}", lambda data, answer=answer: ran.append(answer) or answer, group=group
        )
    gathered = await caller.publish_and_gather(topic)
    assert sorted(gathered.values) == ["blue", "none", "red"]
    assert sorted(reply.responder.group for reply in gathered.replies) == ["", "blue", "red"]
    await ran.stay(3)


async def test_a_group_is_answered_by_its_own_subscription(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()
    for group in ("red", "blue"):
        await system.subscribe(topic, lambda data, group=group: group, group=group).ready()
    for _ in range(4):
        gathered = await caller.publish_and_gather(topic)
        assert {reply.responder.group: reply.value for reply in gathered.replies} == {"red": "red", "blue": "blue"}


async def test_every_instance_can_be_asked_the_own_one_included(world: World, topic: str) -> None:
    systems = [await _service(world, topic, "same") for _ in range(4)]
    gathered = await systems[0].publish_and_gather(topic, 1, every_instance=True)
    assert sorted(reply.responder.instance for reply in gathered.replies) == sorted(s.instance for s in systems)
    own = await systems[0].publish_and_gather(topic, 1)
    assert [reply.responder.instance for reply in own.replies] == [systems[0].instance]


async def test_errors_are_named_beside_the_replies(world: World, topic: str) -> None:
    caller = await world.system()

    def fail(data: Any) -> None:
        raise LookupError("no price")

    await _service(world, topic, "good")
    await _service(world, topic, "bad", fail)
    gathered = await caller.publish_and_gather(topic, 1)
    assert _services(gathered) == ["good"]
    (failure,) = gathered.errors
    assert (failure.responder.service, type(failure.error), failure.error.type) == ("bad", HandlerError, "LookupError")
    assert gathered.complete


async def test_it_ends_with_the_last_answer_and_not_with_the_deadline(world: World, topic: str) -> None:
    caller, watch = await world.system(), Watch()
    for service in ("a", "b"):
        await _service(world, topic, service)
    await caller.publish_and_gather(topic, ttl=60.0)
    assert watch.seconds < 10.0


async def test_who_does_not_answer_in_time_is_missing_and_cancelled(world: World, topic: str) -> None:
    caller, cancelled = await world.system(), asyncio.Event()

    async def slow(data: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await _service(world, topic, "quick")
    await _service(world, topic, "slow", slow)
    gathered = await caller.publish_and_gather(topic, ttl=1.5)
    assert _services(gathered) == ["quick"]
    (missing,) = gathered.missing
    assert (missing.responder.service, type(missing.error)) == ("slow", CallTimeoutError)
    assert not gathered.complete
    await asyncio.wait_for(cancelled.wait(), 10.0)


async def test_it_ends_with_so_many_replies_and_the_others_are_cancelled(world: World, topic: str) -> None:
    caller = await world.system()
    raw = await (await world.raw()).answers_to(topic)
    for service in ("a", "b"):
        await _service(world, topic, service)
    gathered = await caller.publish_and_gather(topic, ttl=30.0, max_replies=2)
    assert _services(gathered) == ["a", "b"]
    (missing,) = gathered.missing
    assert (missing.responder.service, type(missing.error)) == ("raw", CallCancelledError)
    await until(lambda: any(answer.kind == CANCEL for answer in raw.answers))


async def test_it_never_has_more_replies_than_were_asked_for(world: World, topic: str) -> None:
    caller = await world.system()
    raws = [await (await world.raw()).answers_to(topic) for _ in range(4)]
    asking = asyncio.create_task(caller.publish_and_gather(topic, max_replies=2, every_instance=True))
    for raw in raws:
        await raw.request()
    for raw in raws:
        raw.reply(raw.requests[0], "here")
    gathered = await asking
    assert gathered.values == ["here"] * 2
    assert [type(missing.error) for missing in gathered.missing] == [CallCancelledError] * 2
    named = [answer.responder.instance for answer in [*gathered.replies, *gathered.missing]]
    assert sorted(named) == sorted(raw.port.instance for raw in raws)


async def test_who_was_not_waited_for_is_the_one_that_was_asked_last(world: World, topic: str) -> None:
    caller, gate = await world.system(), asyncio.Event()
    await _service(world, topic, "quick", lambda data: gate.wait())
    raws = [await (await world.raw()).answers_to(topic) for _ in range(2)]
    asking = asyncio.create_task(caller.publish_and_gather(topic, max_replies=1))
    await until(lambda: any(raw.requests for raw in raws))
    refuses, asked = sorted(raws, key=lambda raw: not raw.requests)
    refuses.reply(refuses.requests[0], None, data=b"", error={"code": 5, "message": "full", "outcome": 1})
    await asked.request()
    gate.set()
    (missing,) = (await asking).missing
    assert missing.responder.instance == asked.port.instance


async def test_a_reply_that_cannot_be_read_is_an_error_beside_the_others(world: World, topic: str) -> None:
    caller = await world.system()
    await _service(world, topic, "good")
    raw = await (await world.raw()).answers_to(topic)
    asking = asyncio.create_task(caller.publish_and_gather(topic, 1))
    raw.reply(await raw.request(), None, data=b"\xc1")
    gathered = await asking
    assert _services(gathered) == ["good"]
    (failure,) = gathered.errors
    assert failure.responder.service == "raw"
    assert (failure.error.code, failure.error.outcome) == ("INVALID_PAYLOAD", Outcome.RAN)


async def test_who_cannot_be_asked_because_too_much_is_out_is_missing(world: World, topic: str) -> None:
    caller = await world.system(settings=Settings(pending_calls=2))
    raws = [await (await world.raw()).answers_to(topic) for _ in range(3)]
    asking = asyncio.create_task(caller.publish_and_gather(topic, every_instance=True))
    await until(lambda: sum(bool(raw.requests) for raw in raws) == 2)
    for raw in raws:
        for request in raw.requests:
            raw.reply(request, "here")
    gathered = await asking
    assert gathered.values == ["here"] * 2
    (missing,) = gathered.missing
    assert (missing.error.code, missing.error.outcome) == ("OVERLOADED", Outcome.NOT_DELIVERED)


async def test_giving_up_cancels_everybody(world: World, topic: str) -> None:
    caller = await world.system()
    raws = [await (await world.raw()).answers_to(topic) for _ in range(2)]
    asking = asyncio.create_task(caller.publish_and_gather(topic, every_instance=True))
    for raw in raws:
        await raw.request()
    asking.cancel()
    for raw in raws:
        await until(lambda raw=raw: any(answer.kind == CANCEL for answer in raw.answers))


async def test_nobody_to_ask_is_told_at_once(world: World, topic: str) -> None:
    caller, watch = await world.system(), Watch()
    with pytest.raises(NoRespondersError, match=topic):
        await caller.publish_and_gather(topic)
    assert watch.seconds < 5.0
    with pytest.raises(InvalidArgumentError, match="max_replies"):
        await caller.publish_and_gather(topic, max_replies=-1)


async def test_who_is_full_lets_another_one_of_its_service_answer(world: World, topic: str) -> None:
    caller, gate = await world.system(), asyncio.Event()

    async def wait(data: Any) -> str:
        await gate.wait()
        return "late"

    busy = await _service(world, topic, "same", wait, concurrency=1, queue=0)
    held = asyncio.create_task((await world.system()).publish_and_wait(topic))
    await until(lambda: busy.subscriptions[0].mailbox.running)
    await _service(world, topic, "same", lambda data: "free")
    for _ in range(6):
        assert (await caller.publish_and_gather(topic)).values == ["free"]
    gate.set()
    assert await held == "late"


async def test_who_is_full_and_alone_says_so(world: World, topic: str) -> None:
    caller, gate = await world.system(), asyncio.Event()
    busy = await _service(world, topic, "same", lambda data: gate.wait(), concurrency=1, queue=0)
    held = asyncio.create_task((await world.system()).publish_and_wait(topic))
    await until(lambda: busy.subscriptions[0].mailbox.running)
    (failure,) = (await caller.publish_and_gather(topic)).errors
    assert (failure.error.code, failure.error.retryable) == ("OVERLOADED", True)
    gate.set()
    await held


async def test_observers_see_the_question_once_and_wildcards_do_not_answer(world: World, topic: str) -> None:
    caller, observed = await world.system(), Seen()
    watcher = await world.system()
    await watcher.subscribe(topic, observed.take, observe=True).ready()
    await watcher.subscribe(f"{topic}.>", observed.take).ready()
    for service in ("a", "b", "c"):
        await _service(world, topic, service)
    await until_observed(caller, topic)
    observed.clear()
    assert len((await caller.publish_and_gather(topic, "once")).replies) == 3
    await observed.stay(1)


async def until_observed(caller: EventSystem, topic: str) -> None:
    """Return when the caller has heard of observers."""
    port = caller._instance.port
    assert port is not None
    await until(lambda: port.observing)


async def test_who_left_is_not_asked(world: World, topic: str) -> None:
    caller = await world.system()
    staying, leaving = await _service(world, topic, "a"), await _service(world, topic, "b")
    await leaving.subscriptions[0].unsubscribe()
    assert _services(await caller.publish_and_gather(topic, every_instance=True)) == ["a"]
    await staying.aclose()
    with pytest.raises(NoRespondersError):
        await caller.publish_and_gather(topic)


async def test_a_thousand_questions_at_once(world: World, topic: str) -> None:
    caller = await world.system()
    for service in ("a", "b", "c"):
        await _service(world, topic, service)
    answers = await asyncio.gather(*(caller.publish_and_gather(topic, n) for n in range(300)))
    for number, gathered in enumerate(answers):
        assert sorted(gathered.values) == [["a", number], ["b", number], ["c", number]]


@needs(Feature.PROCESSES)
async def test_who_dies_is_missing_long_before_the_deadline(world: World, topic: str) -> None:
    caller, watch = await world.system(), Watch()
    await _service(world, topic, "alive")
    peer = await world.peer(topic)
    asking = asyncio.create_task(
        caller.publish_and_gather(topic, {"do": "sleep", "seconds": 60}, ttl=60.0, every_instance=True)
    )
    await peer.line("BEGUN")
    peer.kill()
    gathered = await asking
    assert _services(gathered) == ["alive"]
    (missing,) = gathered.missing
    assert (missing.responder.service, type(missing.error)) == ("peer", ResponderLostError)
    assert watch.seconds < 30.0


async def test_a_group_that_answers_nowhere_is_answered_by_nobody_else(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()
    await system.subscribe(topic, lambda data: "not of the group").ready()
    await system.subscribe(topic, lambda data: None, group="red", batch=(2, 1.0)).ready()
    gathered = await caller.publish_and_gather(topic)
    assert gathered.values == []
    assert [failure.error.code for failure in gathered.missing] == ["NO_RESPONDERS"]
