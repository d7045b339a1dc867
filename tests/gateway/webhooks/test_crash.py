"""What was answered is stored, what is stored is stored once, whatever dies in between."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.gateway.up import Up, WebClient
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.inbox import stored
from tests.gateway.webhooks.senders import github
from tests.support.proxy import FaultProxy
from tests.support.servers import RedisServer

COUNT = 60


async def _restarted(up: Up) -> None:
    os.kill(up.pid, signal.SIGKILL)
    await up.wait()
    await up.start()


@pytest.mark.parametrize("place", ["redis", "sqlite"])
async def test_a_gateway_that_is_killed_between_store_and_answer(
    place: str, serve: Make, config: Path, tmp_path: Path, redis_url: str
) -> None:
    web = await serve("--config", config, *(("--url", redis_url) if place == "redis" else ("--store", tmp_path / "s")))
    answered: set[str] = set()

    async def deliver(delivery: str) -> None:
        try:
            answer = await github(web, delivery=delivery)
        except httpx.HTTPError:
            return
        if answer.status_code == 202:
            answered.add(delivery)

    deliveries = [f"d-{number}" for number in range(COUNT)]
    for begin in range(0, COUNT, COUNT // 3):
        sending = [asyncio.create_task(deliver(each)) for each in deliveries[begin : begin + COUNT // 3]]
        while not (answered & set(deliveries[begin:])):  # some are answered, some are on their way
            await asyncio.sleep(0)
        await _restarted(web.up)
        await asyncio.gather(*sending)
    async with WebClient(web.up) as again:
        statuses = {each: (await github(again, delivery=each)).json()["status"] for each in deliveries}
    assert {statuses[each] for each in answered} == {"duplicate"}
    assert set(statuses.values()) <= {"duplicate", "accepted"}
    assert await stored(web.up, "webhook.github.push") == COUNT


async def test_an_answer_that_is_lost_is_no_second_event(serve: Make, config: Path) -> None:
    """The broker stores, and the gateway does not hear of that: the sender is asked to come again."""
    with RedisServer() as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            web = await serve("--config", config, "--url", f"redis://127.0.0.1:{proxy.port}/0")
            assert (await github(web, delivery="d-0")).status_code == 202
            proxy.delay(2_000)
            sending = asyncio.create_task(github(web, delivery="d-1"))
            await _known(server, "d-1")
            proxy.reset()
            await proxy.restore()
            await sending
            async with asyncio.timeout(30):
                while (answer := await github(web, delivery="d-1")).status_code != 202:
                    await asyncio.sleep(0.05)
            assert answer.json()["status"] == "duplicate"
        direct = await serve("--config", config, "--url", server.url)
        assert await stored(direct.up, "webhook.github.push") == 2


async def _known(server: RedisServer, delivery: str) -> None:
    """Wait until the broker has stored it."""
    async with Redis.from_url(server.url) as redis, asyncio.timeout(30):
        while not [name async for name in redis.scan_iter(f"*webhook:delivery:github:{delivery}")]:
            await asyncio.sleep(0.01)


async def test_without_its_broker_the_sender_is_asked_to_come_again(serve: Make, config: Path) -> None:
    with RedisServer(persist=True) as server:
        web = await serve("--config", config, "--url", server.url)
        assert (await github(web, delivery="d-1")).status_code == 202
        server.kill()
        async with asyncio.timeout(30):
            while (answer := await github(web, delivery="d-2")).status_code == 202:
                await asyncio.sleep(0.05)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["code"] == "UNAVAILABLE"
        server.start()
        async with asyncio.timeout(30):
            while (answer := await github(web, delivery="d-2")).status_code != 202:
                await asyncio.sleep(0.05)
        assert (await github(web, delivery="d-1")).json()["status"] == "duplicate"
        assert await stored(web.up, "webhook.github.push") == 2


async def test_a_topic_that_is_full_asks_to_come_again(serve: Make, config: Path, redis_url: str) -> None:
    web = await serve("--config", config, "--url", redis_url)
    assert (await github(web, {"n": 1}, "star")).status_code == 202
    async with Redis.from_url(redis_url) as redis:  # as many as 9,998 more deliveries would leave
        entries: Any = await redis.xrange("tl:{webhook.github.star}:q:5")
        ((_, fields),) = entries
        pipeline = redis.pipeline(transaction=False)
        for _ in range(9_998):
            pipeline.xadd("tl:{webhook.github.star}:q:5", fields)
        await pipeline.execute()
    assert (await github(web, {"n": 1}, "star")).status_code == 202
    answer = await github(web, {"n": 1}, "star", delivery="one-more")
    assert (answer.status_code, answer.json()["code"]) == (429, "OVERLOADED")
    assert int(answer.headers["retry-after"]) >= 1
    assert await stored(web.up, "webhook.github.star") == 10_000
    assert (await github(web, {"n": 1}, "star", delivery="one-more")).json()["status"] == "accepted"
