"""Several gateways on one Redis, and gateways beside programs that speak to Redis themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import msgpack
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.gateway.commands import command
from tests.gateway.up import Client, Up, system
from tests.suite.seen import BUSY_SECONDS, Seen, Watch, until
from tests.suite.world import RESPONDER
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import EventSystem
from tieline._contract import gateway_pb2 as wire
from tieline.errors import ResponderLostError, TielineError, UnavailableError


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of this test's own, to be stopped at will."""
    with RedisServer() as running:
        yield running


@pytest.fixture
async def pair(stack: AsyncExitStack, server: RedisServer) -> tuple[Up, Up]:
    """Two gateways on one Redis."""
    first, second = Up("--redis-url", server.url), Up("--redis-url", server.url)
    return await stack.enter_async_context(first), await stack.enter_async_context(second)


async def test_caller_on_one_responder_on_the_other(stack: AsyncExitStack, pair: tuple[Up, Up], topic: str) -> None:
    here, there = [await stack.enter_async_context(system(up)) for up in pair]
    await there.subscribe(topic, lambda data: data * 2).ready()
    assert await here.publish_and_wait(topic, 21) == 42
    plain = await stack.enter_async_context(Client(pair[0].address))
    reply = await plain.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=topic, data=msgpack.packb(4)), timeout=5)
    assert msgpack.unpackb(reply.data) == 8


async def test_with_one_that_speaks_to_redis_itself(
    stack: AsyncExitStack, pair: tuple[Up, Up], server: RedisServer, topic: str
) -> None:
    direct = await stack.enter_async_context(EventSystem(server.url, service="direct"))
    linked = await stack.enter_async_context(system(pair[0]))
    await direct.subscribe(f"{topic}.direct", lambda data: ["direct", data]).ready()
    await linked.subscribe(f"{topic}.linked", lambda data: ["linked", data]).ready()
    assert await linked.publish_and_wait(f"{topic}.direct", 1) == ["direct", 1]
    assert await direct.publish_and_wait(f"{topic}.linked", 2) == ["linked", 2]


async def test_who_comes_while_the_broker_is_away_is_told_that_and_not_that_the_gateway_is(
    stack: AsyncExitStack, server: RedisServer
) -> None:
    up = await stack.enter_async_context(Up("--redis-url", server.url))
    server.stop()
    said = []

    async def told() -> bool:
        printed = await command("pub", "t", "1", "--url", f"grpc://{up.address}")
        said[:] = [printed.err]
        return (printed.code, "its broker cannot be reached now" in printed.err) == (6, True)

    async with asyncio.timeout(BUSY_SECONDS + 30):
        while not await told():
            pass
    assert f"the gateway at {up.address} takes no links now" in said[0]
    assert "start one" not in said[0]


async def test_each_subscriber_gets_one_copy_wherever_it_is(
    stack: AsyncExitStack, pair: tuple[Up, Up], topic: str
) -> None:
    seen = [Seen() for _ in range(4)]
    systems = [await stack.enter_async_context(system(up)) for up in (*pair, *pair)]
    for each, got in zip(systems, seen, strict=True):
        await each.subscribe(topic, got.take).ready()
    plain = await stack.enter_async_context(Client(pair[1].address))
    await plain.stub.Publish(wire.PublishRequest(topic=topic, data=msgpack.packb(1)), timeout=5)
    await systems[0].publish(topic, 2)
    for got in seen:
        await got.stay(2)


async def test_a_group_across_gateways_shares(stack: AsyncExitStack, pair: tuple[Up, Up], topic: str) -> None:
    seen = [Seen(), Seen()]
    for up, got in zip(pair, seen, strict=True):
        each = await stack.enter_async_context(system(up))
        await each.subscribe(f"{topic}.*", got.take, group="workers").ready()
    publisher = await stack.enter_async_context(system(pair[0]))
    await publisher.publish(f"{topic}.warm-up")
    for number in range(20):
        await publisher.publish(f"{topic}.x", number)
    await until(lambda: sum(map(len, seen)) >= 21)
    assert sorted(n for got in seen for n in got if n is not None) == list(range(20))
    assert all(seen)


async def test_cancelling_reaches_the_handler_behind_the_other_gateway(
    stack: AsyncExitStack, pair: tuple[Up, Up], topic: str
) -> None:
    here, there = [await stack.enter_async_context(system(up)) for up in pair]
    steps = Seen()

    async def slow() -> None:
        steps.append("begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    await there.subscribe(topic, slow).ready()
    calling = asyncio.create_task(here.publish_and_wait(topic))
    await steps.reach(1)
    calling.cancel()
    await steps.reach(2)


async def test_a_gateway_that_is_killed_takes_its_responders_with_it(
    stack: AsyncExitStack, pair: tuple[Up, Up], topic: str
) -> None:
    here, there = [await stack.enter_async_context(system(up)) for up in pair]
    begun = Seen()

    async def slow() -> None:
        begun.append(1)
        await asyncio.sleep(30)

    await there.subscribe(topic, slow).ready()
    calling = asyncio.create_task(here.publish_and_wait(topic))
    await begun.reach(1)
    watch = Watch()
    pair[1].kill()
    with pytest.raises(ResponderLostError):
        await calling
    assert watch.seconds < 3.5 + BUSY_SECONDS


async def test_a_gateway_that_stops_lets_others_take_over(
    stack: AsyncExitStack, pair: tuple[Up, Up], topic: str
) -> None:
    caller, first, second = [await stack.enter_async_context(system(up)) for up in (pair[0], pair[1], pair[0])]
    gate, begun = asyncio.Event(), Seen()

    async def wait(data: int) -> str:
        begun.append(data)
        await gate.wait()
        return "first"

    await first.subscribe(topic, wait).ready()
    calling = asyncio.create_task(caller.publish_and_wait(topic, 1))
    await begun.reach(1)
    await second.subscribe(topic, lambda data: "second").ready()
    pair[1].terminate()
    await pair[1].line("stopping")
    while len(await caller._instance.port.responders(topic)) > 1:  # type: ignore[union-attr]
        await asyncio.sleep(0.01)
    assert [await caller.publish_and_wait(topic, 2) for _ in range(6)] == ["second"] * 6
    gate.set()
    assert await calling == "first"
    assert await pair[1].wait(seconds=20) == 0


async def test_while_redis_is_away_calls_fail_and_then_work_again(
    stack: AsyncExitStack, server: RedisServer, topic: str
) -> None:
    up = await stack.enter_async_context(Up("--redis-url", server.url))
    here, there = [await stack.enter_async_context(system(up)) for _ in range(2)]
    gaps = Seen()
    subscription = there.subscribe(topic, lambda data: data, on_gap=lambda *gap: gaps.append(gap))
    await subscription.ready()
    server.kill()
    await until(lambda: not here.connected and not there.connected)
    with pytest.raises(UnavailableError) as caught:
        await here.publish_and_wait(topic, 1)
    assert (caught.value.outcome, caught.value.retryable) == ("NOT_DELIVERED", True)
    server.start()
    await until(lambda: here.connected and there.connected)
    await gaps.reach(1)
    assert await here.publish_and_wait(topic, 2, ttl=20.0, wait_for_responders=20.0) == 2


async def test_simple_calls_while_redis_is_away(stack: AsyncExitStack, server: RedisServer, topic: str) -> None:
    up = await stack.enter_async_context(Up("--redis-url", server.url))
    there = await stack.enter_async_context(system(up))
    client = await stack.enter_async_context(Client(up.address))
    server.kill()
    await until(lambda: not there.connected)
    for made in (
        client.stub.Publish(wire.PublishRequest(topic=topic), timeout=5),
        client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=topic), timeout=5),
    ):
        with pytest.raises(Exception, match="UNAVAILABLE"):
            await made


async def test_a_responder_process_behind_another_gateway(
    stack: AsyncExitStack, pair: tuple[Up, Up], topic: str
) -> None:
    told = f'{{"url": "{pair[1].url}", "topic": "{topic}"}}'
    peer = await stack.enter_async_context(Peer.python(RESPONDER, told))
    caller = await stack.enter_async_context(system(pair[0]))
    calling = asyncio.create_task(caller.publish_and_wait(topic, {"do": "sleep", "seconds": 30}))
    await peer.line("^BEGUN")
    peer.kill()
    watch = Watch()
    with pytest.raises(TielineError) as caught:
        await calling
    assert (caught.value.code, caught.value.outcome) == ("RESPONDER_LOST", "MAY_HAVE_RUN")
    assert watch.seconds < 3.5 + BUSY_SECONDS


async def test_health_follows_redis(stack: AsyncExitStack, server: RedisServer) -> None:
    up = await stack.enter_async_context(Up("--redis-url", server.url))
    stub: Any = health_pb2_grpc.HealthStub((await stack.enter_async_context(Client(up.address))).channel)
    watching = stub.Watch(health_pb2.HealthCheckRequest())
    async with asyncio.timeout(40):
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        server.kill()
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        server.start()
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
    watching.cancel()
