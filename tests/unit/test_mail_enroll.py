"""A group that is registered gets what is for it, also when whoever registered it did not live to see the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.servers import RedisServer
from tests.unit.mail_places import Box, opened
from tieline import NotFoundError
from tieline._contract import contract, scripts
from tieline.durable.mail import Verdict
from tieline.transports.redis import RedisTransport
from tieline.transports.redis_mail import RedisMail

KEYS = [f"key.{number}." for number in range(2_500)]  # more than a page


@pytest.fixture
async def box(redis_url: str) -> AsyncIterator[Box]:
    async with opened(RedisTransport(redis_url), "roll") as made:
        yield made


async def _begin_to_enroll(box: Box, group: str) -> list[bytes]:
    """What a process does that is killed then."""
    assert isinstance(box.mail, RedisMail)
    arguments = [group.encode(), b"0", b"0", b""]
    told = await box.mail.work.run(scripts.ENROLL, scripts.enroll_names("tl:", box.topic), arguments)
    assert told == [b"1", b"1", b""]
    return told


async def _settle_all(box: Box, group: str, verdict: Verdict) -> int:
    count = 0
    while (claimed := await box.claim(group=group, entries=10_000)).members:
        count += len(claimed.members)
        assert all(await box.settle(claimed, verdict, group=group))
    return count


@pytest.mark.parametrize("others", [[], ["g"], ["f", "h"]])
async def test_whoever_registers_a_group_again_goes_on_where_another_stopped(others: list[str], box: Box) -> None:
    for other in others:
        await box.enroll(other)
    await box.put(*(f"{key}1" for key in KEYS))
    await _begin_to_enroll(box, "new")
    assert not (await box.mail.enroll(box.topic, "new", latest=False, again=True)).new
    found = await box.read(100, group="new")
    assert set(found) == set(KEYS)


async def test_what_others_handle_while_keys_are_copied_is_not_forgotten(box: Box, redis_server: RedisServer) -> None:
    await box.enroll("g")
    await box.put(*(f"{key}1" for key in KEYS))
    await _begin_to_enroll(box, "new")
    assert await _settle_all(box, "g", Verdict.DONE) == len(KEYS)
    await box.mail.enroll(box.topic, "new", latest=False, again=True)
    assert await _settle_all(box, "new", Verdict.DONE) == len(KEYS)
    assert redis_server.command("EVAL", "return #redis.call('KEYS', 'event_stream:*')", "0") == ":0"
    assert redis_server.command("EXISTS", contract.copying_key("tl:", box.topic)) == ":0"


async def test_a_group_that_is_removed_while_keys_are_copied_stays_removed(box: Box) -> None:
    await box.enroll("g")
    await box.put(*(f"{key}1" for key in KEYS))
    await _begin_to_enroll(box, "new")
    await box.mail.dismiss(box.topic, "new")
    with pytest.raises(NotFoundError):
        await box.mail.enroll(box.topic, "new", latest=False, again=True)
    assert [figures.group for figures in await box.mail.groups(box.topic)] == ["g"]


async def test_a_group_that_comes_back_skips_nothing_of_what_it_had_under_way(box: Box) -> None:
    """Something new is stored before all keys are copied."""
    await box.enroll("g")
    await box.enroll("other")
    await box.put(*(f"{key}1" for key in KEYS))
    await box.claim(250, group="g", entries=10_000)
    await box.mail.dismiss(box.topic, "g")
    await _begin_to_enroll(box, "g")
    await box.put(*(f"{key}2" for key in KEYS))
    found = await box.read(100, group="g", entries=100_000)
    await box.mail.enroll(box.topic, "g", latest=False, again=True)
    assert await box.read(100, group="g", entries=100_000) == {}
    assert {key: events for key, events in found.items() if events != [f"{key}1", f"{key}2"]} == {}
    assert len(found) == len(KEYS)


async def test_a_group_that_comes_back_at_the_latest_gets_nothing_it_had_under_way(box: Box) -> None:
    await box.enroll("g")
    await box.enroll("other")
    await box.put("a1", "a2")
    await box.claim(group="g")
    await box.mail.dismiss(box.topic, "g")
    await asyncio.sleep(0.005)  # "latest" is exact to the millisecond
    await box.enroll("g", latest=True)
    assert await box.read(group="g") == {}
    await asyncio.sleep(0.005)
    await box.put("a3")
    assert await box.read(group="g") == {"a": ["a3"]}


async def test_what_a_group_at_the_latest_was_not_to_get_is_there_at_once_for_the_next(box: Box) -> None:
    await box.put("a1", "b1")
    await asyncio.sleep(0.005)
    await box.enroll("late", latest=True)
    assert await box.read(group="late") == {}
    assert (await box.figures("late")).waiting == 0
    await box.enroll("later", latest=True)
    assert await box.read(group="later") == {}
    await box.enroll("g")
    assert await box.read(group="g") == {"a": ["a1"], "b": ["b1"]}
