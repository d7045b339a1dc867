"""The network between a client and Redis is slow, silent, cut, or dead on one side only."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.faults.conftest import QUICK, Bench, link_of
from tests.faults.load import Load
from tests.suite.raw import Raw
from tests.suite.seen import BUSY_SECONDS, Seen, Watch, until
from tests.support.proxy import FaultProxy, Side
from tieline import EventSystem, NoRespondersError, Outcome, ResponderLostError, Settings, UnavailableError
from tieline.transports.redis import RedisTransport


async def _through_proxy(bench: Bench, service: str, **settings: float) -> tuple[EventSystem, FaultProxy]:
    proxy = await bench.proxy()
    return await bench.system(service, port=proxy.port, **settings), proxy


async def test_a_slow_network_only_takes_longer(bench: Bench) -> None:
    ran = list[int]()
    await bench.echo("load", ran, pong_timeout=5.0)
    caller, proxy = await _through_proxy(bench, "caller", pong_timeout=5.0)
    proxy.delay(100)
    watch = Watch()
    assert await caller.publish_and_wait("load", -1) == -1
    assert watch.seconds >= 0.2
    async with Load(caller, "load") as load:
        await asyncio.sleep(1.0)
    load.check(ran)
    assert set(load.codes()) == {"ok"}


async def test_a_network_that_drips_only_takes_longer(bench: Bench) -> None:
    ran = list[Any]()
    await bench.echo("echo", ran)
    caller, proxy = await _through_proxy(bench, "caller", pong_timeout=5.0)
    proxy.drip(40_000)
    text = "x" * 10_000
    assert await caller.publish_and_wait("echo", text) == text
    assert caller.connected


@pytest.mark.parametrize("who", ["caller", "responder"])
async def test_a_black_hole_ends_calls_in_time_and_they_succeed_after_it(bench: Bench, who: str) -> None:
    ran, proxy = list[int](), await bench.proxy()
    await bench.echo("load", ran, port=proxy.port if who == "responder" else 0)
    caller = await bench.system("caller", port=proxy.port if who == "caller" else 0)
    async with Load(caller, "load", ttl=1.5) as load:
        await asyncio.sleep(0.3)
        proxy.black_hole()
        await until(load.failed)
        await asyncio.sleep(1.0)
        await proxy.restore()
        took = await load.success_after(time.monotonic(), 5.0 + BUSY_SECONDS)
        print(f"{who}: calls succeed {took:.2f} s after the black hole")
    load.check(ran)


async def test_a_reset_ends_what_is_out_and_the_next_call_succeeds(bench: Bench) -> None:
    began = Seen()

    async def handle(data: Any) -> None:
        began.append(data)
        await asyncio.sleep(20 if data == "slow" else 0)

    responder = await bench.system("responder")
    await responder.subscribe("a", handle).ready()
    caller, proxy = await _through_proxy(bench, "caller")
    call = asyncio.create_task(caller.publish_and_wait("a", "slow"))
    await began.reach(1)
    assert proxy.reset() == 1
    with pytest.raises(UnavailableError) as caught:
        await call
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    await caller.publish_and_wait("a", "quick", wait_for_connection=20.0)


@pytest.mark.parametrize("dead", ["server", "client"])
@pytest.mark.parametrize("who", ["caller", "responder"])
async def test_a_half_open_connection_is_found_out_and_replaced(bench: Bench, who: str, dead: Side) -> None:
    ran, seen, proxy = list[int](), Seen(), await bench.proxy()
    responder = await bench.echo("load", ran, port=proxy.port if who == "responder" else 0)
    await responder.subscribe("event", seen.take).ready()
    caller = await bench.system("caller", port=proxy.port if who == "caller" else 0)
    async with Load(caller, "load", ttl=1.5) as load:
        await asyncio.sleep(0.3)
        links = [link_of(responder), link_of(caller)]
        assert proxy.half_open(dead) == 1
        await until(lambda: [link_of(responder), link_of(caller)] != links)
        took = await load.success_after(time.monotonic(), 5.0 + BUSY_SECONDS)
        print(f"{who}, {dead} dead: calls succeed {took:.2f} s later")
    load.check(ran)
    assert len(await bench.connections(who)) == 1, "the previous connection is killed"
    await caller.publish("event", "once")
    await seen.stay(1)


async def test_a_half_open_responder_that_left_is_not_taken_for_a_receiver(bench: Bench) -> None:
    """Its dead connection would still be counted by SPUBLISH, were it not killed."""
    ran, proxy = list[int](), await bench.proxy()
    responder = await bench.echo("a", ran, port=proxy.port)
    caller = await bench.system("caller")
    link = link_of(responder)
    proxy.half_open("client")
    await until(lambda: link_of(responder) not in (link, None))
    await responder.aclose()
    with pytest.raises(NoRespondersError):
        await caller.publish_and_wait("a", ttl=5.0)


@pytest.mark.parametrize("seconds", [0.3, 0.9], ids=["before-the-reconnect", "after-the-reconnect"])
async def test_client_kill_of_the_responder_in_the_middle_of_a_call_does_not_harm_it(
    bench: Bench, seconds: float
) -> None:
    began = Seen()

    async def handle(data: Any) -> str:
        began.append(data)
        await asyncio.sleep(seconds)
        return "done"

    responder, caller = await bench.system("responder"), await bench.system("caller")
    await responder.subscribe("slow", handle).ready()
    call = asyncio.create_task(caller.publish_and_wait("slow", ttl=25.0))
    await began.reach(1)
    (connection,) = await bench.connections("responder")
    await bench.ask("CLIENT", "KILL", "ID", connection)
    assert await call == "done"
    assert len(began) == 1


async def test_a_reply_that_finds_no_link_is_kept_until_there_is_one(bench: Bench) -> None:
    began, gate, proxy = Seen(), asyncio.Event(), await bench.proxy()

    async def handle(data: Any) -> str:
        began.append(data)
        await gate.wait()
        return "kept"

    responder, caller = await bench.system("responder", port=proxy.port), await bench.system("caller")
    await responder.subscribe("slow", handle).ready()
    call = asyncio.create_task(caller.publish_and_wait("slow", ttl=25.0))
    await began.reach(1)
    proxy.refuse()
    proxy.reset()
    await until(lambda: not responder.connected)
    gate.set()
    await asyncio.sleep(0.3)
    assert not responder.connected
    assert not call.done()
    await proxy.restore()
    assert await call == "kept"


async def test_a_reply_that_was_lost_on_its_way_is_sent_again(bench: Bench) -> None:
    began, gate, proxy = Seen(), asyncio.Event(), await bench.proxy()

    async def handle(data: Any) -> str:
        began.append(data)
        await gate.wait()
        return "again"

    responder, caller = await bench.system("responder", port=proxy.port), await bench.system("caller")
    await responder.subscribe("slow", handle).ready()
    call = asyncio.create_task(caller.publish_and_wait("slow", ttl=25.0))
    await began.reach(1)
    proxy.black_hole()
    gate.set()
    await asyncio.sleep(0.1)
    proxy.reset()
    await until(lambda: not responder.connected)
    assert not call.done()
    await proxy.restore()
    assert await call == "again"
    assert len(began) == 1


async def test_client_kill_of_everybody_again_and_again_under_load(bench: Bench) -> None:
    ran = list[int]()
    responder, caller = await bench.echo("load", ran), await bench.system("caller")
    async with Load(caller, "load", idempotent=True, ttl=5.0) as load:
        for _ in range(6):
            await asyncio.sleep(0.25)
            for service in ("responder", "caller"):
                for connection in await bench.connections(service):
                    await bench.ask("CLIENT", "KILL", "ID", connection)
        await load.success_after(time.monotonic(), 5.0 + BUSY_SECONDS)
    load.check(ran)
    await until(lambda: responder.connected and caller.connected)
    assert await caller.publish_and_wait("load", -1) == -1


@pytest.mark.parametrize("late", [0.0, 0.05, 0.15, 0.25, 0.35, 0.45])
async def test_unsubscribing_while_a_reconnect_registers_everything_leaves_nothing_behind(
    bench: Bench, late: float
) -> None:
    proxy = await bench.proxy()
    responder = await bench.system("responder", port=proxy.port, pong_timeout=5.0, lease_refresh=60.0, lease=120.0)
    subscription = responder.subscribe("a", lambda data: data, group="g")
    await subscription.ready()
    proxy.delay(50)
    proxy.reset()
    await until(lambda: not responder.connected)
    transport: Any = responder._instance._transport
    await until(lambda: transport.settling is not None)
    await asyncio.sleep(late)
    await subscription.unsubscribe()
    await proxy.restore()
    await until(lambda: responder.connected and transport.settling is None)
    await asyncio.sleep(0.5)
    assert [bench.server.command("EXISTS", f"tl:{kind}:{{a}}") for kind in ("mb", "gm")] == [":0", ":0"]
    assert bench.server.command("SPUBLISH", f"tl:rq:{{a}}:{responder.instance}", "anybody?") == ":0"


async def test_closing_in_the_middle_of_a_reconnect_leaves_no_connection(bench: Bench) -> None:
    system, proxy = await _through_proxy(bench, "caller")
    proxy.black_hole()
    before = proxy.accepted
    proxy.reset()
    await until(lambda: not system.connected and proxy.accepted > before)
    await asyncio.sleep(0.05)
    await system.aclose()
    await proxy.restore()
    await until(lambda: proxy.connections == 0)


async def test_a_responder_that_is_cut_off_for_good_is_lost(bench: Bench) -> None:
    began, proxy = Seen(), await bench.proxy()

    async def handle(data: Any) -> None:
        began.append(data)
        await asyncio.sleep(30)

    responder, caller = await bench.system("responder", port=proxy.port), await bench.system("caller")
    await responder.subscribe("slow", handle).ready()
    call = asyncio.create_task(caller.publish_and_wait("slow"))
    await began.reach(1)
    watch = Watch()
    proxy.refuse()
    proxy.reset()
    with pytest.raises(ResponderLostError) as caught:
        await call
    assert watch.seconds < 4.0 + BUSY_SECONDS
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN


async def test_a_link_that_breaks_during_the_start_does_no_lasting_harm(bench: Bench) -> None:
    ran, proxy = list[int](), await bench.proxy()
    await bench.echo("elsewhere", ran)
    caller = EventSystem(f"redis://127.0.0.1:{proxy.port}", settings=Settings(**QUICK))
    caller.subscribe("here", lambda data: data, group="g")
    proxy.delay(50)
    starting = asyncio.create_task(caller.start())
    transport: Any = caller._instance._transport
    await until(lambda: [port for port in transport.ports.values() if port.interests])
    proxy.reset()
    await proxy.restore()
    await starting
    assert caller.connected
    assert await caller.publish_and_wait("elsewhere", 1) == 1
    await caller.aclose(0.0)


async def test_a_place_that_was_given_up_before_it_was_taken_is_not_kept(bench: Bench) -> None:
    proxy = await bench.proxy()
    transport = RedisTransport(f"redis://127.0.0.1:{proxy.port}", settings=Settings(**QUICK))
    first = await Raw(transport).open()
    proxy.delay(100)
    opening = asyncio.create_task(Raw(transport).open())
    await asyncio.sleep(0.05)
    opening.cancel()
    await until(lambda: list(transport.ports) == [first.port.instance])
    proxy.refuse()
    proxy.reset()
    await until(lambda: transport.link is None)
    opening = asyncio.create_task(Raw(transport).open())
    await asyncio.sleep(0.05)
    opening.cancel()
    await until(lambda: list(transport.ports) == [first.port.instance])
    await transport.aclose()
