"""Events that are being stored while the link to Redis breaks: stored once, in order, or said not to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.suite.seen import until
from tests.support.proxy import FaultProxy
from tests.support.servers import RedisServer
from tests.unit.mail_places import Box, names, opened
from tieline import UnavailableError
from tieline._contract import contract
from tieline.durable.mail import Appended
from tieline.settings import Settings
from tieline.transports.redis import RedisTransport
from tieline.transports.redis_link import pack

SETTINGS = Settings(reconnect_min=0.01, reconnect_max=0.05, ping_interval=0.2, pong_timeout=0.3, connect_timeout=1.0)


@pytest.fixture
async def proxy(redis_server: RedisServer, redis_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", redis_server.port) as made:
        yield made


@pytest.fixture
async def box(proxy: FaultProxy) -> AsyncIterator[Box]:
    transport = RedisTransport(f"redis://127.0.0.1:{proxy.port}", settings=SETTINGS)
    async with opened(transport, "again") as made:
        await made.enroll()
        yield made


def _transport(box: Box) -> RedisTransport:
    assert isinstance(box.raw.transport, RedisTransport)
    return box.raw.transport


async def test_what_was_gathered_when_the_link_broke_comes_after_what_was_sent(box: Box, proxy: FaultProxy) -> None:
    link = _transport(box).link
    assert link is not None
    proxy.black_hole()
    first = asyncio.ensure_future(box.mail.append("again", box.drafts("a1")))
    link.flush()
    second = asyncio.ensure_future(box.mail.append("again", box.drafts("a2")))
    link.abort("a test")
    proxy.reset()  # what was on its way is lost
    await proxy.restore()
    stored = [*await first, *await second]
    assert all(one is not None and one.entry for one in stored)
    assert await box.read() == {"a": ["a1", "a2"]}


async def test_what_nobody_answered_ends_when_the_broker_stays_away(
    box: Box, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "DEFAULT_APPEND_RESEND_MS", 200)
    proxy.black_hole()
    storing = asyncio.ensure_future(box.mail.append("again", box.drafts("a1")))
    await asyncio.sleep(0)
    proxy.refuse()
    proxy.reset()
    async with asyncio.timeout(10):
        with pytest.raises(UnavailableError):
            await storing
    await proxy.restore()


async def test_what_nobody_answered_ends_when_the_system_is_closed(box: Box, proxy: FaultProxy) -> None:
    transport = _transport(box)
    assert transport.link is not None
    proxy.black_hole()
    storing = asyncio.ensure_future(box.mail.append("again", box.drafts("a1")))
    transport.link.flush()
    async with asyncio.timeout(10):
        await transport.aclose()
        with pytest.raises(UnavailableError):
            await storing
    await proxy.restore()


async def test_what_found_no_room_is_told_so_again(box: Box, proxy: FaultProxy, redis_server: RedisServer) -> None:
    await box.put("a1")
    proxy.delay(300)
    storing = asyncio.ensure_future(box.put("a2", "b1", most=1))
    await until(lambda: "1" in redis_server.command("EXISTS", "event_stream:again:b"))
    proxy.reset()
    proxy.delay(0)
    refused, stored = await storing
    assert refused is None
    assert stored is not None
    assert names((await box.claim()).members[0].entries) == ["a1"]


async def test_a_server_that_forgot_its_scripts_takes_a_late_run_for_no_repeated_one(
    box: Box, redis_server: RedisServer
) -> None:
    """What is sent between the answers to two runs overtakes the second one, which has not run yet."""
    link = _transport(box).link
    assert link is not None
    redis_server.command("SCRIPT", "FLUSH")
    storing: list[asyncio.Future[list[Appended]]] = []

    def put(event: str) -> None:
        storing.append(asyncio.ensure_future(box.mail.append("again", box.drafts(event))))
        link.flush()

    put("a1")
    link.send(pack("PING"), lambda _: put("a3"))  # its answer is looked at between those to a1 and a2
    put("a2")
    await until(lambda: len(storing) == 3)
    stored = [one for each in storing for one in await each]
    assert all(one is not None and one.entry for one in stored)
    (read,) = (await box.read()).values()
    assert sorted(read) == ["a1", "a2", "a3"]
