"""The recipe in docs/redis-acl.md: what it allows works with both clients, and what it does not is refused by name."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from tests.support.servers import RedisServer
from tieline import EventSystem
from tieline.errors import PermissionDeniedError

ROOT = Path(__file__).parents[3]
RECIPE = (ROOT / "docs" / "redis-acl.md").read_text()
SECONDS = 120.0
WORK = {
    "python": (sys.executable, "-m", "tests.gateway.access.redis_work"),
    "node": ("node", str(ROOT / "tests/gateway/access/redis_work.mjs")),
}
NAMESPACE = {
    " ~tl:* ": " ~tl:shop@0:* ",
    " ~event_stream:* ": " ~shop@0:event_stream:* ",
    " &tl:* ": " &tl:shop@0:* ",
    " &group_change ": " &shop@0:group_change ",
}


def users() -> list[str]:
    """The commands of the recipe."""
    return re.findall(r"^ACL SETUSER .*$", RECIPE, re.MULTILINE)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server with the users of the recipe, and none that may do everything."""
    with RedisServer() as started:
        with redis.Redis(port=started.port) as admin:
            for command in users():
                admin.execute_command(*command.split())
            shop = users()[0].replace("tieline-service", "shop")
            for pattern, own in NAMESPACE.items():
                assert pattern in shop
                shop = shop.replace(pattern, own)
            admin.execute_command(*shop.split())
            admin.execute_command("ACL", "SETUSER", "looker", "on", ">looker", "-@all", "+acl|log")
        yield started


def url(server: RedisServer, user: str, password: str) -> str:
    """Where it is, for a user."""
    return f"redis://{user}:{password}@127.0.0.1:{server.port}/0"


def refused(server: RedisServer) -> list[str]:
    """What the server refused so far."""
    with redis.Redis(port=server.port, username="looker", password="looker") as looker:
        return [
            f"{entry['reason']} {entry['object']} ({entry['username']})"
            for entry in looker.acl_log()
            if entry["username"] != "looker"
        ]


@pytest.mark.parametrize("client", WORK)
@pytest.mark.parametrize("namespace", ["", "shop"])
async def test_services_can_do_everything(server: RedisServer, client: str, namespace: str) -> None:
    where = url(server, namespace or "tieline-service", "SERVICE-PASSWORD")
    process = await asyncio.create_subprocess_exec(
        *WORK[client], where, *filter(None, [namespace]), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SECONDS):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert refused(server) == []


async def test_a_plain_producer_can_produce_and_nothing_else(server: RedisServer) -> None:
    got: asyncio.Queue[object] = asyncio.Queue()
    async with EventSystem(url(server, "tieline-service", "SERVICE-PASSWORD"), service="reader") as events:
        await events.subscribe("comment", got.put, durable=True, group="g").ready()
        await asyncio.to_thread(_produce, server.port)
        assert await asyncio.wait_for(got.get(), 30) == {"text": "hello"}
    told = refused(server)
    for what in ("command xrange", "command get", "key tl:x", "channel tl:ev:comment"):
        assert any(line.startswith(what) for line in told), (what, told)


def _produce(port: int) -> None:
    with redis.Redis(port=port, username="tieline-producer", password="PRODUCER-PASSWORD") as producer:
        producer.xadd("event_stream:comment:card-1", {"text": "hello"})
        producer.publish("group_change", "register:comment:card-1")
        for command in (
            ("XRANGE", "event_stream:comment:card-1", "-", "+"),
            ("GET", "event_stream:comment:card-1"),
            ("XADD", "tl:x", "*", "a", "b"),
            ("PUBLISH", "tl:ev:comment", "x"),
        ):
            with pytest.raises(NoPermissionError):
                producer.execute_command(*command)


async def test_what_is_not_allowed_is_told_by_name(server: RedisServer) -> None:
    narrow = EventSystem(url(server, "tieline-producer", "PRODUCER-PASSWORD"), service="narrow")
    with pytest.raises(PermissionDeniedError, match=r"client\|info"):
        await narrow.start()
    await narrow.aclose()
    other = EventSystem(url(server, "shop", "SERVICE-PASSWORD"), service="other", namespace="bank")
    with pytest.raises(PermissionDeniedError, match=r"key|channel"):
        await other.publish("a", 1, key="k")
    await other.aclose()
