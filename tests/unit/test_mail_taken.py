"""What another program puts where a stream should be stops nobody but the events of that stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.suite.seen import Seen
from tests.support.servers import RedisServer
from tests.unit.mail_places import Box, names, opened
from tieline import ConflictError, EventSystem, Item
from tieline.durable.mail import NoStream, Stored, Verdict
from tieline.transports.redis import RedisTransport


@pytest.fixture
async def box(redis_url: str) -> AsyncIterator[Box]:
    async with opened(RedisTransport(redis_url), "taken") as made:
        await made.enroll()
        yield made


def take(redis_server: RedisServer, key: str) -> None:
    """Put a string where the stream of a key is."""
    assert redis_server.command("SET", f"event_stream:taken:{key}", "x") == "+OK"


async def test_what_is_published_beside_it_is_stored_and_handled(box: Box, redis_server: RedisServer) -> None:
    take(redis_server, "a")
    told = await box.put("b1", "a1=id", "b2", "5:c", most=100)
    assert [isinstance(one, NoStream) for one in told] == [False, True, False, False]
    found = await box.read()
    assert found == {"b": ["b1", "b2"], "": ["5:c"]}


async def test_what_is_published_together_with_it_is_not_stored(box: Box, redis_server: RedisServer) -> None:
    take(redis_server, "a")
    told = await box.put("b1", "a1", together=True)
    assert [isinstance(one, NoStream) for one in told] == [True, True]
    assert await box.read() == {}


async def test_it_can_be_published_when_the_name_is_free_again(box: Box, redis_server: RedisServer) -> None:
    take(redis_server, "a")
    await box.put("a1=id")
    redis_server.command("DEL", "event_stream:taken:a")
    (told,) = await box.put("a1=id")
    assert isinstance(told, Stored)
    assert not told.duplicate
    assert await box.read() == {"a": ["a1"]}


async def test_what_is_settled_beside_it_is_settled(box: Box, redis_server: RedisServer) -> None:
    await box.put("a1", "b1", "b2")
    claimed = await box.claim(lease=0.05)
    take(redis_server, "a")
    settled = dict(
        zip([member.key for member in claimed.members], await box.settle(claimed, Verdict.DONE), strict=True)
    )
    assert settled == {"a": False, "b": True}
    await box.put("b3")
    await asyncio.sleep(0.1)
    claimed = await box.claim()
    assert [names(member.entries) for member in claimed.members] == [["b3"]]
    assert claimed.again is not None, "the lease on b"
    await box.settle(claimed, Verdict.DONE)
    assert (await box.claim()).again is None, "nothing waits for what is not there"


async def test_the_publisher_is_told_what_is_wrong_and_where(redis_url: str, redis_server: RedisServer) -> None:
    async with EventSystem(redis_url) as system:
        seen = Seen()
        await system.subscribe("taken", seen.take, durable=True).ready()
        take(redis_server, "a")
        with pytest.raises(ConflictError, match="'event_stream:taken:a' that is no stream; remove that") as caught:
            await system.publish("taken", 1, key="a")
        assert caught.value.outcome == "NOT_DELIVERED"
        with pytest.raises(ConflictError, match="nothing was stored"):
            await system.publish_many("taken", [Item(1, key="b"), Item(2, key="a")])
        await system.publish("taken", 3, key="b")
        await seen.stay(1)


async def test_an_outbox_keeps_it_until_the_name_is_free(
    redis_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    async with EventSystem(redis_url, outbox=tmp_path / "outbox.db") as system:
        seen = Seen()
        await system.subscribe("taken", seen.take, durable=True).ready()
        take(redis_server, "a")
        await system.publish("taken", 1, key="a")
        await system.publish("taken", 2, key="b")
        await seen.reach(1)
        redis_server.command("DEL", "event_stream:taken:a")
        await seen.reach(2)
        assert list(seen) == [2, 1]
