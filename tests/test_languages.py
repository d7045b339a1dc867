"""What Python asks of Node, and Node of Python, over Redis and through gateways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest
from examples.node_package import provide

from tests.suite.seen import ASK_SECONDS, until
from tests.suite.world import KINDS, Place, World, new_topic
from tests.support.processes import Peer
from tieline import (
    ConflictError,
    Event,
    EventSystem,
    HandlerError,
    Handling,
    InvalidPayloadError,
    ResponderLostError,
    RetryPolicy,
    Standing,
    Stream,
    UnsupportedError,
    idempotency_store,
)
from tieline.errors import Outcome

PEERS = Path(__file__).parent / "peers"


@pytest.fixture(scope="module", params=[name for name in KINDS if name != "memory"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A broker that both languages reach."""
    with KINDS[request.param].open() as opened:
        yield opened


@pytest.fixture
async def python(place: Place) -> AsyncIterator[EventSystem]:
    """This side."""
    world = World(place)
    try:
        system = await world.system(service="python")
        for topic in ("python.count", "node.count", "node.read") if place.url.startswith("grpc") else ():
            while await system._instance.port.responders(topic):  # type: ignore[union-attr]
                await asyncio.sleep(0.01)  # the gateway has not let go of those of the test before
        yield system
    finally:
        await world.close()


@pytest.fixture
async def node(place: Place) -> AsyncIterator[Peer]:
    """The other side."""
    provide(PEERS)
    async with Peer.node(PEERS / "languages.mjs", json.dumps({"url": place.url})) as peer:
        yield peer


@pytest.fixture
def topic() -> str:
    """A topic that no other test has."""
    return f"language.{new_topic()}"


class Counter:
    """A handler that counts, and remembers how it fared."""

    def __init__(self) -> None:
        self.yielded = 0
        self.closed = False

    async def count(self, data: dict[str, Any]) -> AsyncIterator[int]:
        try:
            for number in range(data["end"]):
                self.yielded = number + 1
                yield number
            if data.get("fail"):
                raise LookupError("no more")
        finally:
            self.closed = True


@pytest.fixture
async def counter(python: EventSystem) -> Counter:
    """A Python handler that streams."""
    made = Counter()
    await python.subscribe("python.count", made.count).ready()
    return made


async def who(data: Any) -> str:
    """Say who answers."""
    return "python"


async def drained(stream: Stream) -> None:
    """Read to the end."""
    async for _ in stream:
        pass


# --- streams ---------------------------------------------------------------------------------------------------------


async def test_python_reads_what_node_yields(python: EventSystem, node: Peer) -> None:
    assert [item async for item in python.publish_and_stream("node.count", {"end": 5_000})] == list(range(5_000))


async def test_node_reads_what_python_yields(python: EventSystem, node: Peer, counter: Counter) -> None:
    read = await python.publish_and_wait("node.read", {"topic": "python.count", "data": {"end": 5_000}})
    assert read == {"items": list(range(5_000))}


async def test_python_leaves_and_the_generator_in_node_is_closed(python: EventSystem, node: Peer) -> None:
    async for item in python.publish_and_stream("node.count", {"end": 1_000_000}):
        if item == 5:
            break
    await node.line("^ABORTED CANCELLED$")
    closed = await node.line("^CLOSED")
    assert int(closed.split()[1]) < 1_000_000


async def test_node_leaves_and_the_generator_in_python_is_closed(
    python: EventSystem, node: Peer, counter: Counter
) -> None:
    request = {"topic": "python.count", "data": {"end": 1_000_000}, "stop": 5}
    assert await python.publish_and_wait("node.read", request) == {"items": [0, 1, 2, 3, 4]}
    await until(lambda: counter.closed)
    assert counter.yielded < 1_000_000


async def test_an_error_in_the_middle_of_a_stream_crosses_over(
    python: EventSystem, node: Peer, counter: Counter
) -> None:
    stream = python.publish_and_stream("node.count", {"end": 3, "fail": True})
    assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(HandlerError) as caught:
        await anext(stream)
    error = caught.value
    assert (error.type, error.message, error.outcome) == ("RangeError", "no more", Outcome.RAN)
    read = await python.publish_and_wait("node.read", {"topic": "python.count", "data": {"end": 3, "fail": True}})
    assert (read["items"], read["error"]["type"], read["error"]["outcome"]) == ([0, 1, 2], "LookupError", "RAN")


async def test_a_plain_call_of_a_generator_in_the_other_language_is_refused(
    python: EventSystem, node: Peer, counter: Counter
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        await python.publish_and_wait("node.count", {"end": 3})
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    called = await python.publish_and_wait("node.call", {"topic": "python.count", "data": {"end": 3}})
    assert (called["error"]["code"], called["error"]["outcome"]) == ("UNSUPPORTED", "NOT_DELIVERED")
    assert await python.publish_and_wait("node.yielded") == 0
    assert counter.yielded == 0


async def test_a_reader_in_python_slows_a_handler_in_node(python: EventSystem, node: Peer) -> None:
    async with python.publish_and_stream("node.count", {"end": 1_000_000}, window=10) as stream:
        for expected in range(100):
            assert await anext(stream) == expected
        assert await python.publish_and_wait("node.yielded") <= 112


async def test_a_reader_in_node_slows_a_handler_in_python(python: EventSystem, node: Peer, counter: Counter) -> None:
    request = {"topic": "python.count", "data": {"end": 1_000_000}, "stop": 100, "options": {"window": 10}}
    assert await python.publish_and_wait("node.read", request) == {"items": list(range(100))}
    await until(lambda: counter.closed)
    assert counter.yielded <= 112


async def test_a_handler_in_node_that_is_killed_ends_its_stream_in_python(python: EventSystem, node: Peer) -> None:
    stream = python.publish_and_stream("node.count", {"end": 1_000_000}, window=5)
    assert await anext(stream) == 0
    node.kill()
    with pytest.raises(ResponderLostError):
        await drained(stream)


async def test_a_reader_in_node_that_is_killed_does_not_keep_the_handler_in_python(
    python: EventSystem, node: Peer, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieline.responder._STREAM_LEASE_SECONDS", 2.0)
    request = {"topic": "python.count", "data": {"end": 100_000_000}}
    reading = asyncio.ensure_future(python.publish_and_wait("node.read", request))
    await until(lambda: counter.yielded > 100 or reading.done(), say=lambda: f"{counter.yielded} items; {node.text}")
    assert not reading.done(), reading.exception() or reading.result()
    node.kill()
    with pytest.raises(ResponderLostError):
        await reading
    await until(lambda: counter.closed)


# --- gather ----------------------------------------------------------------------------------------------------------


async def test_each_language_asks_the_services_of_both(python: EventSystem, node: Peer) -> None:
    await python.subscribe("both.who", who).ready()
    gathered = await python.publish_and_gather("both.who")
    assert sorted((reply.responder.service, reply.value) for reply in gathered.replies) == [
        ("node-peer", "node"),
        ("python", "python"),
    ]
    asked = await python.publish_and_wait("node.gather", {"topic": "both.who"})
    assert sorted((reply["responder"]["service"], reply["value"]) for reply in asked["replies"]) == [
        ("node-peer", "node"),
        ("python", "python"),
    ]


async def test_a_group_of_both_languages_answers_once(python: EventSystem, node: Peer) -> None:
    await python.subscribe("both.group", who, group="shared").ready()
    gathered = await python.publish_and_gather("both.group")
    assert [(reply.responder.group, reply.value) for reply in gathered.replies] == [("shared", "python")]
    asked = await python.publish_and_wait("node.gather", {"topic": "both.group"})
    assert [(reply["responder"]["group"], reply["value"]) for reply in asked["replies"]] == [("shared", "node")]
    every = await python.publish_and_gather("both.group", every_instance=True)
    assert sorted(every.values) == ["node", "python"]


# --- idempotency keys ------------------------------------------------------------------------------------------------

PAYLOAD: dict[str, Any] = {"b": [2, None, "ü"], "a": 1, "big": 2**60}
"""JavaScript writes the integer as a bigint and keeps its own order of keys."""


async def test_both_languages_share_the_run_of_a_key(python: EventSystem, node: Peer, topic: str) -> None:
    runs = 0

    async def work(data: Any) -> dict[str, Any]:
        nonlocal runs
        runs += 1
        return {"run": runs, "data": data}

    await python.subscribe(topic, work).ready()
    for asked in (topic, "node.work"):
        request = {"topic": asked, "data": PAYLOAD, "options": {"idempotencyKey": topic}}
        by_node = await python.publish_and_wait("node.call", request)
        by_python = await python.publish_and_wait(asked, {**PAYLOAD, "a": 1.0}, idempotency_key=topic)
        assert by_node == {"value": by_python}
        assert by_python == {"run": 1, "data": PAYLOAD}
        conflict = await python.publish_and_wait("node.call", {**request, "data": {}})
        assert (conflict["error"]["code"], conflict["error"]["outcome"]) == ("CONFLICT", "NOT_DELIVERED")
        with pytest.raises(ConflictError):
            await python.publish_and_wait(asked, {}, idempotency_key=topic)
    assert runs == 1


# --- looking inside --------------------------------------------------------------------------------------------------


class Name(TypedDict):
    """A name of version 2."""

    first: str
    last: str


def _split(old: dict[str, Any]) -> dict[str, Any]:
    first, _, last = old["name"].partition(" ")
    return {"first": first, "last": last}


async def _greet(name: Name) -> str:
    return f"{name['last']}, {name['first']}"


async def test_each_language_lists_the_services_of_both(python: EventSystem, node: Peer) -> None:
    subscribed = python.subscribe(
        "python.greet", _greet, name="greet", schema_version="2", upcasters=[("1", "2", _split)]
    )
    await subscribed.ready()
    found = {service.name: service for service in await python.services(ttl=ASK_SECONDS)}
    assert {"node-peer", "python"} <= set(found)
    assert "node/0.1.0" in found["node-peer"].instances.values()
    told = {one.topic: one for one in found["node-peer"].subscriptions}
    assert (told["node.count"].streams, told["node.count"].input) == (True, None)
    assert told["both.group"].group == "shared"
    greet = told["node.greet"]
    properties = {"first": {"type": "string"}, "last": {"type": "string"}}
    assert (greet.name, greet.kind, greet.schema_version) == ("greet", "handler", "2")
    assert (greet.input, greet.output) == ({"type": "object", "properties": properties}, {"type": "string"})

    seen = {service["name"]: service for service in await python.publish_and_wait("node.services")}
    assert seen["python"]["instances"] == {python.instance: "python/0.1.0"}
    (own,) = seen["python"]["subscriptions"]
    assert (own["topic"], own["kind"], own["schemaVersion"], own["streams"]) == ("python.greet", "handler", "2", False)
    assert own["output"] == {"type": "string"}
    (mine,) = found["python"].subscriptions
    assert mine.input is not None
    assert own["input"] == mine.input
    assert {one["topic"]: one.get("input") for one in seen["node-peer"]["subscriptions"]} == {
        one.topic: one.input for one in told.values()
    }


async def test_each_language_lifts_what_the_other_one_says_in_an_older_version(python: EventSystem, node: Peer) -> None:
    subscribed = python.subscribe("python.greet", _greet, schema_version="2", upcasters=[("1", "2", _split)])
    await subscribed.ready()
    old = {"name": "Ada Lovelace"}
    assert await python.publish_and_wait("node.greet", old, schema_version="1") == "Lovelace, Ada"
    with pytest.raises(InvalidPayloadError, match='not "3"') as caught:
        await python.publish_and_wait("node.greet", old, schema_version="3")
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    request = {"topic": "python.greet", "data": old, "options": {"schemaVersion": "1"}}
    assert await python.publish_and_wait("node.call", request) == {"value": "Lovelace, Ada"}
    called = await python.publish_and_wait("node.call", request | {"options": {"schemaVersion": "3"}})
    assert (called["error"]["code"], called["error"]["outcome"]) == ("INVALID_PAYLOAD", "NOT_DELIVERED")


async def test_each_language_tells_the_other_where_a_call_went(python: EventSystem, node: Peer, topic: str) -> None:
    await python.publish_and_wait("node.work", 1, correlation_id=topic)
    explained = await python.explain(topic, ttl=ASK_SECONDS)
    steps = {(step.source.partition("/")[0], step.name): step.detail for step in explained.steps}
    assert set(steps) == {
        ("python", "routed_remote"), ("python", "dispatched"), ("python", "completed"),
        ("node-peer", "received"), ("node-peer", "replied"),
    }  # fmt: skip
    told = await python.publish_and_wait("node.explain", topic)
    assert {(step["source"].partition("/")[0], step["name"]): step["detail"] for step in told["steps"]} == steps


async def test_a_failure_in_node_is_explained_in_python_when_node_is_gone(
    python: EventSystem, node: Peer, topic: str
) -> None:
    with pytest.raises(UnsupportedError):
        await python.publish_and_wait("node.count", {"end": 1}, correlation_id=topic)
    await python.publish_and_wait("node.yielded")
    node.kill()
    await node.wait()
    explained = await python.explain(topic, ttl=5.0)
    steps = {(step.source.partition("/")[0], step.name): step.detail for step in explained.steps}
    assert steps["node-peer", "replied"] == {"subscription": "count", "error": "UNSUPPORTED"}
    assert steps["python", "failed"]["code"] == "UNSUPPORTED"


# --- durable events --------------------------------------------------------------------------------------------------


class Handled:
    """A handler of durable events that remembers what it got, and fails as often as it is told."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    async def take(self, data: dict[str, Any], event: Event) -> None:
        assert event.delivery is not None
        self.seen.append([event.key, data, event.delivery.attempt])
        if data.get("fail", 0) > event.delivery.attempt:
            raise LookupError("not yet")


async def _handled_by_node(python: EventSystem, count: int) -> list[list[Any]]:
    seen: list[list[Any]] = []
    async with asyncio.timeout(20):
        while len(seen) < count:
            seen += await python.publish_and_wait("node.handled")
    return seen


async def test_python_stores_and_node_handles(python: EventSystem, node: Peer) -> None:
    receipts = [
        await python.publish("stored.node", data, key="clé")
        for data in ({"n": 1}, {"n": 2, "fail": 3}, {"n": 3, "reject": "no"}, {"n": 4})
    ]
    assert [receipt.stored.stream for receipt in receipts if receipt.stored] == ["event_stream:stored.node:clé"] * 4
    assert await _handled_by_node(python, 6) == [
        ["clé", {"n": 1}, 1],
        ["clé", {"n": 2, "fail": 3}, 1],
        ["clé", {"n": 2, "fail": 3}, 2],
        ["clé", {"n": 2, "fail": 3}, 3],
        ["clé", {"n": 3, "reject": "no"}, 1],
        ["clé", {"n": 4}, 1],
    ]
    await python.publish("stored.node", {"n": 5}, durable=True, priority=10)
    assert await _handled_by_node(python, 1) == [["", {"n": 5}, 1]]


async def test_node_stores_and_python_handles(python: EventSystem, node: Peer, topic: str) -> None:
    handled, retry = Handled(), RetryPolicy(backoff=0.01, cap=0.01)
    await python.subscribe(topic, handled.take, durable=True, retry=retry).ready()
    for number in range(3):
        request = {
            "topic": topic,
            "data": {"n": number, "fail": number},
            "options": {"key": "k", "dedupe": f"id-{number}"},
        }
        first = await python.publish_and_wait("node.store", request)
        again = await python.publish_and_wait("node.store", request)
        assert again == first | {"duplicate": True}
        assert first["stream"] == f"event_stream:{topic}:k"
    await until(lambda: len(handled.seen) >= 4)
    zero, one, two = ({"n": number, "fail": number} for number in range(3))
    assert handled.seen == [["k", zero, 1], ["k", one, 1], ["k", two, 1], ["k", two, 2]]


async def test_both_languages_share_a_group_and_each_key_keeps_its_order(python: EventSystem, node: Peer) -> None:
    handled, keys = Handled(), [f"k{number}" for number in range(20)]
    await python.subscribe("stored.both", handled.take, durable=True).ready()
    for number in range(10):
        await asyncio.gather(*(python.publish("stored.both", {"n": number}, key=key) for key in keys))
    seen: list[list[Any]] = []
    async with asyncio.timeout(20):
        while len(seen) + len(handled.seen) < 200:
            seen += await python.publish_and_wait("node.handled")
    for key in keys:
        own = [data["n"] for name, data, _ in handled.seen if name == key]
        theirs = [data["n"] for name, data, _ in seen if name == key]
        assert (own, theirs) == (sorted(own), sorted(theirs))
        assert sorted(own + theirs) == list(range(10))


async def test_both_languages_share_what_was_handled(python: EventSystem, node: Peer, redis_url: str) -> None:
    store: Any = idempotency_store(redis_url, namespace="shop")
    handling = Handling("grüppe", "orders.placed", "018f")

    async def ask_node(what: str, owner: str = "") -> Any:
        question = {"url": redis_url, "what": what, "handling": handling._asdict(), "owner": owner}
        return await python.publish_and_wait("node.once", question)

    assert await store.begin(handling, "python", 60.0) == Standing.BEGUN
    assert await ask_node("begin", "node") == "busy"
    assert await ask_node("begin", "python") == "begun"
    await ask_node("giveUp", "node")
    assert await ask_node("begin", "node") == "busy"
    await store.give_up(handling, "python")
    assert await ask_node("begin", "node") == "begun"
    assert await store.begin(handling, "python", 60.0) == Standing.BUSY
    await ask_node("giveUp", "node")
    assert await store.begin(handling, "python", 60.0) == Standing.BEGUN
    await ask_node("done")
    assert await store.begin(handling, "python", 60.0) == Standing.DONE
    handling = handling._replace(id="other")
    await store.done(handling)
    assert await ask_node("begin", "node") == "done"
    await store.aclose()
