"""Two gateways in front of one Redis are restarted one after the other, under load, and nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from examples.node_package import provide

from tests import peers
from tests.gateway.plain_callers import Balanced, PlainStub
from tests.gateway.up import Up
from tests.suite.seen import until
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import EventSystem, InvalidArgumentError, NoRespondersError, ResponderLostError, Settings, UnavailableError

QUICK = Settings(drain=0.1, reconnect_min=0.02, reconnect_max=0.2)
CALLS_A_SECOND = 1_000
UNDER_WAY = 500
"""At most: ten times of what there is if the machine keeps up."""

PLAIN_CALLS_A_SECOND = int(os.environ.get("TEST_PLAIN_CALLS_A_SECOND", "200"))
"""Of callers without our clients; each costs a gateway, and the callers here, several times as much."""

TICK = 0.02
MOVING = Path(peers.__file__).with_name("moving.mjs")


Ask = Callable[[int], Awaitable[Any]]


class Load:
    """Calls at a steady pace, each of which has to be answered with its own number.

    Args:
        callers: each calls in its turn.
        pace: calls a second, of all of them.
        most: under way at a time; where the machine cannot keep up there are less a second.

    """

    def __init__(self, callers: Sequence[Ask], pace: int = CALLS_A_SECOND, most: int = UNDER_WAY) -> None:
        self.made = 0
        self.wrong: list[str] = []
        self._callers = callers
        self._pace = pace
        self._most = most
        self._stopping = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._stopping.set()
        await self._task
        if self._calls:
            await asyncio.wait(self._calls)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not self._stopping.is_set():
            due = int((loop.time() - begun) * self._pace)
            while self.made < due and len(self._calls) < self._most:
                self.made += 1
                task = asyncio.create_task(self._call(self._callers[self.made % len(self._callers)], self.made))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)
            await asyncio.sleep(TICK)

    async def _call(self, ask: Ask, number: int) -> None:
        try:
            answer = await ask(number)
        except Exception as error:
            self.wrong.append(repr(error))
        else:
            if answer != number:
                self.wrong.append(f"{number} was answered with {answer}")


def caller(system: EventSystem, topic: str) -> Ask:
    """Calls over a Link."""
    return lambda number: system.publish_and_wait(topic, number, ttl=30)


async def slow_echo(number: int) -> int:
    """Some calls are under way when their gateway stops."""
    await asyncio.sleep(0.3 if number % 100 == 0 else 0.001)
    return number


@pytest.fixture
async def gateways(stack: AsyncExitStack, redis_server: RedisServer) -> list[Up]:
    """Two of them."""
    return [await stack.enter_async_context(Up("--url", redis_server.url)) for _ in range(2)]


def both(gateways: list[Up]) -> str:
    return "grpc://" + ",".join(gateway.address for gateway in gateways)


def into(numbers: list[int]) -> Callable[[int], Awaitable[None]]:
    """A handler that runs in the loop, so that what it gets stays in its order."""

    async def take(number: int) -> None:
        numbers.append(number)

    return take


async def restart(gateway: Up) -> None:
    gateway.terminate()
    assert await gateway.wait() == 0, gateway.text
    await gateway.start()


async def test_no_call_fails_while_two_gateways_are_restarted(
    stack: AsyncExitStack, gateways: list[Up], topic: str
) -> None:
    async def new() -> EventSystem:
        system = EventSystem(both(gateways), service="load", settings=QUICK)
        return await stack.enter_async_context(system)

    for _ in range(2):
        await (await new()).subscribe(topic, slow_echo).ready()
    load = Load([caller(await new(), topic) for _ in range(4)])
    for gateway in (*gateways, *gateways):
        await asyncio.sleep(1)
        await restart(gateway)
    await asyncio.sleep(1)
    await load.stop()
    assert load.wrong == []
    assert load.made > CALLS_A_SECOND


async def test_clients_that_need_longer_than_the_farewell_are_waited_for(
    stack: AsyncExitStack, redis_server: RedisServer, topic: str
) -> None:
    options = ("--url", redis_server.url, "--farewell", "0")
    gateways = [await stack.enter_async_context(Up(*options)) for _ in range(2)]
    systems = [EventSystem(both(gateways), service="load", settings=QUICK) for _ in range(2)]
    for system in systems:
        await stack.enter_async_context(system)
    await systems[0].subscribe(topic, slow_echo).ready()
    load = Load([caller(systems[1], topic)], 300)
    for gateway in gateways:
        await asyncio.sleep(0.5)
        await restart(gateway)
    await load.stop()
    assert load.wrong == []


@pytest.fixture
async def gateways_with_http(stack: AsyncExitStack, redis_server: RedisServer) -> list[Up]:
    """Two of them, with a farewell that is longer than a busy machine takes to notice it."""
    options = ("--url", redis_server.url, "--farewell", "2")
    return [await stack.enter_async_context(Up(*options, http=True)) for _ in range(2)]


async def test_no_call_of_plain_callers_fails(stack: AsyncExitStack, gateways_with_http: list[Up], topic: str) -> None:
    """They do what docs/operations.md says, and nothing else."""
    gateways = gateways_with_http
    for _ in range(2):
        server = await stack.enter_async_context(EventSystem(both(gateways), settings=QUICK))
        await server.subscribe(topic, slow_echo).ready()
    stubs = [await stack.enter_async_context(PlainStub([each.address for each in gateways], topic)) for _ in range(2)]
    browser = await stack.enter_async_context(Balanced([each.web for each in gateways], topic))
    load = Load([*stubs, browser], PLAIN_CALLS_A_SECOND, most=100)
    for gateway in gateways:
        await asyncio.sleep(2)
        await restart(gateway)
    await asyncio.sleep(2)
    await load.stop()
    assert load.wrong == []
    assert load.made > 500
    assert browser.used == {each.web for each in gateways}


async def test_no_call_to_or_from_node_fails(stack: AsyncExitStack, gateways: list[Up], topic: str) -> None:
    provide(MOVING.parent)
    names = ["one", "two"]
    for name in names:
        told = {"url": both(gateways), "topic": topic, "name": name}
        await stack.enter_async_context(Peer.node(MOVING, json.dumps(told)))
    events = await stack.enter_async_context(EventSystem(both(gateways), settings=QUICK))
    load = Load([caller(events, topic)])
    for gateway in gateways:
        await asyncio.sleep(1)
        await restart(gateway)
    await asyncio.sleep(1)
    await load.stop()
    assert load.wrong == []
    for name in names:
        fared = await events.publish_and_wait(f"{topic}.{name}", ttl=60)
        assert fared["wrong"] == []
        assert fared["made"] > 500


async def test_a_stream_under_way_ends_where_it_began(stack: AsyncExitStack, gateways: list[Up], topic: str) -> None:
    far, near = [
        await stack.enter_async_context(EventSystem(url, settings=QUICK)) for url in (gateways[1].url, both(gateways))
    ]
    go_on = asyncio.Event()

    async def count(last: int) -> Any:
        for number in range(last):
            if number == last // 2:
                await go_on.wait()
            yield number

    await far.subscribe(topic, count).ready()
    stream = near.publish_and_stream(topic, 1_000)
    got = [await anext(stream)]
    restarting = [asyncio.create_task(restart(gateways[0]))]
    await asyncio.sleep(1.5)
    go_on.set()
    got += [number async for number in stream]
    assert got == list(range(1_000))
    await asyncio.gather(*restarting)


async def test_calls_end_where_they_began_though_two_gateways_are_left_at_a_time(
    stack: AsyncExitStack, redis_server: RedisServer, topic: str
) -> None:
    gateways = [await stack.enter_async_context(Up("--url", redis_server.url)) for _ in range(3)]
    for gateway in gateways[1:]:
        gateway.terminate()
        await gateway.wait()
    url = "grpc://" + ",".join(gateway.address for gateway in gateways)
    near, far = [await stack.enter_async_context(EventSystem(each, settings=QUICK)) for each in (url, redis_server.url)]
    begun: list[str] = []
    go_on = asyncio.Event()

    async def answer(name: str) -> str:
        begun.append(name)
        await go_on.wait()
        return name

    await far.subscribe(f"{topic}.far", answer).ready()
    await near.subscribe(f"{topic}.near", answer).ready()
    calls: list[asyncio.Task[str]] = []

    async def call() -> None:
        names = [f"{way} over {near.instance}" for way in ("there", "here")]
        calls.append(asyncio.create_task(near.publish_and_wait(f"{topic}.far", names[0], ttl=60)))
        calls.append(asyncio.create_task(far.publish_and_wait(f"{topic}.near", names[1], ttl=60)))
        await until(lambda: set(names) <= set(begun))

    await call()
    for gateway, following in itertools.pairwise(gateways):
        await following.start()
        before = near.instance
        gateway.terminate()
        await until(lambda before=before: near.instance != before)
        await call()
    go_on.set()
    assert sorted(await asyncio.gather(*calls)) == sorted(begun)
    assert [await gateway.wait() for gateway in gateways[:2]] == [0, 0]


async def test_live_events_come_once_and_without_a_gap(
    stack: AsyncExitStack, gateways: list[Up], redis_server: RedisServer, topic: str
) -> None:
    got: dict[str, list[int]] = {"all": [], "shared": [], "observed": []}
    gaps: list[Any] = []
    publisher = await stack.enter_async_context(EventSystem(redis_server.url, settings=QUICK))
    subscriber = await stack.enter_async_context(EventSystem(both(gateways), settings=QUICK))
    on_gap = {"on_gap": lambda *gap: gaps.append(gap)}
    await subscriber.subscribe(topic, into(got["all"]), **on_gap).ready()
    await subscriber.subscribe(topic, into(got["shared"]), group="g", **on_gap).ready()
    await subscriber.subscribe(topic, into(got["observed"]), observe=True, **on_gap).ready()
    restarting = asyncio.create_task(restart(gateways[0]))
    sent = 0
    while not restarting.done() or sent < 500:
        await publisher.publish(topic, sent)
        sent += 1
        await asyncio.sleep(0.002)
    await restart(gateways[1])
    await restarting
    await until(lambda: all(numbers[-1:] == [sent - 1] for numbers in got.values()))
    assert gaps == []
    got["shared"].sort()  # each went to one of two places
    wrong = {name: (sorted(set(range(sent)) - set(numbers)), sent, len(numbers)) for name, numbers in got.items()}
    assert got == {name: list(range(sent)) for name in got}, wrong


async def test_what_a_system_publishes_does_not_come_back_to_it(
    stack: AsyncExitStack, gateways: list[Up], topic: str
) -> None:
    got: list[int] = []
    system = await stack.enter_async_context(EventSystem(both(gateways), settings=QUICK))
    await system.subscribe(topic, into(got)).ready()
    await system.subscribe(topic, into(got), observe=True).ready()
    restarted = asyncio.Event()
    sent = itertools.count()

    async def publish() -> None:
        while not restarted.is_set():
            await system.publish(topic, next(sent))

    publishing = [asyncio.create_task(publish()) for _ in range(4)]
    for gateway in gateways:
        await restart(gateway)
    restarted.set()
    await asyncio.gather(*publishing)
    count = next(sent)
    await system.publish(topic, count)
    await asyncio.sleep(0.2)
    assert sorted(got) == sorted([*range(count + 1)] * 2)


async def test_durable_events_flow_on(stack: AsyncExitStack, gateways: list[Up], topic: str) -> None:
    got: list[int] = []
    done = asyncio.Event()

    def take(number: int) -> None:
        got.append(number)
        if number == 299:
            done.set()

    consumer, publisher = [
        await stack.enter_async_context(EventSystem(both(gateways), settings=QUICK)) for _ in range(2)
    ]
    await consumer.subscribe(topic, take, durable=True).ready()

    async def publish() -> None:
        for number in range(300):
            await publisher.publish(topic, number, key="k", dedupe=str(number), wait_for_connection=30)
            await asyncio.sleep(0.01)

    publishing = asyncio.create_task(publish())
    for gateway in gateways:
        await restart(gateway)
    await publishing
    await asyncio.wait_for(done.wait(), 60)
    assert list(dict.fromkeys(got)) == list(range(300))


async def test_a_gateway_that_is_killed_is_left_for_another_one(
    stack: AsyncExitStack, gateways: list[Up], topic: str
) -> None:
    server = await stack.enter_async_context(EventSystem(both(gateways), settings=QUICK))
    caller = await stack.enter_async_context(EventSystem(both(gateways), settings=QUICK))
    await server.subscribe(topic, lambda number: number).ready()
    gateways[0].kill()
    await gateways[0].wait()

    answer = None
    for _ in range(100):
        with contextlib.suppress(UnavailableError, ResponderLostError, NoRespondersError):
            answer = await caller.publish_and_wait(topic, 1, ttl=5, wait_for_connection=5)
            break
        await asyncio.sleep(0.1)
    assert answer == 1


@pytest.mark.parametrize("url", ["grpc://a:1,", "grpc://,a", "grpc://a:1,b:x", "grpc://a b"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no gateway's address"):
        EventSystem(url)
