"""Calling over HTTP: one, all, and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from tests.gateway.http.streams import reading
from tests.gateway.up import Up, WebClient, system
from tests.suite.seen import until
from tieline import Event, Settings


async def test_calls_with_one_key_share_a_run(web: WebClient, topic: str) -> None:
    runs: list[Any] = []

    def pay(amount: int) -> int:
        runs.append(amount)
        return len(runs)

    async with system(web.up) as events:
        await events.subscribe(topic, pay).ready()
        headers = {"Idempotency-Key": "invoice-7"}
        body = {"topic": topic, "data": 10}
        answers = [(await web.post("/v1/calls", json=body, headers=headers)).json() for _ in range(2)]
        assert (answers, runs) == ([{"data": 1}] * 2, [10])
        other = await web.post("/v1/calls", json={**body, "data": 11}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (409, "CONFLICT")
        both = await web.post("/v1/calls", json={**body, "idempotency_key": "x"}, headers=headers)
        assert both.status_code == 400


async def test_a_client_that_leaves_cancels_its_call(web: WebClient, topic: str) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def waits(_data: Any) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with system(web.up) as events:
        await events.subscribe(topic, waits).ready()
        calling = asyncio.create_task(web.post("/v1/calls", json={"topic": topic}))
        await asyncio.wait_for(began.wait(), 30)
        calling.cancel()
        await asyncio.wait_for(ended.wait(), 30)
        while (await web.get("/v1/calls/live")).json()["total"]:
            await asyncio.sleep(0.05)


async def test_a_call_that_takes_too_long_ends_in_time_and_says_so(web: WebClient, topic: str) -> None:
    async with system(web.up) as events:
        await events.subscribe(topic, lambda _data: asyncio.sleep(60)).ready()
        answer = await web.post("/v1/calls", json={"topic": topic, "ttl_ms": 300})
        told = answer.json()
        assert (answer.status_code, told["code"], told["outcome"]) == (504, "TIMEOUT", "MAY_HAVE_RUN")
        assert told["correlation_id"]


async def test_a_reply_that_is_no_json_is_told_as_base64(web: WebClient, topic: str) -> None:
    async with system(web.up) as events:
        await events.subscribe(topic, lambda _data: b"\x00\xff").ready()
        answer = await web.post("/v1/calls", json={"topic": topic})
        assert answer.json() == {"data_base64": "AP8=", "content_type": "application/msgpack"}
        assert answer.headers["tieline-correlation-id"]


async def test_all_are_asked_and_named(web: WebClient, topic: str) -> None:
    def fails(_data: Any) -> None:
        raise ValueError("no")

    async with system(web.up, service="one") as one, system(web.up, service="two") as two:
        await one.subscribe(topic, lambda data: data + 1).ready()
        await two.subscribe(topic, fails).ready()
        told = (await web.post("/v1/calls/gather", json={"topic": topic, "data": 1})).json()["answers"]
        answers = {each["service"]: each for each in told}
        assert (answers["one"]["data"], answers["one"]["error"]) == (2, None)
        assert (answers["two"]["error"]["type"], answers["two"]["missing"]) == ("ValueError", False)
        assert answers["two"]["instance"] == two.instance
    nobody = await web.post("/v1/calls/gather", json={"topic": topic})
    assert (nobody.status_code, nobody.json()["code"]) == (503, "NO_RESPONDERS")


async def test_a_stream_comes_item_by_item(web: WebClient, topic: str) -> None:
    async def count(start: int) -> AsyncIterator[Any]:
        for number in range(start, 0, -1):
            yield {"left": number}
        if start == 2:
            raise ValueError("stuck")

    async with system(web.up) as events:
        await events.subscribe(topic, count).ready()
        async with reading(web, "POST", "/v1/calls/stream", json={"topic": topic, "data": 3}) as stream:
            told = [each async for each in stream]
        assert [each.data["data"] for each in told[:-1]] == [{"left": 3}, {"left": 2}, {"left": 1}]
        assert (told[-1].name, told[-1].data) == ("end", {"items": 3})
        async with reading(web, "POST", "/v1/calls/stream", json={"topic": topic, "data": 2}) as stream:
            told = [each async for each in stream]
        assert [each.name for each in told] == ["item", "item", "error"]
        assert (told[-1].data["code"], told[-1].data["detail"]) == ("HANDLER_ERROR", "stuck")
    nobody = await web.post("/v1/calls/stream", json={"topic": topic})
    assert (nobody.status_code, nobody.json()["code"]) == (503, "NO_RESPONDERS")


async def test_who_stops_reading_cancels_the_stream(web: WebClient, topic: str) -> None:
    seen: list[Event] = []

    async def endless(_data: Any, event: Event) -> AsyncIterator[int]:
        seen.append(event)
        number = 0
        while True:
            yield (number := number + 1)
            await asyncio.sleep(0.01)

    async with system(web.up) as events:
        await events.subscribe(topic, endless).ready()
        async with reading(web, "POST", "/v1/calls/stream", json={"topic": topic}) as stream:
            assert (await stream.next()).data["data"] == 1
        await until(lambda: seen and seen[0].cancelled)
        while (await web.get("/v1/calls/live")).json()["total"]:
            await asyncio.sleep(0.05)


async def test_a_stream_of_replies_has_the_time_that_calls_have_when_the_gateway_stops(
    stack: AsyncExitStack, topic: str
) -> None:
    up = await stack.enter_async_context(Up("--drain", "2", http=True))
    web = await stack.enter_async_context(WebClient(up))

    async def endless(_data: Any) -> AsyncIterator[int]:
        while True:
            yield 1
            await asyncio.sleep(0.05)

    async with (
        system(up, settings=Settings(drain=0.1)) as events,
        reading(web, "GET", "/v1/overview/stream") as overview,
    ):
        await events.subscribe(topic, endless).ready()
        async with reading(web, "POST", "/v1/calls/stream", json={"topic": topic}) as stream:
            await stream.next()
            up.terminate()
            assert (await overview.until("error")).data["retryable"] is True
            assert (await stream.next()).name == "item"
            told = (await stream.until("error")).data
            assert (told["code"], told["outcome"]) == ("UNAVAILABLE", "MAY_HAVE_RUN")
            assert await up.wait(seconds=40) == 0


async def test_the_chain_of_a_call_is_named_whatever_it_is_called(web: WebClient, topic: str) -> None:
    async with system(web.up) as events:
        await events.subscribe(topic, lambda data: data).ready()
        for name, told in (("c-1/a:b", "c-1/a:b"), ("ä 100 %", "%C3%A4%20100%20%25"), ("\U0001f600", "%F0%9F%98%80")):
            for path in ("/v1/calls", "/v1/calls/gather"):
                answer = await web.post(path, json={"topic": topic, "data": 1, "correlation_id": name})
                assert (answer.status_code, answer.headers["tieline-correlation-id"]) == (200, told)
        for name in ("a\r\nset-cookie: b=c", "a\0", "x" * 300):
            for path in ("/v1/calls", "/v1/calls/gather", "/v1/calls/stream"):
                answer = await web.post(path, json={"topic": topic, "data": 1, "correlation_id": name})
                assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")
                assert "set-cookie" not in answer.headers
