"""`tieline doctor`, beside real servers with one wrong setting each."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.commands import SECONDS, command
from tests.gateway.test_up import closed_port
from tests.gateway.up import TOKEN, Up
from tests.support.servers import RedisServer
from tieline import EventSystem, RetryPolicy, Settings
from tieline.transports.redis_inspect import COMMANDS

ROOT = Path(__file__).parents[3]
NOBODY = ("--listen", f"127.0.0.1:{closed_port()}", "--http", "none")


async def findings(url: str, *options: str, ports: Sequence[str] = NOBODY) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and what was found by what was looked at."""
    printed = await command("doctor", "--json", "--url", url, *ports, *options)
    told = json.loads(printed.out)
    assert told["healthy"] == (printed.code == 0)
    return printed.code, {each["check"]: each for each in told["findings"]}


async def test_a_healthy_server_is_told_so_line_by_line() -> None:
    with RedisServer(persist=True) as server:
        printed = await command("doctor", "--url", server.url, *NOBODY)
    assert (printed.code, printed.lines[-1]) == (0, f"0 to mend, 0 to think about, {len(printed.lines) - 2} fine")
    assert all(line.startswith("✓ ") for line in printed.lines[:-2]), printed.out


@pytest.mark.parametrize(
    ("options", "check", "level", "says"),
    [
        (("--maxmemory-policy", "allkeys-lru"), "eviction", "error", "deletes stored events"),
        (("--maxmemory", "1mb"), "memory", "error", "soon nothing can be stored"),
        ((), "persistence", "warning", "nothing is written to disk"),
        (("--save", "3600 1"), "persistence", "warning", "only snapshots (save 3600 1)"),
        (("--min-replicas-to-write", "2"), "replicas", "error", "0 replicas are in step"),
        (("--client-output-buffer-limit", "pubsub 1mb 1mb 60"), "buffers", "warning", "at 1.0 MiB"),
        (("--maxclients", "1000"), "clients", "fine", "of 1,000 connections"),
    ],
)
async def test_each_wrong_setting_is_found(options: tuple[str, ...], check: str, level: str, says: str) -> None:
    with RedisServer(options=options) as server:
        code, found = await findings(server.url)
    assert (found[check]["level"], says in found[check]["found"]) == (level, True), found[check]
    assert (code, bool(found[check]["advice"])) == (int(level == "error"), level != "fine")


async def test_a_replica_is_told_with_its_primary() -> None:
    with RedisServer() as primary, RedisServer(options=("--replicaof", f"127.0.0.1 {primary.port}")) as replica:
        code, found = await findings(replica.url)
    assert (code, found["role"]["level"]) == (1, "error")
    assert f"127.0.0.1:{primary.port}" in found["role"]["advice"]


async def test_a_cluster_is_told() -> None:
    with RedisServer(options=("--cluster-enabled", "yes", "--cluster-port", str(closed_port()))) as server:
        code, found = await findings(server.url)
    assert (code, "is a Redis Cluster" in found["broker"]["found"]) == (1, True)


async def test_a_script_that_hangs_is_told() -> None:
    with RedisServer(options=("--busy-reply-threshold", "10")) as server:
        hanging = asyncio.create_task(asyncio.to_thread(_hang, server))
        async with asyncio.timeout(SECONDS):
            while not (await asyncio.to_thread(server.command, "PING")).startswith("-BUSY"):
                await asyncio.sleep(0.05)
        code, found = await findings(server.url)
        await asyncio.to_thread(server.command, "SCRIPT", "KILL")
        await hanging
    assert (code, "SCRIPT KILL" in found["broker"]["advice"]) == (1, True)


def _hang(server: RedisServer) -> None:
    server.command("EVAL", "while true do end", "0", timeout=SECONDS)


async def test_missing_rights_are_named_or_that_one_may_not_ask() -> None:
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "poor", "on", ">secret", "~*", "&*", "+@all", "-xautoclaim", "-spublish")
        server.command("ACL", "SETUSER", "mute", "on", ">secret", "~*", "&*", "+@all", "-acl", "-config")
        server.command("ACL", "SETUSER", "alien", "on", ">secret", "~other:*", "&*", "+@all")
        code, found = await findings(server.url.replace("redis://", "redis://poor:secret@"))
        assert (code, found["rights"]["level"]) == (1, "error")
        assert "'xautoclaim'" in found["rights"]["found"]
        assert "'spublish'" in found["rights"]["found"]
        _, found = await findings(server.url.replace("redis://", "redis://mute:secret@"))
        assert (found["rights"]["level"], found["persistence"]["level"]) == ("warning", "warning")
        server.command(
            "ACL", "SETUSER", "narrow", "on", ">secret", "~*", "&*", "+@all", "-@admin", "-info", "-@dangerous"
        )
        code, found = await findings(server.url.replace("redis://", "redis://narrow:secret@"))
        assert (code, found["server"]["level"], found["rights"]["level"]) == (0, "warning", "warning")
        server.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@read")
        code, found = await findings(server.url.replace("redis://", "redis://reader:secret@"))
        assert (code, found["broker"]["level"], "redis-acl.md" in found["broker"]["advice"]) == (1, "error", True)
        code, found = await findings(server.url.replace("redis://", "redis://alien:secret@"))
        assert (code, "key" in found["rights"]["found"]) == (1, True)


async def test_every_command_that_is_used_is_among_those_that_are_looked_at() -> None:
    """The scripts say which they run; so that a new one cannot be forgotten here."""
    scripts = "\n".join(path.read_text() for path in (ROOT / "proto" / "lua").rglob("*.lua"))
    used = {verb.upper() for verb in re.findall(r"redis\.p?call\(\s*['\"]([A-Za-z]+)['\"]", scripts)}
    assert used - {command.split()[0] for command in COMMANDS} == set()
    with RedisServer() as server:
        _, found = await findings(server.url)
    assert found["rights"]["level"] == "fine", found["rights"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://127.0.0.1:{closed}", "cannot use Redis at 127.0.0.1"),
        ("redis://no-such-host.invalid:6379", "no-such-host.invalid"),
        ("redis://:wrong@127.0.0.1:{redis}", "refused the login"),
        ("redis://127.0.0.1:{redis}", "wants a password"),
        ("rediss://127.0.0.1:{redis}", "cannot use Redis"),
        ("grpc://127.0.0.1:{closed}", "127.0.0.1"),
        ("http://127.0.0.1", "unknown scheme"),
    ],
)
async def test_why_it_cannot_connect(url: str, says: str) -> None:
    with RedisServer(password="right") as server:
        printed = await command("doctor", "--url", url.format(closed=closed_port(), redis=server.port), *NOBODY)
    assert (printed.code, says in printed.out) == (1, True), printed.out
    assert "wrong@" not in printed.out + printed.err


async def test_no_broker_is_a_warning() -> None:
    printed = await command("doctor", *NOBODY)
    assert (printed.code, "! broker: no broker is named" in printed.out) == (0, True)


async def test_who_is_at_the_ports(tmp_path: Path) -> None:
    async with Up(http=True) as up:
        ports = ("--listen", up.address, "--http", up.web.removeprefix("http://"))
        code, found = await findings(up.url, ports=ports)
        assert (code, found["HTTP port"]["level"], found["gRPC port"]["level"]) == (0, "fine", "fine")
        assert "and is ready" in found["HTTP port"]["found"]
        assert "takes clients" in found["gRPC port"]["found"]
        assert "the gateway at" in found["broker"]["found"]
    _, found = await findings(up.url, ports=ports)
    assert "is free" in found["HTTP port"]["found"]
    assert "is free" in found["gRPC port"]["found"]
    token = tmp_path / "token"
    token.write_text(TOKEN)
    async with Up("--token-file", str(token)) as up:
        _, found = await findings(up.url, ports=("--listen", up.address, "--http", "none"))
        assert "wants a token" in found["gRPC port"]["found"]


async def test_somebody_else_is_at_the_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        printed = await command("doctor", "--listen", address, "--http", address, "--json")
    found = {each["check"]: each for each in json.loads(printed.out)["findings"]}
    assert (found["HTTP port"]["level"], found["gRPC port"]["level"]) == ("warning", "warning")
    assert "somebody else is at" in found["HTTP port"]["found"]


async def test_a_database_that_cannot_be_used() -> None:
    for history, level in (("sqlite:///nowhere/at/all/x.db", "error"), ("mysql://x", "error")):
        code, found = await findings("", "--history", history)
        assert (code, found["history store"]["level"]) == (1, level)


async def test_what_is_stored_and_nobody_handles(redis_url: str) -> None:
    def fail(data: Any) -> None:
        raise ValueError("no")

    once = RetryPolicy(max_attempts=1)
    async with EventSystem(redis_url, settings=Settings(drain=0.1)) as events:
        poison = events.subscribe("bad", fail, durable=True, retry=once)
        dead = events.subscribe("worse", fail, durable=True, retry=once)
        idle = events.subscribe("idle", fail, durable=True)
        for subscription in (poison, dead, idle):
            await subscription.ready()
        await idle.unsubscribe()
        await events.publish("idle", 1, durable=True)
        await events.publish("bad", 1, key="k")
        await events.publish("worse", 1, durable=True)
        async with asyncio.timeout(SECONDS):
            while not (await events.parked.list("bad") and await events.dead_letters.list("worse")):
                await asyncio.sleep(0.05)
        code, found = await findings(redis_url, "--stuck-after", "1ms")
    assert code == 0
    assert "idle/default (1 wait)" in found["groups"]["found"]
    assert "bad/default (1)" in found["parked keys"]["found"]
    assert "worse (1)" in found["dead letters"]["found"]
    assert [found[each]["level"] for each in ("groups", "parked keys", "dead letters")] == ["warning"] * 3


async def test_a_history_that_cannot_be_written(tmp_path: Path) -> None:
    async with Up("--history", f"sqlite://{tmp_path}/there.db") as up:
        _, found = await findings(up.url)
        assert (found["history"]["level"], "1 recorder," in found["history"]["found"]) == ("fine", True)
