"""Streams, gathers and idempotency keys on a network that is slow or breaks, and with processes that die."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults.conftest import Bench, link_of
from tests.suite.seen import Watch, until
from tieline import EventSystem, Outcome, TielineError, UnavailableError
from tieline.transports.redis_link import pack

ONE_WAY_MS = 40.0


class Endless:
    """A handler that streams until it is stopped."""

    def __init__(self) -> None:
        self.yielded = 0
        self.closed = 0

    async def count(self, data: Any) -> AsyncIterator[int]:
        try:
            while True:
                self.yielded += 1
                yield self.yielded
                await asyncio.sleep(0)
        finally:
            self.closed += 1


async def _fail(stream: Any) -> TielineError:
    try:
        async for _ in stream:
            pass
    except TielineError as error:
        return error
    raise AssertionError("it ended well")


async def test_an_idempotency_key_costs_one_more_round_trip(bench: Bench) -> None:
    proxies = [await bench.proxy() for _ in range(2)]
    caller, responder = [await bench.system("far", port=proxy.port) for proxy in proxies]
    await responder.subscribe("echo", lambda data: data).ready()
    await caller.publish_and_wait("echo", 1, idempotency_key="warm")
    for proxy in proxies:
        proxy.delay(ONE_WAY_MS)
    seconds: dict[str, list[float]] = {"": [], "key": []}
    for number in range(4):
        for key, watched in seconds.items():
            watch = Watch()
            await caller.publish_and_wait("echo", number, idempotency_key=f"{key}{number}" if key else None)
            watched.append(watch.seconds)
    plain, keyed = min(seconds[""]), min(seconds["key"])
    round_trip = 2 * ONE_WAY_MS / 1000
    assert plain >= 1.9 * round_trip
    assert keyed - plain <= 1.5 * round_trip, f"{(keyed - plain) / round_trip:.2f} round trips"


async def test_a_stream_over_a_slow_network_is_not_slower_for_each_item(bench: Bench) -> None:
    proxy = await bench.proxy()
    caller = await bench.system("far", port=proxy.port)
    responder = await bench.system("responder")

    async def count(end: int) -> AsyncIterator[int]:
        for number in range(end):
            yield number

    await responder.subscribe("count", count).ready()
    proxy.delay(ONE_WAY_MS)
    watch = Watch()
    assert [item async for item in caller.publish_and_stream("count", 5_000)] == list(range(5_000))
    assert watch.seconds < 5_000 * ONE_WAY_MS / 1000 / 10


async def test_a_reader_whose_link_breaks_is_told_and_the_handler_stops(bench: Bench) -> None:
    proxy = await bench.proxy()
    caller, responder = await bench.system("caller", port=proxy.port), await bench.system("responder")
    endless = Endless()
    await responder.subscribe("count", endless.count).ready()
    stream = caller.publish_and_stream("count")
    assert await anext(stream) == 1
    proxy.reset()
    error = await _fail(stream)
    assert isinstance(error, UnavailableError)
    assert error.outcome is Outcome.MAY_HAVE_RUN
    await until(lambda: endless.closed == 1)
    async for _ in caller.publish_and_stream("count", ttl=10.0, wait_for_connection=10.0):
        break
    await until(lambda: endless.closed == 2)


async def test_a_streaming_responder_whose_link_breaks_loses_no_item_unnoticed(bench: Bench) -> None:
    proxy = await bench.proxy()
    caller, responder = await bench.system("caller"), await bench.system("responder", port=proxy.port)
    endless = Endless()
    await responder.subscribe("count", endless.count).ready()
    stream = caller.publish_and_stream("count", ttl=5.0, window=20)
    for expected in range(1, 51):
        assert await anext(stream) == expected
    proxy.reset()
    with contextlib.suppress(UnavailableError):  # a gap, and not an item in its place
        for expected in range(51, 551):
            assert await anext(stream) == expected
    await stream.aclose()
    await until(lambda: endless.closed == 1)


@pytest.mark.parametrize("again", [True, False], ids=["comes-again", "another-caller"])
async def test_a_result_that_finds_no_link_is_stored_when_it_is_back(bench: Bench, again: bool) -> None:
    proxy = await bench.proxy()
    caller, responder = await bench.system("caller"), await bench.system("responder", port=proxy.port)
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), 0

    async def slow(data: Any) -> Any:
        nonlocal runs
        runs += 1
        begun.set()
        await go_on.wait()
        return data

    await responder.subscribe("slow", slow).ready()
    call = asyncio.create_task(caller.publish_and_wait("slow", 7, idempotency_key="k"))
    await begun.wait()
    proxy.refuse()
    proxy.reset()
    await until(lambda: not responder.connected)
    go_on.set()
    await asyncio.sleep(0.1)
    await proxy.restore()
    assert await asyncio.wait_for(call, 20.0) == 7
    other = caller if again else await bench.system("other")
    assert await other.publish_and_wait("slow", 7, idempotency_key="k") == 7
    assert runs == 1


async def test_a_caller_that_is_cut_off_does_not_end_the_run(bench: Bench) -> None:
    proxy = await bench.proxy()
    caller, responder = await bench.system("caller", port=proxy.port), await bench.system("responder")
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), 0

    async def slow(data: Any) -> Any:
        nonlocal runs
        runs += 1
        begun.set()
        await go_on.wait()
        return runs

    await responder.subscribe("slow", slow).ready()
    call = asyncio.create_task(caller.publish_and_wait("slow", 7, idempotency_key="k"))
    await begun.wait()
    proxy.reset()
    await until(lambda: caller.connected)
    go_on.set()
    assert await asyncio.wait_for(call, 20.0) == 1
    assert runs == 1


async def test_script_flush_is_not_noticed_by_keys_and_gathers(bench: Bench) -> None:
    caller = await bench.system("caller")
    await bench.echo("echo", [])
    for number in range(3):
        await bench.ask("SCRIPT", "FLUSH")
        assert await caller.publish_and_wait("echo", number, idempotency_key=f"k{number}") == number
        await bench.ask("SCRIPT", "FLUSH")
        assert (await caller.publish_and_gather("echo", number)).values == [number]


async def test_a_full_server_stores_no_result_and_the_caller_has_its_reply(bench: Bench) -> None:
    caller, runs = await bench.system("caller"), list[Any]()
    gate = asyncio.Event()
    responder = await bench.system("responder")

    async def wait(data: Any) -> Any:
        runs.append(data)
        await gate.wait()
        return data

    await responder.subscribe("wait", wait).ready()
    call = asyncio.create_task(caller.publish_and_wait("wait", 1, idempotency_key="k"))
    await until(lambda: runs)
    await bench.ask("CONFIG", "SET", "maxmemory", "1")
    gate.set()
    assert await asyncio.wait_for(call, 10.0) == 1
    await bench.ask("CONFIG", "SET", "maxmemory", "0")
    await _refreshed(caller)
    watch = Watch()
    assert await caller.publish_and_wait("wait", 1, idempotency_key="k", wait_for_responders=10.0) == 1
    assert len(runs) == 2
    assert watch.seconds < 15.0, "the claim was given up"


async def _refreshed(system: EventSystem) -> None:
    """Return when the server answers again."""
    link = link_of(system)
    await link.ask(pack("PING"))
