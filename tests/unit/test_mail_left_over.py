"""Nothing is left over in Redis when every group has handled everything, and nothing stays behind unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.servers import RedisServer
from tests.unit.mail_places import Box, names, opened
from tieline.durable.mail import Settlement, Verdict
from tieline.transports.redis import RedisTransport


@pytest.fixture
async def box(redis_url: str) -> AsyncIterator[Box]:
    async with opened(RedisTransport(redis_url), "left") as made:
        yield made


def _streams(redis_server: RedisServer) -> str:
    return redis_server.command("EVAL", "return redis.call('KEYS', 'event_stream:*')", "0").strip()


async def test_a_group_that_begins_at_the_latest_keeps_no_handled_stream(box: Box, redis_server: RedisServer) -> None:
    await box.enroll("g")
    await box.put("a1", "b1")
    await asyncio.sleep(0.005)  # "latest" takes in the whole millisecond of the registration
    await box.enroll("late", latest=True)
    assert await box.read(group="late") == {}  # of one key before, of the other after the first group
    claimed = await box.claim(group="g")
    await box.settle(claimed, Verdict.DONE, group="g")
    assert _streams(redis_server) == "*0"


async def test_a_group_that_begins_at_the_latest_and_looks_last_clears_the_streams(
    box: Box, redis_server: RedisServer
) -> None:
    await box.enroll("g")
    await box.put("a1")
    await asyncio.sleep(0.005)  # "latest" takes in the whole millisecond of the registration
    await box.enroll("late", latest=True)
    await box.settle(await box.claim(group="g"), Verdict.DONE, group="g")
    assert await box.read(group="late") == {}
    assert _streams(redis_server) == "*0"


async def test_a_settlement_that_comes_late_changes_nothing(box: Box, redis_server: RedisServer) -> None:
    """The first of two parts failed on its way and is sent again after the second one."""
    await box.enroll("g")
    await box.enroll("h")
    await box.put("a1", "a2", "a3")
    claimed = await box.claim(group="g")
    (member,) = claimed.members
    ids = [entry.id for entry in member.entries]

    async def settle(verdict: Verdict, *handled: bytes) -> None:
        await box.mail.settle(
            "left", "g", [Settlement(member.name, claimed.token, verdict, b"", handled)], 60, claims=True
        )

    await settle(Verdict.KEEP, ids[1])
    await settle(Verdict.FREE)
    await settle(Verdict.KEEP, ids[0])
    assert await box.read(group="g") == {"a": ["a3"]}


async def test_a_dead_letter_is_kept_once_though_it_is_told_twice(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "a2", "5:x")
    claimed = await box.claim()
    for _ in range(2):
        await box.settle(claimed, Verdict.DEAD, b"letter", handled=1)
    assert len(await box.mail.letters(box.topic, "", 10)) == 2


async def test_an_entry_that_was_deleted_lets_nothing_overtake(box: Box, redis_server: RedisServer) -> None:
    await box.enroll()
    await box.put("a1", "a2", "a3")
    claimed = await box.claim(lease=0.02)
    await box.put("a4")
    redis_server.command("XDEL", "event_stream:left:a", claimed.members[0].entries[0].id.decode())
    await asyncio.sleep(0.05)
    again = await box.claim()
    assert names(again.members[0].entries) == ["a2"]


async def test_a_group_that_was_removed_and_comes_back_gets_what_it_had_under_way(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "5:x")
    await box.claim()
    await box.mail.dismiss(box.topic, "default")
    assert await box.read() == {}
    await box.enroll()
    assert await box.read() == {"a": ["a1"], "": ["5:x"]}


async def test_an_event_without_key_that_was_acknowledged_does_not_come_again(box: Box) -> None:
    """Its handler said so and was interrupted; another group has not handled it yet."""
    await box.enroll("g")
    await box.enroll("h")
    await box.put("5:x")
    await box.settle(await box.claim(group="g"), Verdict.FREE, group="g")
    assert await box.read(group="g") == {}
    assert await box.read(group="h") == {"": ["5:x"]}


async def test_what_only_a_removed_group_waited_for_goes(box: Box, redis_server: RedisServer) -> None:
    """Once there is one group only, an event without key is deleted by its id, and not with all that came before."""
    await box.enroll("g")
    await box.enroll("h")
    await box.put("5:x", "a1", "5:y")
    await box.settle(await box.claim(group="g"), Verdict.DONE, group="g")
    await box.mail.dismiss(box.topic, "h")
    assert redis_server.command("XLEN", "tl:{left}:q:5") == ":0"
    await box.put("a2")
    await box.settle(await box.claim(group="g"), Verdict.DONE, group="g")
    assert _streams(redis_server) == "*0"
