"""What people sort out by hand on Redis loses nothing and stops nothing, whatever became of the streams meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.servers import RedisServer
from tests.unit.mail_places import Box, opened
from tieline._contract import contract, scripts
from tieline.durable.mail import Redriven, Verdict
from tieline.transports.redis import RedisTransport
from tieline.transports.redis_link import pack
from tieline.transports.redis_mail import RedisMail


@pytest.fixture
async def box(redis_url: str) -> AsyncIterator[Box]:
    async with opened(RedisTransport(redis_url), "hand") as made:
        yield made


def _mail(box: Box) -> RedisMail:
    assert isinstance(box.mail, RedisMail)
    return box.mail


async def _parked(box: Box, *events: str) -> None:
    """Have the first event of the key `a` stop it."""
    await box.enroll()
    await box.put(*events)
    await box.settle(await box.claim(), Verdict.PARK, b"letter", handled=0)


async def test_a_dead_letter_that_cannot_be_stored_stays(box: Box, redis_server: RedisServer) -> None:
    await box.enroll()
    await box.put("a1", "b1")
    claimed = await box.claim()
    await box.settle(claimed, Verdict.DEAD, b"letter")
    await box.settle(claimed, Verdict.DONE, handled=0)
    first, second = await box.mail.letters(box.topic, "", 10)
    redis_server.command("SET", "event_stream:hand:a", "something else")
    asked = [Redriven(first.id, "default", "a", 5, b"a1"), Redriven(second.id, "default", "b", 5, b"b1")]
    moved = await box.mail.redrive(box.topic, asked)
    assert list(map(bool, moved)) == [False, True]
    assert [letter.id for letter in await box.mail.letters(box.topic, "", 10)] == [first.id]
    redis_server.command("DEL", "event_stream:hand:a")
    assert all(await box.mail.redrive(box.topic, asked[:1]))
    assert await box.read() == {"a": ["a1"], "b": ["b1"]}


async def test_a_parked_key_whose_consumer_group_is_gone_goes_on_past_its_head(
    box: Box, redis_server: RedisServer
) -> None:
    await _parked(box, "a1", "a2")
    redis_server.command("XGROUP", "DESTROY", "event_stream:hand:a", "hand:a")
    assert await box.mail.unpark(box.topic, "default", "a", skip=True)
    assert await box.read() == {"a": ["a2"]}


async def test_a_parked_key_whose_group_is_gone_goes_on_past_its_head_for_that_group_alone(
    box: Box, redis_server: RedisServer
) -> None:
    await box.enroll("other")
    await _parked(box, "a1", "a2", "a3")
    assert await box.mail.unpark(box.topic, "default", "a", skip=True)
    claimed = await box.claim(entries=1)
    await box.settle(claimed, Verdict.PARK, b"letter", handled=0)
    redis_server.command("XGROUP", "DESTROY", "event_stream:hand:a", "hand:a")
    assert await box.mail.unpark(box.topic, "default", "a", skip=True)
    assert await box.read() == {"a": ["a3"]}
    assert await box.read(group="other") == {"a": ["a1", "a2", "a3"]}


@pytest.mark.parametrize("left", ["nothing", "something else"])
async def test_a_parked_key_whose_stream_is_gone_is_let_go(left: str, box: Box, redis_server: RedisServer) -> None:
    await _parked(box, "a1")
    redis_server.command("DEL", "event_stream:hand:a")
    if left != "nothing":
        redis_server.command("SET", "event_stream:hand:a", left)
    assert await box.mail.unpark(box.topic, "default", "a", skip=True)
    assert await box.read() == {}
    redis_server.command("DEL", "event_stream:hand:a")
    await box.put("a2")
    assert await box.read() == {"a": ["a2"]}


async def test_a_parked_key_that_is_no_text_goes_on_under_the_name_that_is_shown(box: Box) -> None:
    await box.enroll()
    mail = _mail(box)
    for key in (b"\xff", b"k\xfe", "k\ufffdx".encode()):
        await mail.work.call(pack("XADD", b"event_stream:hand:" + key, "*", "text", "hello"))
        await mail.work.run(scripts.READY, scripts.ready_names("tl:", box.topic), [key])
    await box.settle(await box.claim(), Verdict.PARK, b"letter", handled=0)
    shown = [letter.id for letter in await box.mail.parked(box.topic, "default")]
    assert sorted(shown) == ["k\ufffd", "k\ufffdx", "\ufffd"]
    for key in shown:
        assert await box.mail.unpark(box.topic, "default", key, skip=False)
        assert not await box.mail.unpark(box.topic, "default", key, skip=False)
    assert {member.name for member in (await box.claim()).members} == {b"\xff", b"k\xfe", "k\ufffdx".encode()}


async def test_any_number_of_plain_producers_is_heard_at_once(box: Box, redis_server: RedisServer) -> None:
    await box.enroll()
    mail, keys = _mail(box), [b"k%d" % number for number in range(9_000)]
    await mail.work.call(pack("EVAL", _MANY, 0, len(keys)))
    told = await mail.work.run(scripts.READY, scripts.ready_names("tl:", box.topic), keys)
    assert told == len(keys)
    assert redis_server.command("ZCARD", contract.due_key("tl:", box.topic, "default")) == f":{len(keys)}"


_MANY = "for n = 0, ARGV[1] - 1 do redis.call('XADD', 'event_stream:hand:k' .. n, '*', 'text', 'hello') end"
