"""What was stored for topics that nobody subscribes to goes after a week, and nothing else does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from tests.suite.raw import Raw
from tests.suite.seen import until
from tests.unit.mail_places import Box, opened
from tieline import testing
from tieline._contract import contract, scripts
from tieline.durable.mail import Verdict
from tieline.transports import redis_retention
from tieline.transports.memory import MemoryBroker, MemoryTransport
from tieline.transports.redis import RedisTransport
from tieline.transports.sqlite_mail import SqliteMail

WEEK_MS = contract.LIMIT_STREAM_ALONE_MS
DAY = 86_400


# --- in SQLite --------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> testing.Clock:
    return testing.Clock()


@pytest.fixture
async def box(clock: testing.Clock) -> AsyncIterator[Box]:
    """The mail of a broker in memory, whose clock is turned by hand."""
    async with opened(MemoryTransport(MemoryBroker(clock=clock)), "t") as made:
        yield made


async def test_a_week_old_event_goes_and_a_later_group_gets_the_rest(
    box: Box, clock: testing.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await box.put("a1", "a2", "b1", "5:x")
    await clock.advance(6 * DAY)
    await box.put("a3", "5:y")
    await clock.advance(1.5 * DAY)
    assert caplog.text == ""
    await box.put("c1")
    assert "4 events of 't' were deleted: nobody subscribed to it for 7 days" in caplog.text
    await box.enroll()
    assert await box.read() == {"": ["5:y"], "a": ["a3"], "c": ["c1"]}


async def test_a_full_stream_takes_events_again_when_its_old_ones_have_gone(
    box: Box, clock: testing.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "LIMIT_STREAM_ALONE", 2)
    assert [bool(stored) for stored in await box.put("a1", "a2", "a3")] == [True, True, False]
    await clock.advance(8 * DAY)
    assert [bool(stored) for stored in await box.put("a4")] == [True]


async def test_what_a_group_waits_for_stays_however_old_it_is(box: Box, clock: testing.Clock) -> None:
    await box.enroll()
    await box.put("a1", "5:x")
    await clock.advance(30 * DAY)
    await box.put("a2")
    assert await box.read() == {"": ["5:x"], "a": ["a1", "a2"]}


async def test_it_goes_from_a_file_too(tmp_path: Path, clock: testing.Clock) -> None:
    mail = SqliteMail(tmp_path / "events.db", clock, lambda topic, group: None)
    (draft,) = Box.drafts(None, "a1")  # type: ignore[arg-type]
    await mail.append("alone", [draft])
    await clock.advance(8 * DAY)
    await mail.append("other", [draft])
    await mail.enroll("alone", "g", latest=False)
    assert (await mail.claim("alone", "g", 9, 9, 1.0)).members == []
    await mail.aclose()


async def test_what_a_group_at_the_latest_was_not_to_get_goes_after_a_week(
    box: Box, clock: testing.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await box.put("a1", "5:x")
    await clock.advance(DAY)
    await box.enroll("late", latest=True)
    await box.put("b1", "5:y")
    await clock.advance(5 * DAY)
    await box.put("c1")
    assert caplog.text == ""
    await clock.advance(3 * DAY)
    await box.put("d1")
    assert "2 events of 't' were deleted" in caplog.text
    await box.enroll("g")
    expected = {"": ["5:y"], "b": ["b1"], "c": ["c1"], "d": ["d1"]}
    assert await box.read(group="late") == expected
    assert await box.read(group="g") == expected


# --- on Redis ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
async def transport(redis_url: str) -> RedisTransport:
    return RedisTransport(redis_url)


@pytest.fixture
async def shelf(transport: RedisTransport) -> AsyncIterator[Box]:
    """The mail on a server."""
    async with opened(transport, "t") as made:
        yield made


def _add_old(client: redis.Redis, stream: str, count: int, days: float = 8) -> None:
    """Entries of so many days ago."""
    ms = int((time.time() - days * DAY) * 1000)
    for number in range(count):
        client.xadd(stream, {"tl": b"old"}, f"{ms}-{number + 1}")  # type: ignore[arg-type]


async def test_week_old_entries_go_from_streams_and_lanes(
    shelf: Box, transport: RedisTransport, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for stream in ("event_stream:t:a", "event_stream:t:b", "tl:{t}:q:5", "tl:{t}:q:8"):
        _add_old(client, stream, 3)
    _add_old(client, "event_stream:t:c", 2, days=6)
    await transport.mail.work.run(scripts.READY, scripts.ready_names("tl:", "t"), [b"b", b"c"])
    client.sadd("tl:ln:{t}", "8")
    await shelf.put("a1", "5:x")
    assert await transport.retention.sweep(WEEK_MS) == 12
    assert "12 events of 't' were deleted: nobody subscribed to it for 7 days" in caplog.text
    assert await transport.retention.sweep(WEEK_MS) == 0
    assert client.exists("event_stream:t:b", "tl:{t}:q:8") == 0
    assert set(client.zrange("tl:du:{t}:", 0, -1)) == {b"a", b"c"}  # type: ignore[arg-type]
    await shelf.enroll()
    assert await shelf.read() == {"": ["5:x"], "a": ["a1"], "c": ["old", "old"]}


async def test_nothing_goes_from_a_topic_with_a_group(
    shelf: Box, transport: RedisTransport, client: redis.Redis
) -> None:
    for stream in ("event_stream:t:a", "tl:{t}:q:5"):
        _add_old(client, stream, 2)
    await shelf.enroll()
    await shelf.put("a1", "5:x")
    assert await transport.retention.sweep(WEEK_MS) == 0
    assert await shelf.read() == {"": ["old", "old", "5:x"], "a": ["old", "old", "a1"]}


async def test_what_a_group_at_the_latest_was_not_to_get_goes_after_a_week_from_redis(
    shelf: Box, transport: RedisTransport, client: redis.Redis
) -> None:
    for stream in ("event_stream:t:a", "event_stream:t:b", "tl:{t}:q:5"):
        _add_old(client, stream, 2)
    await transport.mail.work.run(scripts.READY, scripts.ready_names("tl:", "t"), [b"a", b"b"])
    await shelf.put("b1")
    await asyncio.sleep(0.005)
    await shelf.enroll("late", latest=True)
    await shelf.put("c1", "5:x")
    claimed = await shelf.claim(group="late")
    assert {member.key for member in claimed.members} == {"", "c"}
    assert await transport.retention.sweep(WEEK_MS) == 6
    assert client.exists("event_stream:t:a") == 0
    assert all(await shelf.settle(claimed, Verdict.DONE, group="late"))
    await shelf.enroll("g")
    assert await shelf.read(group="g") == {"b": ["b1"]}
    assert await transport.retention.sweep(-1000) == 0


async def test_many_keys_are_looked_at_in_pages(shelf: Box, transport: RedisTransport, client: redis.Redis) -> None:
    keys = [f"k{number}x" for number in range(2_000)]
    for key in keys:
        _add_old(client, f"event_stream:t:{key}", 1)
    await shelf.put("a1")
    names = scripts.ready_names("tl:", "t")
    await transport.mail.work.run(scripts.READY, names, [key.encode() for key in keys])
    assert await transport.retention.sweep(WEEK_MS) == 2_000
    assert client.keys("event_stream:*") == [b"event_stream:t:a"]
    assert client.zrange("tl:du:{t}:", 0, -1) == [b"a"]


async def test_what_a_removed_group_left_goes_too_parked_or_not(
    shelf: Box, transport: RedisTransport, client: redis.Redis
) -> None:
    await shelf.enroll()
    await shelf.put("a1", "b1", "5:x")
    claimed = await shelf.claim()
    (key,) = [member for member in claimed.members if member.key == "a"]
    await shelf.settle(claimed, Verdict.PARK, b"letter", member=key, handled=0)
    await shelf.mail.dismiss("t", "default")
    assert await transport.retention.sweep(-1000) == 3
    assert not client.keys("event_stream:*")
    assert not client.exists("tl:du:{t}:")


async def test_one_process_looks_and_only_one_that_stores(
    redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_retention, "_SWEEP_SECONDS", 0.2)
    idle = RedisTransport(redis_url)
    await Raw(idle).open()
    async with opened(RedisTransport(redis_url), "t") as box:
        _add_old(client, "event_stream:t:a", 3)
        await asyncio.sleep(0.6)
        assert not client.exists("tl:xp")
        await box.put("a1")
        await until(lambda: client.xlen("event_stream:t:a") == 1)
        assert 0 < client.pttl("tl:xp") <= contract.DEFAULT_EXPIRE_SWEEP_MS  # type: ignore[operator]
    await idle.aclose()
