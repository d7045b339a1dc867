"""What services do at Redis, past the gateway, is on its overview, and among the calls that are under way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from examples.node_package import provide

from tests import peers
from tests.gateway.http.streams import Stream, reading
from tests.gateway.up import Up, WebClient
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import EventSystem, RetryPolicy, Step, TielineError

pytestmark = pytest.mark.timeout(180)

BUSY = Path(peers.__file__).with_name("busy.mjs")
RATES = ("published", "called", "failed", "handled", "handler_failed", "p50_ms")


@pytest.fixture
async def web(stack: AsyncExitStack, redis_url: str) -> WebClient:
    up = await stack.enter_async_context(Up("--url", redis_url, http=True))
    return await stack.enter_async_context(WebClient(up))


async def _told(stream: Stream, instances: int, *names: str) -> dict[str, Any]:
    """What is told of the system when all have answered and these figures are there."""
    while True:
        system = (await stream.until("overview")).data["system"]
        if system and system["answered"] == instances and all(system["now"][name] for name in names):
            return system


async def test_the_figures_of_all_instances_are_added_up(
    stack: AsyncExitStack, web: WebClient, redis_url: str, topic: str
) -> None:
    python = await stack.enter_async_context(EventSystem(redis_url, service="steady"))
    await python.subscribe(f"{topic}.python", lambda data: data).ready()
    provide(BUSY.parent)
    async with reading(web, "GET", "/v1/overview/stream") as stream:
        alone = await _told(stream, 2)
        assert alone["instances"] == 2
        await stack.enter_async_context(Peer.node(BUSY, json.dumps({"url": redis_url, "topic": topic})))
        told = await _told(stream, 3, *RATES)
        assert (told["instances"], told["silent"]) == (3, [])
        now = told["now"]
        assert now["failed"] <= now["called"]
        assert now["handler_failed"] <= now["handled"]
        assert now["p99_ms"] >= now["p50_ms"] > 0
        assert now["in_flight"] >= 1, "what Node holds"
        python_made = python.metrics().published_events
        assert python_made == 0, "Python only answered, and Node's calls are counted once"
    gateway = (await web.get("/v1/overview")).json()
    assert gateway["totals"]["called"] == 0, "nothing came through the gateway"
    async with asyncio.timeout(30):  # until it has seen that nobody looks any more
        while (await web.get("/v1/overview")).json()["system"] is not None:
            await asyncio.sleep(0.1)


async def test_nobody_is_asked_while_nobody_looks(
    stack: AsyncExitStack, web: WebClient, redis_url: str, topic: str
) -> None:
    steps: list[Step] = []
    watched = await stack.enter_async_context(EventSystem(redis_url, service="watched", observe=steps.append))

    def asked() -> int:
        return sum(step.topic == "system.ask" for step in steps)

    async with reading(web, "GET", "/v1/overview/stream") as stream:
        await _told(stream, 2)
        assert asked()
    await asyncio.sleep(1)
    before = asked()
    await asyncio.sleep(5)
    assert asked() == before
    chain = f"asked-{topic}"
    await watched.subscribe(topic, lambda data: data).ready()
    await watched.publish_and_wait(topic, 1, correlation_id=chain)
    assert len((await watched.explain(chain)).steps) == 2, "questions take no room in what is remembered"
    assert not [record for record in watched._instance.trail._records if "system.ask" in record]


async def test_who_does_not_answer_is_named(stack: AsyncExitStack, web: WebClient, redis_url: str, topic: str) -> None:
    provide(BUSY.parent)
    peer = await stack.enter_async_context(Peer.node(BUSY, json.dumps({"url": redis_url, "topic": topic})))
    async with reading(web, "GET", "/v1/overview/stream") as stream:
        await _told(stream, 2, "called")
        peer.stop()
        while True:
            system = (await stream.until("overview")).data["system"]
            if system["silent"]:
                break
        assert (system["instances"], system["answered"]) == (2, 1)
        assert system["silent"][0].startswith("busy/")
        peer.cont()
        await _told(stream, 2, "called")


async def test_calls_between_services_at_redis_are_live(
    stack: AsyncExitStack, web: WebClient, redis_url: str, topic: str
) -> None:
    python = await stack.enter_async_context(EventSystem(redis_url, service="steady"))
    held = asyncio.Event()

    async def slow(_data: Any) -> None:
        await held.wait()

    await python.subscribe(f"{topic}.slow", slow).ready()
    provide(BUSY.parent)
    await stack.enter_async_context(Peer.node(BUSY, json.dumps({"url": redis_url, "topic": topic})))
    local = asyncio.create_task(python.publish_and_wait(f"{topic}.slow", 2, correlation_id="held-in-python"))
    wanted, found = {"held-in-node", "slow-for-node", "held-in-python"}, dict[str, Any]()
    async with asyncio.timeout(30):
        while not (wanted <= found.keys() and found["slow-for-node"]["responder"]):
            told = (await web.get("/v1/calls/live")).json()
            found = {call["correlation_id"]: call for call in told["items"]}
    assert (told["instances"], told["answered"]) == (3, 3)
    assert found["slow-for-node"]["topic"] == f"{topic}.slow"
    assert found["slow-for-node"]["source"].startswith("busy/")
    assert found["slow-for-node"]["responder"] == python.instance
    assert found["held-in-python"]["source"] == f"steady/{python.instance}"
    assert 0 < found["held-in-node"]["until"] - found["held-in-node"]["since"] <= 30_000
    held.set()
    await local


async def test_the_tap_shows_what_services_store_at_redis_and_what_is_put_back(
    stack: AsyncExitStack, topic: str
) -> None:
    server = stack.enter_context(RedisServer())
    up = await stack.enter_async_context(Up("--url", server.url, http=True))
    web = await stack.enter_async_context(WebClient(up))
    shop = await stack.enter_async_context(EventSystem(server.url, service="shop"))
    broken = True

    def handle(_data: Any) -> None:
        if broken:
            raise ValueError("no")

    options: Any = {"durable": True, "retry": RetryPolicy(max_attempts=1), "on_poison": "dead_letter"}
    await shop.subscribe(topic, handle, **options).ready()
    async with reading(web, "GET", "/v1/tap", params={"topic": topic}) as stream:
        await stream.until("watching")
        await shop.publish(topic, {"n": 1}, key="a")
        told = await stream.next()
        assert (told.name, told.data["data"], told.data["key"]) == ("stored", {"n": 1}, "a")
        while not (letters := await shop.dead_letters.list(topic)):
            await asyncio.sleep(0.05)
        broken = False
        await shop.dead_letters.redrive(topic, ids=[letters[0].id])
        again = await stream.next()
        assert (again.name, again.data["id"], again.data["data"]) == ("stored", told.data["id"], {"n": 1})
        server.command("XADD", f"event_stream:{topic}:card-7", "*", "text", "hello")
        server.command("PUBLISH", "group_change", f"register:{topic}:card-7")
        foreign = await stream.next()
        assert (foreign.name, foreign.data["key"], foreign.data["data"]) == ("stored", "card-7", {"text": "hello"})
    while "tap" in server.command("PUBSUB", "CHANNELS", "*tape:tap"):  # nobody listens any more
        await asyncio.sleep(0.05)


async def test_the_tap_goes_on_when_the_broker_is_back(stack: AsyncExitStack, topic: str) -> None:
    server = stack.enter_context(RedisServer())
    up = await stack.enter_async_context(Up("--url", server.url, http=True))
    web = await stack.enter_async_context(WebClient(up))
    shop = await stack.enter_async_context(EventSystem(server.url, service="shop"))
    async with reading(web, "GET", "/v1/tap", params={"topic": topic}) as stream:
        await stream.until("watching")
        server.restart()
        await stream.until("gap")

        async def store() -> None:
            while True:
                with contextlib.suppress(TielineError):
                    await shop.publish(topic, 1, key="a")
                await asyncio.sleep(0.1)

        storing = asyncio.create_task(store())
        assert await stream.until("stored")
        storing.cancel()
