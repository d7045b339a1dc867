"""Where a stored event went: who stored it, who had it and how often, and what became of it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.suite.durable import AT_ONCE
from tests.suite.durable_retries import failing
from tests.suite.seen import ASK_SECONDS, Seen, until
from tests.suite.world import Feature, World
from tieline import Event, EventSystem, Item, RetryPolicy, Settings, Step, StepName
from tieline.explain.explain import TrailStep

NEEDS = frozenset({Feature.DURABLE})

TWICE = RetryPolicy(max_attempts=2, backoff=0.1, cap=0.1, jitter=False)


async def _steps(system: EventSystem, correlation_id: str, last: str) -> list[TrailStep]:
    """The steps of a chain, when one of this name is among them."""
    while True:
        steps = (await system.explain(correlation_id, ttl=ASK_SECONDS)).steps
        if any(step.name == last for step in steps):
            return steps
        await asyncio.sleep(0.01)


def _told(steps: list[TrailStep]) -> dict[str, list[str]]:
    """What each process told, in its order; clocks of different ones may part by some milliseconds."""
    told: dict[str, list[str]] = {}
    for step in steps:
        told.setdefault(step.source.partition("/")[0], []).append(step.name)
    return told


def _detail(steps: list[TrailStep], name: str) -> dict[str, Any]:
    return next(step.detail for step in steps if step.name == name)


async def test_a_stored_event_is_explained_by_who_stored_and_who_handled_it(world: World, topic: str) -> None:
    web, shop, other = [await world.system(service=name) for name in ("web", "shop", "other")]
    await shop.subscribe(topic, Seen().take, durable=True, name="bill", group="shop").ready()
    receipt = await web.publish(topic, 1, key="k", correlation_id=f"c-{topic}")
    assert receipt.stored is not None
    steps = await _steps(other, f"c-{topic}", "handled")
    assert _told(steps) == {"web": ["stored"], "shop": ["claimed", "handled"]}
    stored = {"id": receipt.id, "stream": receipt.stored.stream, "entry": receipt.stored.entry}
    assert _detail(steps, "stored") == stored
    claimed = {"subscription": "bill", "group": "shop", "entry": receipt.stored.entry, "attempt": 1}
    assert _detail(steps, "claimed") == claimed
    assert _detail(steps, "handled") == {"subscription": "bill", "how": "handled"}
    assert {(step.topic, step.call_id) for step in steps} == {(topic, "")}


async def test_an_event_that_fails_tells_each_attempt_and_that_its_key_is_parked(world: World, topic: str) -> None:
    web, shop = [await world.system(service=name) for name in ("web", "shop")]
    await shop.subscribe(topic, failing(Seen(), 1), durable=True, retry=TWICE).ready()
    receipt = await web.publish(topic, 1, key="k")
    steps = await _steps(web, receipt.correlation_id, "parked")
    tries = ["claimed", "failed", "retried", "claimed", "failed", "parked"]
    assert _told(steps) == {"web": ["stored"], "shop": tries}
    assert [step.detail["attempt"] for step in steps if step.name == "claimed"] == [1, 2]
    failed = _detail(steps, "failed")
    assert (failed["code"], failed["outcome"], failed["message"]) == ("HANDLER_ERROR", "RAN", "not yet")
    assert _detail(steps, "retried") == {"after_ms": 100, "code": "HANDLER_ERROR", "attempt": 1}
    assert _detail(steps, "parked") == {"group": "default", "key": "k"}


async def test_a_dead_letter_that_was_put_back_is_one_chain(world: World, topic: str) -> None:
    web, shop, desk = [await world.system(service=name) for name in ("web", "shop", "desk")]
    seen, mended = Seen(), False

    async def take(data: Any, event: Event) -> None:
        seen.append(data)
        if not mended:
            raise LookupError("not yet")

    await shop.subscribe(topic, take, durable=True, retry=RetryPolicy(max_attempts=1), name="bill").ready()
    receipt = await web.publish(topic, 1, durable=True)
    await _steps(web, receipt.correlation_id, "dead_letter")
    (letter,) = await desk.dead_letters.list(topic)
    mended = True
    assert await desk.dead_letters.redrive(topic, letter.id) == 1
    steps = await _steps(web, receipt.correlation_id, "handled")
    tries = ["claimed", "failed", "dead_letter", "claimed", "handled"]
    assert _told(steps) == {"web": ["stored"], "shop": tries, "desk": ["redriven"]}
    assert _detail(steps, "dead_letter") == {"group": "default", "reason": "failed"}
    redriven = _detail(steps, "redriven")
    again = [step.detail["entry"] for step in steps if step.name == "claimed"][1]
    assert redriven == {"group": "default", "letter": letter.id, "entry": again}


async def test_what_was_rejected_or_skipped_or_had_expired_is_told(world: World, topic: str) -> None:
    system = await world.system()
    reasons: dict[str, Any] = {}

    async def take(data: Any, event: Event) -> None:
        assert event.delivery is not None
        if data == "reject":
            event.delivery.reject("no such card")
        raise LookupError("never")

    late = await system.publish(topic, "late", durable=True, ttl=0.05)
    await asyncio.sleep(0.2)
    once = RetryPolicy(max_attempts=1)
    await system.subscribe(topic, take, durable=True, retry=once, on_poison="skip").ready()
    rejected = await system.publish(topic, "reject", durable=True)
    skipped = await system.publish(topic, "fail", durable=True)
    for receipt, last in ((rejected, "dead_letter"), (late, "dead_letter"), (skipped, "dropped")):
        steps = await _steps(system, receipt.correlation_id, last)
        reasons[_detail(steps, "failed")["code"], last] = _detail(steps, last)
        assert [step.name for step in steps] == ["stored", "claimed", "failed", last]
    assert reasons == {
        ("HANDLER_ERROR", "dead_letter"): {"group": "default", "reason": "rejected"},
        ("EXPIRED", "dead_letter"): {"group": "default", "reason": "expired"},
        ("HANDLER_ERROR", "dropped"): {"group": "default", "why": "skip"},
    }


async def test_an_event_under_way_is_told(world: World, topic: str) -> None:
    web, shop, release = await world.system(service="web"), await world.system(service="shop"), asyncio.Event()

    async def wait(data: Any) -> None:
        await release.wait()

    await shop.subscribe(topic, wait, durable=True, name="slow").ready()
    receipt = await web.publish(topic, 1, key="k")
    steps = await _steps(web, receipt.correlation_id, "running")
    assert _told(steps) == {"web": ["stored"], "shop": ["claimed", "running"]}
    assert _detail(steps, "running")["subscription"] == "slow"
    release.set()
    steps = await _steps(web, receipt.correlation_id, "handled")
    assert _told(steps) == {"web": ["stored"], "shop": ["claimed", "handled"]}


async def test_what_was_given_up_is_told_when_its_process_has_ended(world: World, topic: str) -> None:
    web, shop = await world.system(service="web"), await world.system(service="shop")
    await shop.subscribe(topic, failing(Seen(), 1), durable=True, retry=AT_ONCE).ready()
    receipt = await web.publish(topic, 1, key="k")
    await _steps(web, receipt.correlation_id, "parked")
    await shop.aclose()
    steps = await _steps(web, receipt.correlation_id, "parked")
    told = _told(steps)["shop"]
    assert told.count("claimed") == told.count("failed") == 3


async def test_what_is_stored_and_handled_together_is_told_of_each(world: World, topic: str) -> None:
    web, shop, seen = await world.system(service="web"), await world.system(service="shop"), Seen()
    await shop.subscribe(topic, seen.take, durable=True, batch=(3, 0.2), name="lists").ready()
    receipts = await web.publish_many(topic, [Item(number, key="k") for number in range(3)])
    for receipt in receipts:
        steps = await _steps(web, receipt.correlation_id, "handled")
        assert _told(steps) == {"web": ["stored"], "shop": ["claimed", "handled"]}


async def test_a_process_that_remembers_nothing_tells_nothing(world: World, topic: str) -> None:
    quiet, seen = await world.system(settings=Settings(explain_calls=0)), Seen()
    await quiet.subscribe(topic, failing(seen, 1), durable=True, retry=AT_ONCE, on_poison="dead_letter").ready()
    receipts = [await quiet.publish(topic, number, key="k") for number in range(3)]
    await seen.reach(5)
    for receipt in receipts:
        assert (await quiet.explain(receipt.correlation_id)).steps == []


async def test_an_observer_is_told_what_becomes_of_stored_events(world: World, topic: str) -> None:
    steps: list[Step] = []
    system = await world.system(observe=steps.append)
    await system.subscribe(topic, failing(Seen(), 1), durable=True, retry=AT_ONCE).ready()
    await system.publish(topic, 1, key="k")
    await system.publish(topic, 2, key="l")
    names = [StepName.STORED, StepName.HANDLED, StepName.RETRIED, StepName.PARKED]
    await until(lambda: set(names) <= {step.name for step in steps if step.topic == topic})
    counts = [sum(step.name == name for step in steps if step.topic == topic) for name in names]
    assert counts == [2, 1, 2, 1]
