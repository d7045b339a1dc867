"""Clients that die, gateways that die, and networks that lie."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.gateway.up import Client, Up, system
from tests.suite.seen import BUSY_SECONDS, Seen, Watch, until
from tests.suite.world import RESPONDER
from tests.support.processes import Peer
from tests.support.proxy import FaultProxy
from tieline import EventSystem, Settings
from tieline._contract import gateway_pb2 as wire
from tieline._contract.gateway_pb2_grpc import (
    EventGatewayServicer,
    EventGatewayStub,
    add_EventGatewayServicer_to_server,
)
from tieline.errors import NoRespondersError, ResponderLostError, TielineError, UnavailableError, UnsupportedError
from tieline.transports.grpc import GrpcTransport

QUICK = Settings(reconnect_min=0.02, reconnect_max=0.1, drain=0.1)


async def responder(stack: AsyncExitStack, up: Up, topic: str) -> Peer:
    """A responder in a process of its own."""
    told = json.dumps({"url": up.url, "topic": topic})
    return await stack.enter_async_context(Peer.python(RESPONDER, told))


async def through_proxy(stack: AsyncExitStack, up: Up, settings: Settings = QUICK) -> tuple[EventSystem, FaultProxy]:
    """One of our clients on this gateway, and the bad network between them."""
    host, port = up.address.split(":")
    proxy = await stack.enter_async_context(FaultProxy(host, int(port)))
    url = f"grpc://127.0.0.1:{proxy.port}"
    return await stack.enter_async_context(EventSystem(url, service="test", settings=settings)), proxy


# --- a client dies --------------------------------------------------------------------------------------------------


async def test_a_killed_responder_is_told_within_three_seconds(
    stack: AsyncExitStack, up: Up, events: EventSystem, topic: str
) -> None:
    peer = await responder(stack, up, topic)
    calling = asyncio.create_task(events.publish_and_wait(topic, {"do": "sleep", "seconds": 30}))
    await peer.line("^BEGUN")
    peer.kill()
    watch = Watch()
    with pytest.raises(ResponderLostError) as caught:
        await calling
    assert caught.value.outcome == "MAY_HAVE_RUN"
    assert watch.seconds < 3 + BUSY_SECONDS
    with pytest.raises(NoRespondersError):
        await events.publish_and_wait(topic)


async def test_a_simple_call_is_told_too(stack: AsyncExitStack, up: Up, client: Client, topic: str) -> None:
    peer = await responder(stack, up, topic)
    request = wire.PublishAndWaitRequest(
        topic=topic, content_type="application/json", data=b'{"do":"sleep","seconds":9}'
    )
    calling = asyncio.ensure_future(client.stub.PublishAndWait(request, timeout=20))
    await peer.line("^BEGUN")
    peer.kill()
    with pytest.raises(Exception, match="UNAVAILABLE") as caught:
        await asyncio.wait_for(calling, 3 + BUSY_SECONDS)
    metadata = dict(caught.value.trailing_metadata())  # type: ignore[attr-defined]
    assert b"RESPONDER_LOST" in metadata["grpc-status-details-bin"]


async def test_a_frozen_client_is_gone_after_its_lease(
    stack: AsyncExitStack, up: Up, events: EventSystem, topic: str
) -> None:
    peer = await responder(stack, up, topic)
    calling = asyncio.create_task(events.publish_and_wait(topic, {"do": "sleep", "seconds": 50}))
    await peer.line("^BEGUN")
    watch = Watch()
    peer.stop()
    with pytest.raises(ResponderLostError):
        await calling
    assert 10 < watch.seconds < 17.5 + BUSY_SECONDS


# --- the gateway dies -----------------------------------------------------------------------------------------------


async def test_clients_come_back_to_a_gateway_that_was_killed(stack: AsyncExitStack, up: Up, topic: str) -> None:
    here, there = [await stack.enter_async_context(system(up, settings=QUICK)) for _ in range(2)]
    gaps, seen = Seen(), Seen()
    await there.subscribe(topic, lambda data: data, on_gap=lambda *gap: gaps.append(gap)).ready()
    await there.subscribe(f"{topic}.*", seen.take, group="g").ready()
    names = here.instance, there.instance
    calling = asyncio.create_task(here.publish_and_wait(f"{topic}.nobody", wait_for_responders=20.0))
    up.kill()
    await up.wait()
    with pytest.raises(UnavailableError):
        await calling
    await until(lambda: not here.connected and not there.connected)
    with pytest.raises(UnavailableError) as caught:
        await here.publish_and_wait(topic, 1)
    assert caught.value.outcome == "NOT_DELIVERED"
    waiting = asyncio.create_task(here.publish_and_wait(topic, 2, wait_for_connection=20.0))
    await up.start()
    assert await waiting == 2
    assert await there.publish_and_wait(topic, 3) == 3
    await here.publish(f"{topic}.event", 4)
    await seen.reach(1)
    assert names != (here.instance, there.instance)
    await gaps.reach(1)
    since, until_, reason = gaps[0]
    assert isinstance(since, datetime)
    assert since < until_
    assert reason


async def test_a_call_in_flight_when_the_gateway_dies_may_have_run(
    stack: AsyncExitStack, up: Up, events: EventSystem, topic: str
) -> None:
    peer = await responder(stack, up, topic)
    calling = asyncio.create_task(events.publish_and_wait(topic, {"do": "sleep", "seconds": 30}))
    await peer.line("^BEGUN")
    up.kill()
    with pytest.raises(UnavailableError) as caught:
        await calling
    assert caught.value.outcome == "MAY_HAVE_RUN"


async def test_an_idempotent_call_outlives_the_gateway(stack: AsyncExitStack, up: Up, topic: str) -> None:
    here, there = [await stack.enter_async_context(system(up, settings=QUICK)) for _ in range(2)]
    begun = Seen()

    async def work() -> int:
        begun.append(1)
        if len(begun) == 1:
            await asyncio.sleep(30)
        return len(begun)

    await there.subscribe(topic, work).ready()
    calling = asyncio.create_task(here.publish_and_wait(topic, idempotent=True))
    await begun.reach(1)
    up.kill()
    await up.wait()
    await up.start()
    assert await calling == 2


async def test_subscribing_while_the_gateway_is_away_waits_for_it(stack: AsyncExitStack, up: Up, topic: str) -> None:
    events = await stack.enter_async_context(system(up, settings=QUICK))
    up.kill()
    await up.wait()
    await until(lambda: not events.connected)
    ready = asyncio.create_task(events.subscribe(topic, lambda data: data).ready())
    await asyncio.sleep(0.2)
    assert not ready.done()
    await up.start()
    await asyncio.wait_for(ready, 20)
    client = await stack.enter_async_context(Client(up.address))
    await client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=topic), timeout=5)


async def test_replies_made_while_the_gateway_is_away_do_no_harm(stack: AsyncExitStack, up: Up, topic: str) -> None:
    here, there = [await stack.enter_async_context(system(up, settings=QUICK)) for _ in range(2)]
    begun, gate = Seen(), asyncio.Event()

    async def work(data: int) -> int:
        begun.append(data)
        await gate.wait()
        return data

    await there.subscribe(topic, work).ready()
    calling = asyncio.create_task(here.publish_and_wait(topic, 1))
    await begun.reach(1)
    up.kill()
    with pytest.raises(UnavailableError):
        await calling
    gate.set()
    await asyncio.sleep(0.1)
    await up.wait()
    await up.start()
    await until(lambda: here.connected and there.connected)
    assert await here.publish_and_wait(topic, 2) == 2


# --- the network ----------------------------------------------------------------------------------------------------


async def test_a_network_that_swallows_everything_is_noticed(stack: AsyncExitStack, up: Up, topic: str) -> None:
    settings = Settings(reconnect_min=0.02, reconnect_max=0.1, ping_interval=0.3, pong_timeout=1.0, drain=0.1)
    events, proxy = await through_proxy(stack, up, settings)
    await events.subscribe(topic, lambda data: data).ready()
    watch = Watch()
    proxy.black_hole()
    await until(lambda: not events.connected)
    assert watch.seconds < 2 + BUSY_SECONDS
    proxy.reset()
    await proxy.restore()
    await until(lambda: events.connected)
    client = await stack.enter_async_context(Client(up.address))
    await until(lambda: events.connected)
    await client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=topic), timeout=5)


class Chatterer(EventGatewayServicer):
    """A gateway that always has something to say before it answers a ping, until it says nothing any more."""

    def __init__(self) -> None:
        self.quiet = asyncio.Event()
        self.links = 0

    async def Link(self, frames: AsyncIterator[wire.LinkRequest], _context: object) -> AsyncIterator[wire.LinkResponse]:  # noqa: N802
        self.links += 1
        yield _down(welcome=wire.Welcome(instance=f"{self.links:016x}", time=int(time.time() * 1000)))
        async for frame in frames:
            for item in frame.items:
                if item.HasField("register"):
                    yield _down(done=wire.Done(ref=item.register.ref))
            if frame.items[0].HasField("ping"):
                break
        while not self.quiet.is_set():
            yield _down(observing=wire.Observing(any=False))
            await asyncio.sleep(0.05)
        await asyncio.sleep(60)


def _down(**item: Any) -> wire.LinkResponse:
    return wire.LinkResponse(items=[wire.GatewayItem(**item)])


async def test_a_gateway_whose_pong_waits_behind_other_frames_is_alive(stack: AsyncExitStack) -> None:
    server, gateway = grpc.aio.server(), Chatterer()
    add_EventGatewayServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    settings = Settings(ping_interval=0.1, pong_timeout=1.0, drain=0.1)
    events = EventSystem(f"grpc://127.0.0.1:{port}", service="test", settings=settings)
    await stack.enter_async_context(events)
    await asyncio.sleep(2.5)
    assert events.connected
    assert gateway.links == 1
    gateway.quiet.set()
    await until(lambda: gateway.links == 2)


class Forgetful(EventGatewayServicer):
    """A gateway that ends the first Link at a ping, and never answers what the next one registers."""

    def __init__(self) -> None:
        self.links = 0
        self.open = 0
        self.asked = asyncio.Event()

    async def Link(self, frames: AsyncIterator[wire.LinkRequest], _context: object) -> AsyncIterator[wire.LinkResponse]:  # noqa: N802
        self.links += 1
        self.open += 1
        first = self.links == 1
        try:
            yield _down(welcome=wire.Welcome(instance=f"{self.links:016x}", time=int(time.time() * 1000)))
            async for frame in frames:
                for item in frame.items:
                    if first and item.HasField("ping"):
                        return
                    if first and item.HasField("register"):
                        yield _down(done=wire.Done(ref=item.register.ref))
                    elif item.HasField("register"):
                        self.asked.set()
        finally:
            self.open -= 1


async def test_who_closes_while_it_links_again_leaves_nothing_behind(stack: AsyncExitStack) -> None:
    server, gateway = grpc.aio.server(), Forgetful()
    add_EventGatewayServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    settings = Settings(reconnect_min=0.01, reconnect_max=0.05, ping_interval=0.5, drain=0.1)
    events = EventSystem(f"grpc://127.0.0.1:{port}", service="test", settings=settings)
    await events.subscribe("a.b", lambda data: data).ready()
    await asyncio.wait_for(gateway.asked.wait(), 30)
    await events.aclose()
    assert not [task for task in asyncio.all_tasks() if "ClientLink" in repr(task.get_coro())]
    await until(lambda: gateway.open == 0)


async def test_a_reset_connection_comes_back(stack: AsyncExitStack, up: Up, topic: str) -> None:
    events, proxy = await through_proxy(stack, up)
    other = await stack.enter_async_context(system(up))
    await events.subscribe(topic, lambda data: data).ready()
    for _ in range(3):
        name = events.instance
        assert proxy.reset() == 1
        await until(lambda name=name: events.connected and events.instance != name)
        assert await other.publish_and_wait(topic, 1, wait_for_responders=20.0) == 1


async def test_nobody_there_is_told_at_once_and_says_what_to_do() -> None:
    watch = Watch()
    events = EventSystem("grpc://127.0.0.1:1", service="test")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1.*tieline up") as caught:
        await events.start()
    assert watch.seconds < 5 + BUSY_SECONDS
    assert caught.value.outcome == "NOT_DELIVERED"
    await events.aclose()


async def test_somebody_who_never_answers_is_told_within_five_seconds(stack: AsyncExitStack, up: Up) -> None:
    host, port = up.address.split(":")
    proxy = await stack.enter_async_context(FaultProxy(host, int(port)))
    proxy.black_hole()
    watch = Watch()
    events = EventSystem(f"grpc://127.0.0.1:{proxy.port}", service="test")
    with pytest.raises(UnavailableError, match=str(proxy.port)):
        await events.start()
    assert watch.seconds < 5 + BUSY_SECONDS
    await events.aclose()


async def test_a_link_carries_one_instance(stack: AsyncExitStack, up: Up) -> None:
    transport = GrpcTransport(up.url)
    events = await stack.enter_async_context(EventSystem(transport=transport, service="test"))
    with pytest.raises(UnsupportedError, match="another"):
        await transport.open("second", events)  # type: ignore[arg-type]


async def test_a_client_that_pings_often_is_not_sent_away(stack: AsyncExitStack, up: Up, topic: str) -> None:
    eager = [("grpc.keepalive_time_ms", 50), ("grpc.keepalive_permit_without_calls", 1)]
    eager += [("grpc.http2.max_pings_without_data", 0)]
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(up.address, options=eager))
    stub: Any = EventGatewayStub(channel)
    stream = stub.Subscribe(wire.SubscribeRequest(topic=topic))
    await stream.read()
    await asyncio.sleep(3)
    await stub.Publish(wire.PublishRequest(topic=topic, data=b"\x01"), timeout=5)
    assert (await stream.read()).event.data == b"\x01"
    stream.cancel()


async def test_something_else_that_speaks_grpc_is_told_from_a_gateway(stack: AsyncExitStack) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    events = EventSystem(f"grpc://127.0.0.1:{port}", service="test")
    with pytest.raises(UnsupportedError, match="no Tieline gateway"):
        await events.start()
    await events.aclose()


async def test_something_that_does_not_speak_grpc_is_unavailable(stack: AsyncExitStack) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR what is this\r\n")
        await writer.drain()
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(greet, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    events = EventSystem(f"grpc://127.0.0.1:{port}", service="test")
    watch = Watch()
    with pytest.raises(UnavailableError, match=str(port)):
        await events.start()
    assert watch.seconds < 5 + BUSY_SECONDS
    await events.aclose()


@pytest.mark.parametrize("late", [0.0, 0.1, 0.2, 0.3])
async def test_a_link_that_breaks_while_something_is_being_registered_leaves_the_loop_free(
    stack: AsyncExitStack, up: Up, topic: str, late: float
) -> None:
    events, proxy = await through_proxy(stack, up)
    other = await stack.enter_async_context(system(up))
    proxy.delay(100)
    ready = asyncio.create_task(events.subscribe(topic, lambda data: data).ready())
    await asyncio.sleep(late)
    proxy.reset()
    await proxy.restore()
    async with asyncio.timeout(20.0):
        await ready
    assert await other.publish_and_wait(topic, 1, wait_for_responders=20.0, idempotent=True) == 1


@pytest.mark.parametrize("late", [0.0, 0.05, 0.15])
async def test_unsubscribing_while_a_reconnect_registers_everything_leaves_nothing_behind(
    stack: AsyncExitStack, up: Up, topic: str, late: float
) -> None:
    events, proxy = await through_proxy(stack, up)
    other = await stack.enter_async_context(system(up))
    subscription, kept = (
        events.subscribe(topic, lambda data: data),
        events.subscribe(f"{topic}.kept", lambda data: data),
    )
    await asyncio.gather(subscription.ready(), kept.ready())
    proxy.delay(100)
    name = events.instance
    proxy.reset()
    await until(lambda: events.instance not in (name, ""))
    await asyncio.sleep(late)
    await subscription.unsubscribe()
    await proxy.restore()
    assert await other.publish_and_wait(f"{topic}.kept", 1, wait_for_responders=20.0, idempotent=True) == 1
    with pytest.raises(NoRespondersError, match="nobody answers"):
        await other.publish_and_wait(topic, 1)


async def test_a_stream_within_the_process_outlives_its_link(stack: AsyncExitStack, up: Up, topic: str) -> None:
    system_, proxy = await through_proxy(stack, up)

    async def count(end: int) -> AsyncIterator[int]:
        for number in range(end):
            yield number

    await system_.subscribe(topic, count).ready()
    stream = system_.publish_and_stream(topic, 3_000)
    assert [await anext(stream) for _ in range(5)] == list(range(5))
    before = system_.instance
    proxy.reset()
    await until(lambda: system_.connected and system_.instance != before)
    assert [item async for item in stream] == list(range(5, 3_000))


async def test_who_tries_again_at_once_after_the_link_broke_waits_for_the_next_one(
    stack: AsyncExitStack, up: Up, topic: str
) -> None:
    events, proxy = await through_proxy(stack, up)
    proxy.delay(300)
    live = asyncio.create_task(events.publish(topic, 1))  # learns first that the link is gone

    async def store() -> int:
        for tries in range(1, 1_000):
            try:
                await events.publish(topic, 2, key="k", dedupe="2", wait_for_connection=60.0)
            except TielineError:
                continue  # without a pause: nothing else runs unless the publish waits
            return tries
        pytest.fail("the link never came back: nothing else ran")

    stored = asyncio.create_task(store())
    await asyncio.sleep(0.1)
    proxy.reset()
    await proxy.restore()
    assert await stored == 2
    with pytest.raises(UnavailableError):
        await live
