"""Looking inside: where a call went, who is there, and payloads of older versions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, TypedDict

import pytest

from tests.suite.seen import ASK_SECONDS, Seen, until
from tests.suite.world import Feature, World, needs
from tieline import (
    CallTimeoutError,
    Event,
    EventSystem,
    HandlerError,
    InvalidArgumentError,
    InvalidPayloadError,
    InvalidTopicError,
    NoRespondersError,
    Settings,
    Step,
    StepName,
)
from tieline._contract.contract import LIMIT_TRAIL_BYTES
from tieline.errors import Outcome


async def _names(system: EventSystem, correlation_id: str) -> list[tuple[str, str]]:
    explained = await system.explain(correlation_id, ttl=ASK_SECONDS)
    return [(step.source.partition("/")[0], step.name) for step in explained.steps]


async def test_a_call_is_explained_by_both_sides(world: World, topic: str) -> None:
    shop, prices, other = [await world.system(service=name) for name in ("shop", "prices", "other")]
    await prices.subscribe(topic, lambda data: data, name="price").ready()
    await shop.publish_and_wait(topic, 1, correlation_id=f"c-{topic}")
    explained = await other.explain(f"c-{topic}", ttl=ASK_SECONDS)
    told = {
        service: [s.name for s in explained.steps if s.source.startswith(service)] for service in ("shop", "prices")
    }
    assert told == {"shop": ["routed_remote", "dispatched", "completed"], "prices": ["received", "replied"]}
    details = {step.name: step.detail for step in explained.steps}
    assert details["dispatched"] == {"instance": prices.instance}
    assert details["replied"] == {"subscription": "price"}
    assert {step.topic for step in explained.steps} == {topic}
    assert len({step.call_id for step in explained.steps}) == 1
    title, first, *_ = str(explained).splitlines()
    assert title == f"c-{topic}"
    moment, who, step = r"\d\d:\d\d:\d\d\.\d\d\d", r"(shop|prices)/\w+", "(routed_remote|received)"
    assert re.fullmatch(f"  {moment}  {who}  {step}  {topic}", first), first


async def test_what_is_under_way_is_explained_too(world: World, topic: str) -> None:
    shop, prices = [await world.system(service=name) for name in ("shop", "prices")]
    gate, began = asyncio.Event(), Seen()

    async def price(data: Any) -> Any:
        began.append(data)
        await gate.wait()
        return data

    await prices.subscribe(topic, price, name="price", concurrency=1).ready()
    calls = [asyncio.create_task(shop.publish_and_wait(topic, n, correlation_id=f"c{n}-{topic}")) for n in (1, 2)]
    await began.reach(1)
    await until(lambda: prices.subscriptions[0].mailbox.waiting)
    first, second = began[0], 3 - began[0]
    running, queued = [await shop.explain(f"c{n}-{topic}", ttl=ASK_SECONDS) for n in (first, second)]
    usual = ["routed_remote", "dispatched", "received", "waiting"]
    assert sorted(step.name for step in running.steps) == sorted([*usual, "running"])
    assert sorted(step.name for step in queued.steps) == sorted([*usual, "queued"])
    details = {step.name: step.detail for step in running.steps}
    assert details["running"]["subscription"] == "price"
    assert 0 < details["waiting"]["left_ms"] <= 30_000
    gate.set()
    await asyncio.gather(*calls)
    assert "running" not in [name for _, name in await _names(shop, f"c{first}-{topic}")]


async def test_what_runs_within_the_process_is_explained_too(world: World, topic: str) -> None:
    system, gate = await world.system(service="one"), asyncio.Event()
    system.subscribe(topic, gate.wait)
    call = asyncio.create_task(system.publish_and_wait(topic, correlation_id=f"c-{topic}"))
    await asyncio.sleep(0)
    assert await _names(system, f"c-{topic}") == [("one", "running")]
    gate.set()
    await call


async def test_what_was_given_up_was_received(world: World, topic: str) -> None:
    shop, prices = [await world.system(service=name) for name in ("shop", "prices")]
    await prices.subscribe(topic, asyncio.Event().wait, name="price").ready()
    with pytest.raises(CallTimeoutError) as caught:
        await shop.publish_and_wait(topic, ttl=0.5)
    explained = Seen()

    async def told() -> bool:
        explained[:] = [
            (step.name, step.detail)
            for step in (await shop.explain(caught.value.correlation_id, ttl=ASK_SECONDS)).steps
        ]
        return "cancelled" in dict(explained)

    while not await told():
        await asyncio.sleep(0.01)
    assert [name for name, _ in explained if name in ("received", "accepted", "cancelled")] == [
        "received",
        "accepted",
        "cancelled",
    ]
    assert dict(explained)["cancelled"] == {"subscription": "price"}


async def test_an_error_names_the_chain_of_its_call(world: World, topic: str) -> None:
    system, other = await world.system(), await world.system()
    await other.subscribe(f"{topic}.raises", lambda data: data / 0).ready()
    await system.subscribe(f"{topic}.here", lambda data: data / 0).ready()
    for name in ("raises", "here", "nobody"):
        with pytest.raises((HandlerError, NoRespondersError)) as caught:
            await system.publish_and_wait(f"{topic}.{name}", 1)
        error = caught.value
        assert repr(error.correlation_id) in repr(error)
        steps = (await system.explain(error.correlation_id, ttl=ASK_SECONDS)).steps
        assert ("failed", error.code) in [(step.name, step.detail.get("code")) for step in steps]


async def test_a_call_within_the_process_is_explained(world: World, topic: str) -> None:
    system = await world.system(service="one")
    await system.subscribe(topic, lambda data: data, name="own").ready()
    await system.publish_and_wait(topic, 1, correlation_id=f"c-{topic}")
    assert await _names(system, f"c-{topic}") == [("one", "routed_local"), ("one", "completed")]


async def test_all_that_one_act_caused_is_one_chain(world: World, topic: str) -> None:
    first, second, third = [await world.system(service=name) for name in ("first", "second", "third")]
    chains, handled = Seen(), Seen()

    async def middle(data: Any, event: Event) -> Any:
        chains.append(event.correlation_id)
        await second.publish(f"{topic}.told", data)
        return await second.publish_and_wait(f"{topic}.last", data)

    await second.subscribe(topic, middle).ready()
    await third.subscribe(f"{topic}.last", lambda data: data).ready()
    await third.subscribe(f"{topic}.told", handled.take).ready()
    await first.publish_and_wait(topic, 1)
    await handled.reach(1)
    names = await _names(first, chains[0])
    for expected in (
        ("first", "completed"), ("second", "received"), ("second", "published"), ("second", "completed"),
        ("third", "replied"), ("third", "handled"),
    ):  # fmt: skip
        assert expected in names


async def test_a_failure_is_remembered_when_its_processes_are_gone(world: World, topic: str) -> None:
    caller, responder, later = await world.system(), await world.system(), await world.system()

    def fail(data: Any) -> None:
        raise LookupError("no such row")

    await responder.subscribe(topic, fail, name="finder").ready()
    with pytest.raises(HandlerError):
        await caller.publish_and_wait(topic, 1, correlation_id=f"c-{topic}")
    await later.publish(f"{topic}.in-step")
    await caller.aclose()
    await responder.aclose()
    explained = await later.explain(f"c-{topic}", ttl=ASK_SECONDS)
    told = {step.name: step.detail for step in explained.steps}
    assert told["failed"]["code"] == "HANDLER_ERROR"
    assert told["failed"]["outcome"] == "RAN"
    assert told["replied"] == {"subscription": "finder", "error": "HANDLER_ERROR"}


async def test_a_failure_after_more_than_a_trail_holds_is_stored_all_the_same(world: World, topic: str) -> None:
    caller, responder, later = await world.system(), await world.system(), await world.system()

    def fail(number: int) -> int:
        if number < 0:
            raise LookupError(f"no row {number}")
        return number

    await responder.subscribe(topic, fail, name="finder").ready()
    for number in range(200):
        await caller.publish_and_wait(topic, number, correlation_id=f"c-{topic}")
    for number in range(1, 41):
        with pytest.raises(HandlerError):
            await caller.publish_and_wait(topic, -number, correlation_id=f"c-{topic}")
    await later.publish(f"{topic}.in-step")
    await caller.aclose()
    await responder.aclose()
    steps = (await later.explain(f"c-{topic}", ttl=ASK_SECONDS)).steps
    failed = [step for step in steps if step.name == "failed"]
    assert [step.detail["message"] for step in failed[-3:]] == ["no row -38", "no row -39", "no row -40"]
    last = [step.name for step in steps if step.call_id == failed[-1].call_id]
    assert sorted(last) == ["dispatched", "failed", "received", "replied", "routed_remote"]
    assert len(failed) < 40, "the oldest give way"
    port = later._instance.port
    assert port is not None
    assert len(await port.find_trail(f"c-{topic}")) <= LIMIT_TRAIL_BYTES


async def test_an_instance_tells_what_it_counted_all_topics_together(world: World, topic: str) -> None:
    shop, prices = [await world.system(service=name) for name in ("shop", "prices")]

    def refuse(_data: Any) -> None:
        raise ValueError("no")

    await prices.subscribe(f"{topic}.price", lambda data: data).ready()
    await prices.subscribe(f"{topic}.refuse", refuse).ready()
    await shop.publish(f"{topic}.event", 1)
    await shop.publish_and_wait(f"{topic}.price", 1)
    with pytest.raises(HandlerError):
        await shop.publish_and_wait(f"{topic}.refuse", 1)
    told, _ = await shop._surveyor.standing({"figures": True}, ASK_SECONDS)
    by_instance = {one["instance"]: one for one in told}
    made, answered = by_instance[shop.instance], by_instance[prices.instance]
    names = ("service", "published", "called", "failed", "in_flight", "handled")
    assert [made[name] for name in names] == ["shop", 1, 2, 1, 0, 0]
    assert sum(made["round_trip"]["buckets"]) == 1
    names = ("handled", "handler_failed", "pending", "called")
    assert [answered[name] for name in names] == [2, 1, 0, 0]
    assert answered["since"] <= answered["time"]


async def test_an_instance_tells_its_calls_under_way(world: World, topic: str) -> None:
    shop, prices = [await world.system(service=name) for name in ("shop", "prices")]
    gate, began = asyncio.Event(), Seen()

    async def hold(data: Any) -> None:
        began.append(data)
        await gate.wait()

    await prices.subscribe(f"{topic}.slow", hold).ready()
    await shop.subscribe(f"{topic}.here", hold).ready()
    calls = [
        asyncio.create_task(shop.publish_and_wait(f"{topic}.{where}", at, correlation_id=f"c-{at}"))
        for at, where in enumerate(("slow", "slow", "here"))
    ]
    await began.reach(3)

    async def told(most: int) -> dict[str, Any]:
        answers, _ = await prices._surveyor.standing({"calls": most}, ASK_SECONDS)
        return next(one for one in answers if one["instance"] == shop.instance)

    now = await told(1_000)
    while sum(bool(call["responder"]) for call in now["calls"]) < 2:
        now = await told(1_000)
    found = sorted((c["correlation_id"], c["topic"], c["source"], c["responder"]) for c in now["calls"])
    source = f"shop/{shop.instance}"
    assert found == [
        ("c-0", f"{topic}.slow", source, prices.instance),
        ("c-1", f"{topic}.slow", source, prices.instance),
        ("c-2", f"{topic}.here", source, ""),
    ]
    one = await told(1)
    assert (len(one["calls"]), one["total"]) == (1, 3)
    gate.set()
    await asyncio.gather(*calls)
    assert (await told(5))["calls"] == []


async def test_who_answers_nonsense_is_named_and_hides_nobody(world: World, topic: str) -> None:
    shop, raw = await world.system(service="shop"), await (await world.raw()).answers_to("system.ask")
    await shop.subscribe(topic, lambda data: data).ready()
    await shop.publish_and_wait(topic, 1, correlation_id=f"c-{topic}")
    nonsense: list[Any] = [5, {"trail": 5}, {"trail": b"\xff"}, {"service": "odd", "subscriptions": [5]}]
    for value in [*nonsense, {"service": "odd", "subscriptions": 5}]:
        raw.requests.clear()
        asking = asyncio.gather(shop.explain(f"c-{topic}", ttl=ASK_SECONDS), shop.services(ttl=ASK_SECONDS))
        await raw.requests.reach(2)
        for request in raw.requests:
            raw.reply(request, value)
        explained, services = await asking
        assert [step.name for step in explained.steps] == ["routed_local", "completed"]
        assert [one.topic for service in services for one in service.subscriptions] == [topic]
    for reply in ({"data": b"\xc1"}, {"data": b"", "error": {"code": 6, "message": "no", "outcome": 3}}):
        raw.requests.clear()
        asking = asyncio.gather(shop.explain(f"c-{topic}", ttl=ASK_SECONDS), shop.services(ttl=ASK_SECONDS))
        await raw.requests.reach(2)
        for request in raw.requests:
            raw.reply(request, None, **reply)
        explained, services = await asking
        assert raw.port.instance in [responder.instance for responder in explained.missing]
        assert {"raw", "shop"} <= {service.name for service in services}


async def test_unusual_steps_are_told_with_their_reasons(world: World, topic: str) -> None:
    steps = list[Step]()
    caller = await world.system(observe=steps.append)
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait(topic, 1, correlation_id=f"none-{topic}")
    (failed,) = [
        step for step in (await caller.explain(f"none-{topic}", ttl=ASK_SECONDS)).steps if step.name == "failed"
    ]
    assert failed.detail["code"] == "NO_RESPONDERS"

    began, gate = Seen(), asyncio.Event()

    async def run(data: Any) -> Any:
        began.append(data)
        await gate.wait()
        return data

    await (await world.system()).subscribe(topic, run).ready()
    calls = [caller.publish_and_wait(topic, 1, idempotency_key="k", correlation_id=f"key-{topic}") for _ in range(2)]
    both = asyncio.gather(*calls)
    await until(lambda: StepName.JOINED in [step.name for step in steps])
    gate.set()
    await both
    await caller.publish_and_wait(topic, 1, idempotency_key="k", correlation_id=f"key-{topic}")
    names = [name for _, name in await _names(caller, f"key-{topic}")]
    assert names.count("joined") == 1
    assert names.count("deduplicated") == 1
    gate.clear()
    cancelled = asyncio.create_task(caller.publish_and_wait(topic, 1, correlation_id=f"gone-{topic}"))
    await began.reach(2)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert ("test", "cancelled") in await _names(caller, f"gone-{topic}")


async def test_what_nobody_remembers_is_said_so(world: World, topic: str) -> None:
    explained = await (await world.system()).explain("nothing-of-the-kind")
    assert explained.steps == []
    assert "nobody remembers" in str(explained)


async def test_memory_is_bounded_and_can_be_switched_off(world: World, topic: str) -> None:
    silent = await world.system(settings=Settings(explain_calls=0))
    few = await world.system(settings=Settings(explain_calls=10))
    await few.subscribe(topic, lambda data: data).ready()
    for number in range(30):
        await silent.publish_and_wait(topic, number, correlation_id=f"{topic}-{number}")
    known = [await _names(silent, f"{topic}-{number}") for number in range(30)]
    assert 1 <= sum(map(bool, known)) <= 10
    assert {name for names in known for _, name in names} == {"received", "replied"}, "of the other one only"


async def test_observers_and_middleware_do_not_see_what_is_asked_inside(world: World, topic: str) -> None:
    watcher, seen = await world.system(), Seen()
    await watcher.subscribe(">", seen.take, observe=True).ready()
    await (await world.system()).explain("x")
    await (await world.system()).services()
    assert [data for data in seen if isinstance(data, dict) and ("trail" in data or "subscriptions" in data)] == []
    with pytest.raises(InvalidTopicError):
        await watcher.publish_and_wait("system.ask", {"subscriptions": True})
    with pytest.raises(InvalidTopicError, match="answered by the system itself"):
        watcher.subscribe("system.ask", lambda data: data)
    watcher.subscribe("system.ask", lambda data: data, observe=True)
    assert "system.ask" in {subscription.topic for subscription in watcher.subscriptions}


class Order(TypedDict):
    """What a shop is asked for."""

    sku: str
    count: int


async def test_services_tell_what_they_are_subscribed_to_with_schemas(world: World, topic: str) -> None:
    asker = await world.system(service="asker")
    shops = [await world.system(service="shop") for _ in range(2)]

    async def order(data: Order) -> list[str]:
        return []

    async def lines(data: int) -> AsyncIterator[str]:
        yield ""

    async def digest(data: list[Order]) -> None:
        pass

    await shops[1].subscribe(f"{topic}.placed", digest, batch=(50, 1.0)).ready()
    for shop in shops:
        await shop.subscribe(f"{topic}.order", order, group="workers", schema_version="2").ready()
    await shops[0].subscribe(f"{topic}.lines", lines).ready()
    await shops[0].subscribe(f"{topic}.>", lambda data: None, observe=True, name="watch").ready()
    found = {service.name: service for service in await asker.services(ttl=ASK_SECONDS)}
    assert set(found["shop"].instances) == {shop.instance for shop in shops}
    told = {one.topic: one for one in found["shop"].subscriptions}
    ordered, streamed, watched = told[f"{topic}.order"], told[f"{topic}.lines"], told[f"{topic}.>"]
    assert (ordered.group, ordered.schema_version, ordered.kind) == ("workers", "2", "handler")
    assert ordered.input is not None
    assert (told[f"{topic}.placed"].kind, told[f"{topic}.placed"].input) == ("batch", ordered.input), "each payload's"
    assert ordered.output == {"type": "array", "items": {"type": "string"}}
    assert (streamed.streams, streamed.input, streamed.output) == (True, {"type": "integer"}, {"type": "string"})
    assert (watched.kind, watched.input) == ("observer", None)
    assert found["asker"].subscriptions == []


# --- versions --------------------------------------------------------------------------------------------------------


class User(TypedDict):
    """As the handler of version 3 wants it."""

    first: str
    last: str
    active: bool


def _split(old: dict[str, Any]) -> dict[str, Any]:
    first, _, last = old["name"].partition(" ")
    return {"first": first, "last": last}


UPCASTERS = [("1", "2", _split), ("2", "3", lambda data: {**data, "active": True})]
ADA = {"first": "Ada", "last": "Lovelace", "active": True}
HERE = pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])


async def _lifting(world: World, topic: str, here: bool) -> EventSystem:
    caller = await world.system()

    async def handle(data: User) -> User:
        return data

    subscribed = (caller if here else await world.system()).subscribe(
        topic, handle, schema_version="3", upcasters=UPCASTERS
    )
    await subscribed.ready()
    return caller


@HERE
@pytest.mark.parametrize(
    ("version", "data"),
    [("1", {"name": "Ada Lovelace"}), ("2", {"first": "Ada", "last": "Lovelace"}), ("3", ADA), ("", ADA)],
)
async def test_older_versions_are_lifted_before_they_are_validated(
    world: World, topic: str, here: bool, version: str, data: Any
) -> None:
    caller = await _lifting(world, topic, here)
    assert await caller.publish_and_wait(topic, data, schema_version=version) == ADA


@HERE
@pytest.mark.parametrize(
    ("version", "data", "why"),
    [
        ("4", ADA, "understands schema version '3' and lifts '1', '2', not '4'"),
        ("1", {"nom": "Ada"}, "from schema version '1' to '2' raised KeyError"),
        ("2", {"first": "Ada"}, "does not fit"),
    ],
)
async def test_what_cannot_be_lifted_is_refused(
    world: World, topic: str, here: bool, version: str, data: Any, why: str
) -> None:
    caller = await _lifting(world, topic, here)
    with pytest.raises(InvalidPayloadError, match=why) as caught:
        await caller.publish_and_wait(topic, data, schema_version=version)
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    assert await caller.publish_and_wait(topic, ADA) == ADA, "nobody else is affected"


async def test_events_batches_and_filters_get_the_lifted_payload(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    options: dict[str, Any] = {"schema_version": "2", "upcasters": [("1", "2", _split)]}
    await system.subscribe(topic, seen.take, filter=lambda data: data["first"] == "Ada", **options).ready()
    await system.subscribe(topic, seen.take, batch=(2, 5.0), **options).ready()
    publisher = await world.system()
    for name in ("Ada Lovelace", "Alan Turing"):
        await publisher.publish(topic, {"name": name}, schema_version="1")
    await seen.reach(2)
    ada, alan = {"first": "Ada", "last": "Lovelace"}, {"first": "Alan", "last": "Turing"}
    assert ada in seen
    assert [ada, alan] in seen


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"upcasters": UPCASTERS}, "need schema_version"),
        ({"schema_version": "9", "upcasters": UPCASTERS}, "do not lead to '9'"),
        ({"schema_version": "3", "upcasters": [("1", "1", _split)]}, "do not lead"),
        ({"schema_version": "3", "upcasters": [("1", "3", _split), ("1", "2", _split)]}, "two upcasters"),
        ({"schema_version": "2", "upcasters": [("1", "2")]}, "an upcaster is"),
        ({"schema_version": "2", "upcasters": [("1", "2", None)]}, "an upcaster is"),
        ({"schema_version": "2", "upcasters": [(1, "2", _split)]}, "an upcaster is"),
        ({"schema_version": "2", "upcasters": [5]}, "an upcaster is"),
        ({"schema_version": "2", "upcasters": 5}, "upcasters is a list"),
        ({"schema_version": 2}, "schema_version is text"),
    ],
)
async def test_upcasters_that_lead_nowhere_are_refused(
    world: World, topic: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        world.make().subscribe(topic, lambda data: data, **options)


@needs(Feature.PROCESSES)
async def test_a_frozen_instance_does_not_hide_what_the_others_tell(world: World, topic: str) -> None:
    caller, peer = await world.system(), await world.peer(topic)
    await caller.publish_and_wait(topic, {"do": "echo"}, correlation_id=f"c-{topic}")
    peer.stop()
    explained = await caller.explain(f"c-{topic}", ttl=1.5)
    assert [step.name for step in explained.steps] == ["routed_remote", "dispatched", "completed"]
    frozen = explained.steps[1].detail["instance"]
    assert ("peer", frozen, "") in explained.missing
    told = {service.name: service.instances for service in await caller.services(ttl=2.0)}
    assert told["peer"][frozen] == "", "it is there, but did not answer"
    peer.cont()
    await until(lambda: caller.connected)
