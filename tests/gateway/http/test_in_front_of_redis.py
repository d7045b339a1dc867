"""HTTP on a gateway in front of Redis: what services do there is seen, and a broker that is away is told as such."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.gateway.http.streams import reading
from tests.gateway.up import Up, WebClient
from tests.support.servers import RedisServer
from tieline import EventSystem, RetryPolicy


@pytest.mark.timeout(120)
async def test_what_services_do_at_redis_is_seen(stack: AsyncExitStack, redis_url: str, topic: str) -> None:
    up = await stack.enter_async_context(Up("--url", redis_url, http=True))
    web = await stack.enter_async_context(WebClient(up))
    shop = await stack.enter_async_context(EventSystem(redis_url, service="shop"))
    other = await stack.enter_async_context(EventSystem(redis_url, service="other"))

    def fails(_data: Any) -> None:
        raise ValueError("no")

    await shop.subscribe(f"{topic}.sum", sum).ready()
    options: Any = {"durable": True, "retry": RetryPolicy(max_attempts=1)}
    await shop.subscribe(f"{topic}.stored", fails, **options).ready()
    assert (await web.post("/v1/calls", json={"topic": f"{topic}.sum", "data": [1, 2]})).json() == {"data": 3}
    services = (await web.get("/v1/services", params={"ttl_ms": 10_000})).json()["services"]
    assert [each["name"] for each in services] == ["other", "shop"]
    async with reading(web, "GET", "/v1/tap", params={"topic": f"{topic}.>"}) as stream:
        await stream.until("watching")
        await other.publish(f"{topic}.event", 1)
        event = await stream.until("event")
        assert (event.data["topic"], event.data["source"]) == (f"{topic}.event", f"other/{other.instance}")
        while True:  # until others know that somebody watches requests
            await other.publish_and_wait(f"{topic}.sum", [1])
            try:
                async with asyncio.timeout(1.0):
                    request = await stream.next()
                break
            except TimeoutError:
                continue
        assert (request.name, request.data["topic"]) == ("request", f"{topic}.sum")
    body = {"topic": f"{topic}.stored", "data": 1, "durable": True}
    assert (await web.post("/v1/events", json=body)).json()["stored"]["duplicate"] is False
    while not (letters := (await web.get("/v1/dead-letters", params={"topic": body["topic"]})).json()["items"]):
        await asyncio.sleep(0.05)
    assert letters[0]["error"]["message"] == "no"
    overview = (await web.get("/v1/overview")).json()
    assert (overview["broker"]["kind"], overview["services"]) == ("redis", 3)


@pytest.mark.timeout(120)
async def test_a_broker_that_is_away_is_told_and_comes_back(stack: AsyncExitStack, topic: str) -> None:
    server = stack.enter_context(RedisServer())
    up = await stack.enter_async_context(Up("--url", server.url, http=True))
    web = await stack.enter_async_context(WebClient(up))
    assert (await web.post("/v1/events", json={"topic": topic})).status_code == 202
    server.kill()
    while (await web.get("/readyz")).status_code == 200:
        await asyncio.sleep(0.05)
    for body in ({"topic": topic}, {"topic": topic, "durable": True}):
        answer = await web.post("/v1/events", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    overview = (await web.get("/v1/overview")).json()
    assert (overview["broker"]["connected"], overview["instances"]) == (False, None)
    server.start()
    while (await web.get("/readyz")).status_code != 200:
        await asyncio.sleep(0.05)
    assert (await web.post("/v1/events", json={"topic": topic})).status_code == 202
