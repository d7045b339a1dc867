"""`tieline up` as a command: how it starts, what it says, and how it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgpack
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.gateway.commands import command, on_terminal
from tests.gateway.up import Client, Up, system
from tests.suite.seen import BUSY_SECONDS, Seen, Watch, until
from tests.support.processes import PeerFailed
from tests.support.servers import RedisServer
from tieline import EventSystem
from tieline._contract import gateway_pb2 as wire
from tieline.errors import TielineError


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def health(channel: grpc.aio.Channel) -> Any:
    """What the health service says."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status


# --- starting -------------------------------------------------------------------------------------------------------


async def test_it_says_in_one_line_what_it_serves_where(up: Up) -> None:
    assert up.output == [f"tieline: serving gRPC on {up.listen} (embedded, no TLS)"]


async def test_it_names_its_broker_but_not_the_password() -> None:
    with RedisServer(password="hush-hush") as server:
        async with Up(env={"REDIS_URL": server.url}) as up:
            assert f"Redis at redis://127.0.0.1:{server.port}/0" in up.output[0]
            assert "hush" not in up.text


async def test_a_flag_wins_over_the_environment_and_tieline_url_over_redis_url() -> None:
    nowhere = f"redis://127.0.0.1:{closed_port()}"
    async with Up("--url", "memory://", env={"TIELINE_URL": nowhere, "REDIS_URL": nowhere}) as up:
        assert "embedded" in up.output[0]
    async with Up(env={"TIELINE_URL": "memory://", "REDIS_URL": nowhere}) as up:
        assert "embedded" in up.output[0]


@pytest.mark.parametrize(
    ("options", "exit_code", "says"),
    [
        (("--url", "http://x"), 2, "scheme"),
        (("--url", "grpc://127.0.0.1:1"), 2, "in front of"),
        (("--url", "redis://127.0.0.1:{closed}"), 6, "{closed}"),
        (("--url", "redis://:wrong@127.0.0.1:{redis}"), 7, "password"),
        (("--url", "redis://127.0.0.1:{redis}"), 7, "password"),
        (("--tls-cert", __file__), 2, "--tls-key"),
        (("--tls-client-ca", __file__), 2, "--tls-cert"),
        (("--token-file", "{short}"), 2, "16"),
        (("--drain", "-1"), 2, "--drain"),
        (("--history", "sqlite:////no/such/folder/history.db"), 2, "there is no folder"),
    ],
)
async def test_what_cannot_work_ends_with_one_line(
    tmp_path: Path, options: tuple[str, str], exit_code: int, says: str
) -> None:
    short = tmp_path / "short"
    short.write_text("short")
    with RedisServer(password="right") as server:
        known = {"closed": closed_port(), "redis": server.port, "short": short}
        up = Up(options[0], options[1].format(**known))
        watch = Watch()
        assert await up.refuses() == exit_code, up.text
        assert watch.seconds < 8 + BUSY_SECONDS
    told = [line for line in up.output if line.startswith(("tieline: ", "Error: "))]
    assert len(told) == 1, up.text
    assert says.format(**known).lower() in told[0].lower()


@pytest.mark.parametrize("listen", ["", "50051", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536", "::1:5", ":5"])
async def test_what_is_no_address_is_refused(listen: str) -> None:
    assert await Up(listen=listen).refuses() == 2


async def test_a_port_in_use_is_told(up: Up) -> None:
    second = Up(listen=up.listen)
    assert await second.refuses() == 1
    assert second.output == [second.text]
    assert second.text.startswith(f"tieline: cannot listen on {up.listen}: ")
    assert "already in use" in second.text


async def test_a_port_for_http_in_use_is_told() -> None:
    async with Up(http=True) as first:
        address = first.web.partition("://")[2]
        second = await command("up", "--listen", "127.0.0.1:0", "--http", address)
    assert (second.code, second.err.count("\n")) == (1, 1), second.err
    assert second.err.startswith(f"tieline: cannot listen on {address}: ")
    assert "--http" in second.err


async def test_an_address_of_another_machine_is_told() -> None:
    up = Up("--insecure", listen="192.0.2.1:50051")
    assert await up.refuses() == 1
    assert "cannot listen on 192.0.2.1:50051" in up.text


async def test_a_cluster_is_refused() -> None:
    with RedisServer(options=("--cluster-enabled", "yes", "--cluster-port", str(closed_port()))) as server:
        up = Up("--url", server.url)
        assert await up.refuses() == 1
        assert "cluster" in up.text.lower()


@pytest.mark.parametrize("name", ["TIELINE_URL", "REDIS_URL"])
async def test_a_url_of_a_gateway_in_the_environment_is_told_with_its_name(name: str) -> None:
    up = Up(env={name: "grpcs://:hush-hush@127.0.0.1:1"})
    assert await up.refuses() == 2
    assert f"({name} is grpc://…; unset {name}, or give --url memory:// or redis://…)" in up.text
    assert "hush" not in up.text


def test_version() -> None:
    told = [
        subprocess.run([sys.executable, "-m", "tieline_gateway", word], capture_output=True, text=True, check=True)
        for word in ("version", "--version")
    ]
    assert told[0].stdout.startswith("tieline-gateway ")
    assert told[0].stdout == told[1].stdout


async def test_the_help_fits_into_80_columns() -> None:
    printed = await on_terminal(80, "--help")
    assert not [line for line in printed.lines[1:] if "..." in line]
    assert [line for line in printed.lines if line.split()[:1] == ["run"]] == [
        "  run         Serve the handlers of a Python module."
    ]


async def test_a_gateway_that_stood_still_says_so_in_one_sentence(up: Up) -> None:
    up.stop()
    await asyncio.sleep(3)
    up.cont()
    await up.line("the event loop stood still for .* s; a handler blocks it, or the process was stopped")
    await asyncio.sleep(0.2)
    assert "loop_blocked" not in up.text


# --- stopping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_gateway_stops_at_once(up: Up, events: EventSystem, number: int) -> None:
    assert events.connected
    watch = Watch()
    up.interrupt() if number == signal.SIGINT else up.terminate()
    assert await up.wait() == 0
    assert watch.seconds < 2 + BUSY_SECONDS


@pytest.mark.parametrize(("pause", "ends_at_once"), [(0.0, False), (0.7, True)])
async def test_a_second_signal_ends_it_at_once_unless_it_is_the_same_request(
    up: Up, events: EventSystem, topic: str, pause: float, ends_at_once: bool
) -> None:
    begun, gate = Seen(), asyncio.Event()

    async def wait(data: int) -> int:
        begun.append(data)
        await gate.wait()
        return data

    await events.subscribe(topic, wait).ready()
    async with system(up, service="caller") as caller:
        call = asyncio.create_task(caller.publish_and_wait(topic, 1))
        await begun.reach(1)
        up.terminate()
        await up.line("stopping")
        await asyncio.sleep(pause)
        up.terminate()
        if ends_at_once:
            assert await up.wait() == -signal.SIGTERM
            with pytest.raises(TielineError):
                await call
        else:
            gate.set()
            assert await call == 1
            assert await up.wait() == 0


async def test_calls_under_way_finish_and_new_ones_are_refused(
    stack: AsyncExitStack, up: Up, client: Client, events: EventSystem, topic: str
) -> None:
    caller = await stack.enter_async_context(system(up, service="caller"))
    begun, gate = Seen(), asyncio.Event()

    async def wait(data: int) -> int:
        begun.append(data)
        await gate.wait()
        return data

    await events.subscribe(topic, wait).ready()
    over_link = asyncio.create_task(caller.publish_and_wait(topic, 1))
    request = wire.PublishAndWaitRequest(topic=topic, data=msgpack.packb(2))
    plain = asyncio.ensure_future(client.stub.PublishAndWait(request, timeout=20))
    await begun.reach(2)
    up.terminate()
    await up.line("stopping")
    await asyncio.sleep(0.1)
    with pytest.raises(TielineError) as refused:
        await caller.publish_and_wait(topic, 3)
    assert (refused.value.code, refused.value.retryable) == ("UNAVAILABLE", True)
    with pytest.raises(grpc.aio.AioRpcError) as closed:
        await client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=topic), timeout=10)
    assert closed.value.code() is grpc.StatusCode.UNAVAILABLE
    gate.set()
    assert await over_link == 1
    assert msgpack.unpackb((await plain).data) == 2
    assert await up.wait(seconds=20) == 0


async def test_a_handler_may_still_call_others_while_its_call_finishes(
    stack: AsyncExitStack, up: Up, events: EventSystem, topic: str
) -> None:
    caller = await stack.enter_async_context(system(up, service="caller"))
    begun, gate = Seen(), asyncio.Event()

    async def outer() -> str:
        begun.append("outer")
        await gate.wait()
        return await events.publish_and_wait(f"{topic}.inner")

    await events.subscribe(topic, outer).ready()
    await caller.subscribe(f"{topic}.inner", lambda: "inner").ready()
    calling = asyncio.create_task(caller.publish_and_wait(topic))
    await begun.reach(1)
    up.terminate()
    await up.line("stopping")
    await asyncio.sleep(0.1)
    gate.set()
    assert await calling == "inner"
    assert await up.wait(seconds=20) == 0


async def test_what_takes_longer_than_the_drain_time_is_cut_off(stack: AsyncExitStack, topic: str) -> None:
    up = await stack.enter_async_context(Up("--drain", "0.5"))
    events = await stack.enter_async_context(system(up))
    caller = await stack.enter_async_context(system(up))
    begun = Seen()

    async def forever() -> None:
        begun.append(1)
        await asyncio.sleep(60)

    await events.subscribe(topic, forever).ready()
    calling = asyncio.create_task(caller.publish_and_wait(topic))
    await begun.reach(1)
    watch = Watch()
    up.terminate()
    with pytest.raises(TielineError) as caught:
        await calling
    assert (caught.value.code, caught.value.outcome) == ("UNAVAILABLE", "MAY_HAVE_RUN")
    assert await up.wait() == 0
    assert 0.4 < watch.seconds < 4 + BUSY_SECONDS


async def test_health_turns_before_the_end(stack: AsyncExitStack, up: Up, events: EventSystem, topic: str) -> None:
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(up.address))
    assert await health(channel) == health_pb2.HealthCheckResponse.SERVING
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watching = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
    gate = asyncio.Event()
    await events.subscribe(topic, gate.wait).ready()
    client = await stack.enter_async_context(Client(up.address))
    calling = asyncio.ensure_future(client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=topic), timeout=20))
    await until(lambda: bool(events.subscriptions[0].mailbox.running))
    up.terminate()
    async with asyncio.timeout(20):
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    gate.set()
    await calling
    assert await up.wait(seconds=20) == 0


async def test_subscribers_are_told_to_come_back(up: Up, client: Client, topic: str) -> None:
    stream = client.stub.Subscribe(wire.SubscribeRequest(topic=topic))
    await stream.read()
    up.terminate()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await up.wait() == 0


async def test_a_store_belongs_to_one_gateway(tmp_path: Path) -> None:
    options = ("--store", str(tmp_path / "events.db"))
    async with Up(*options):
        second = Up(*options)
        with pytest.raises(PeerFailed, match=r"events\.db-mail is in use by another process"):
            await second.start()
        assert "Traceback" not in second.text
    async with Up(*options) as again, system(again) as events:
        assert (await events.publish("t", 1, key="k")).stored is not None
