"""Durable events over a gateway for our clients and for plain programs, also while gateways and Redis come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import msgpack
import pytest

from tests.gateway.raw_link import event
from tests.gateway.test_simple_calls import failure
from tests.gateway.up import Client, Up, system
from tests.suite.seen import Seen, until
from tests.support.servers import RedisServer, paused
from tieline import Event, EventSystem, PayloadTooLargeError, Settings, UnavailableError
from tieline._contract import gateway_pb2 as wire
from tieline.durable.mail import Draft
from tieline.transports.grpc import GrpcTransport

QUICK = Settings(reconnect_min=0.02, reconnect_max=0.1, drain=0.1)
LARGE = bytes(1_000_000)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of this test's own, which keeps what it was told when it ends."""
    with RedisServer(persist=True) as running:
        yield running


@pytest.fixture
async def up(stack: AsyncExitStack, server: RedisServer) -> Up:
    """A gateway in front of it."""
    return await stack.enter_async_context(Up("--redis-url", server.url))


# --- gateways and Redis come and go ---------------------------------------------------------------------------------


async def test_what_a_handler_had_when_the_gateway_died_is_settled_over_the_next_link(
    stack: AsyncExitStack, up: Up, topic: str
) -> None:
    here, there = [await stack.enter_async_context(system(up, settings=QUICK)) for _ in range(2)]
    seen, gate = Seen(), asyncio.Event()

    async def take(data: int, event: Event) -> None:
        assert event.delivery is not None
        seen.append((data, event.delivery.attempt))
        await gate.wait()

    subscription = there.subscribe(topic, take, durable=True)
    await subscription.ready()
    await here.publish(topic, 1, key="k")
    await here.publish(topic, 2, key="k")
    await seen.reach(1)
    up.kill()
    await up.wait()
    await until(lambda: not here.connected and not there.connected)
    await up.start()
    await here.publish(topic, 3, key="k", wait_for_connection=20.0)
    gate.set()
    await seen.stay(3)
    assert seen == [(1, 1), (2, 1), (3, 1)]
    assert subscription.consumer is not None
    await until(lambda: subscription.consumer.held == 0)  # type: ignore[union-attr]
    (figures,) = await there.groups.list(topic)
    assert (figures.waiting, figures.pending) == (0, 0)


async def test_whether_an_event_is_stored_is_unknown_when_the_gateway_dies_first(
    stack: AsyncExitStack, server: RedisServer, up: Up, topic: str
) -> None:
    events = await stack.enter_async_context(system(up, settings=QUICK))
    with paused(server):
        publishing = asyncio.create_task(events.publish(topic, 1, key="k"))
        await asyncio.sleep(0)
        up.kill()
        with pytest.raises(UnavailableError) as caught:
            await publishing
    assert caught.value.outcome == "MAY_HAVE_RUN"
    await until(lambda: not events.connected)
    with pytest.raises(UnavailableError) as caught:
        await events.publish(topic, 1, key="k")
    assert caught.value.outcome == "NOT_DELIVERED"


async def test_events_are_handled_when_redis_is_back(
    stack: AsyncExitStack, server: RedisServer, up: Up, topic: str
) -> None:
    here, there = [await stack.enter_async_context(system(up, settings=QUICK)) for _ in range(2)]
    seen = Seen()
    await there.subscribe(topic, seen.take, durable=True).ready()
    await here.publish(topic, 1, key="k")
    await seen.reach(1)
    server.kill()
    await until(lambda: not here.connected and not there.connected)
    with pytest.raises(UnavailableError):
        await here.publish(topic, 2, key="k")
    server.start()
    await here.publish(topic, 3, key="k", wait_for_connection=20.0)
    await until(lambda: 3 in seen)
    assert [data for data in seen if data != 1] == [3]


@pytest.mark.parametrize("direct", [False, True], ids=["gateway", "redis"])
async def test_who_subscribes_while_redis_is_away_gets_events_when_it_is_back(
    stack: AsyncExitStack, server: RedisServer, up: Up, topic: str, direct: bool
) -> None:
    made = EventSystem(server.url, settings=QUICK) if direct else system(up, settings=QUICK)
    events, seen = await stack.enter_async_context(made), Seen()
    await events.start()
    server.kill()
    await until(lambda: not events.connected)
    ready = asyncio.create_task(events.subscribe(topic, seen.take, durable=True).ready())
    await asyncio.sleep(0.2)
    assert not ready.done()
    server.start()
    await ready
    await events.publish(topic, 1, key="k", wait_for_connection=20.0)
    await seen.reach(1)


# --- sizes ----------------------------------------------------------------------------------------------------------


async def test_more_than_a_message_may_hold_is_claimed_given_up_and_listed(
    stack: AsyncExitStack, up: Up, topic: str
) -> None:
    events = await stack.enter_async_context(system(up))
    begun, gate = Seen(), asyncio.Event()

    async def refuse(data: bytes, event: Event) -> None:
        begun.append(len(data))
        await gate.wait()
        assert event.delivery is not None
        event.delivery.reject("too much")

    for _ in range(10):
        await events.publish(topic, LARGE, durable=True)
    await events.subscribe(topic, refuse, durable=True).ready()
    await begun.reach(10)
    gate.set()
    await until_equal(10, lambda: count_letters(events, topic))
    assert [len(letter.event.data) for letter in await events.dead_letters.list(topic)] == [len(LARGE)] * 10
    assert await events.dead_letters.redrive(topic) == 10
    await begun.reach(20)
    assert events.connected


async def test_what_is_stored_together_fits_into_a_message(stack: AsyncExitStack, up: Up, topic: str) -> None:
    transport = GrpcTransport(up.url)
    stack.push_async_callback(transport.aclose)
    port = await transport.open("raw", Listener())
    draft = Draft("", 5, "", 0, event(topic, LARGE).SerializeToString())
    with pytest.raises(PayloadTooLargeError, match="together"):
        await port.mail.append(topic, [draft] * 9, together=True)
    stored = await port.mail.append(topic, [draft] * 7, together=True)
    assert len({one.entry for one in stored if one is not None}) == 7
    assert len(await asyncio.gather(*(port.mail.append(topic, [draft]) for _ in range(9)))) == 9


@pytest.mark.parametrize("direct", [False, True], ids=["gateway", "redis"])
async def test_what_another_program_wrote_and_is_too_large_stops_its_key_and_nothing_else(
    stack: AsyncExitStack, server: RedisServer, up: Up, topic: str, direct: bool
) -> None:
    events, seen = await stack.enter_async_context(EventSystem(server.url) if direct else system(up)), Seen()
    await events.subscribe(topic, seen.take, durable=True).ready()
    server.command("XADD", f"event_stream:{topic}:large", "*", "image", "x" * 9_000_000, timeout=20.0)
    server.command("PUBLISH", "group_change", f"register:{topic}:large")
    await until_equal(1, lambda: count_parked(events, topic))
    await events.publish(topic, 1, key="small")
    await seen.stay(1)
    (letter,) = await events.parked.list(topic)
    assert (letter.event.key, letter.event.topic) == ("large", topic)
    assert server.command("XLEN", f"event_stream:{topic}:large").strip() == ":1"
    await events.parked.skip(topic, "large")
    assert await count_letters(events, topic) == 1
    assert events.connected


class Listener:
    """A receiver that is told nothing of importance."""

    def __getattr__(self, name: str) -> Any:
        return lambda *told: None


async def count_letters(events: Any, topic: str) -> int:
    """How many dead letters there are."""
    return len(await events.dead_letters.list(topic))


async def count_parked(events: Any, topic: str) -> int:
    """How many keys stopped."""
    return len(await events.parked.list(topic))


async def until_equal(value: Any, ask: Any, seconds: float = 30.0) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(seconds):
        while await ask() != value:
            await asyncio.sleep(0.05)


# --- plain programs -------------------------------------------------------------------------------------------------


async def test_a_plain_program_stores_events_with_a_key(stack: AsyncExitStack, up: Up, topic: str) -> None:
    client = await stack.enter_async_context(Client(up.address))
    events, seen = await stack.enter_async_context(system(up)), Seen()
    told = [
        await client.stub.Publish(wire.PublishRequest(topic=topic, data=msgpack.packb(n), key="k"), timeout=5)
        for n in range(3)
    ]
    assert {one.stored.stream for one in told} == {f"event_stream:{topic}:k"}
    assert len({one.stored.entry for one in told}) == 3

    async def take(data: int, event: Event) -> None:
        seen.append((data, event.id, event.key, event.expires_at, event.source.partition("/")[0]))

    await events.subscribe(topic, take, durable=True).ready()
    await seen.stay(3)
    assert seen == [(n, told[n].id, "k", None, "gateway") for n in range(3)]


async def test_a_plain_program_stores_events_without_a_key_by_priority(
    stack: AsyncExitStack, up: Up, topic: str
) -> None:
    client = await stack.enter_async_context(Client(up.address))
    events, seen = await stack.enter_async_context(system(up)), Seen()
    for n, priority in enumerate((0, 1, 10)):
        request = wire.PublishRequest(topic=topic, data=msgpack.packb(n), durable=True, priority=priority)
        told = await client.stub.Publish(request, timeout=5)
        assert told.stored.stream.endswith(f":q:{priority or 5}")
    await events.subscribe(topic, seen.take, durable=True).ready()
    await seen.stay(3)
    assert sorted(seen) == [0, 1, 2]


async def test_a_plain_program_stores_an_event_once(stack: AsyncExitStack, up: Up, topic: str) -> None:
    client = await stack.enter_async_context(Client(up.address))
    request = wire.PublishRequest(topic=topic, key="k", dedupe="order 17")
    first, again = [await client.stub.Publish(request, timeout=5) for _ in range(2)]
    assert (first.stored.duplicate, again.stored.duplicate) == (False, True)
    assert first.stored.entry == again.stored.entry
    full = await failure(client.stub.Publish(wire.PublishRequest(topic=topic, key="k", max_stored=1), timeout=5))
    assert (full.status, full.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert full.retry_ms
    live = await client.stub.Publish(wire.PublishRequest(topic=topic), timeout=5)
    assert not live.HasField("stored")


@pytest.mark.parametrize(
    "fields",
    [{"priority": 5}, {"dedupe": "x"}, {"max_stored": 1}, {"key": "k", "priority": 2}, {"key": "k", "dedupe": "a\n"}],
    ids=str,
)
async def test_a_plain_program_is_told_what_makes_no_sense(
    stack: AsyncExitStack, up: Up, topic: str, fields: dict[str, Any]
) -> None:
    client = await stack.enter_async_context(Client(up.address))
    told = await failure(client.stub.Publish(wire.PublishRequest(topic=topic, **fields), timeout=5))
    assert (told.status, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert told.metadata["outcome"] == "NOT_DELIVERED"
