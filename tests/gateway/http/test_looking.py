"""What the HTTP API tells: who is there, what goes on, what waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateway.http.streams import reading
from tests.gateway.up import WebClient, system
from tests.suite.seen import until
from tieline import RetryPolicy

pytestmark = pytest.mark.timeout(120)


async def test_services_are_told_with_their_schemas(web: WebClient, topic: str) -> None:
    async with system(web.up, service="adder") as events:

        async def add(numbers: list[int]) -> int:
            return sum(numbers)

        await events.subscribe(topic, add).ready()
        told = (await web.get("/v1/services", params={"ttl_ms": 10_000})).json()
        (service,) = told["services"]
        assert service["name"] == "adder"
        assert service["instances"][0]["instance"] == events.instance
        (subscribed,) = service["subscriptions"]
        assert subscribed["topic"] == topic
        assert subscribed["input"] == {"type": "array", "items": {"type": "integer"}}
        assert told["differences"] == []
        document = (await web.get("/v1/asyncapi", params={"ttl_ms": 10_000})).json()
        assert topic in document["channels"]


async def test_a_call_is_explained_and_is_live_while_it_runs(web: WebClient, topic: str) -> None:
    go, began = asyncio.Event(), asyncio.Event()

    async def waits(_data: Any) -> str:
        began.set()
        await go.wait()
        return "done"

    async with system(web.up) as events:
        await events.subscribe(topic, waits).ready()
        body = {"topic": topic, "correlation_id": "chain-7"}
        calling = asyncio.create_task(web.post("/v1/calls", json=body))
        await asyncio.wait_for(began.wait(), 30)
        told = (await web.get("/v1/calls/live")).json()
        assert [(each["topic"], each["correlation_id"]) for each in told["items"]] == [(topic, "chain-7")]
        over_a_link = asyncio.create_task(events.publish_and_wait(topic, 2))
        go.set()
        assert (await calling).json() == {"data": "done"}
        await over_a_link
        assert (await web.get("/v1/calls/live")).json() == {"items": [], "total": 0, "instances": 2, "answered": 2}
        explained = (await web.get("/v1/explain/chain-7")).json()
        assert {"called", "replied"} & {step["name"] for step in explained["steps"]}
        assert explained["steps"][0]["after_ms"] == 0


async def test_what_links_call_is_live_too(web: WebClient, topic: str) -> None:
    go, began = asyncio.Event(), asyncio.Event()

    async def waits(_data: Any) -> None:
        began.set()
        await go.wait()

    async with system(web.up) as events, system(web.up, service="caller") as caller:
        await events.subscribe(topic, waits).ready()
        calling = asyncio.create_task(caller.publish_and_wait(topic, 1))
        await asyncio.wait_for(began.wait(), 30)
        (call,) = (await web.get("/v1/calls/live")).json()["items"]
        assert (call["topic"], call["source"]) == (topic, f"caller/{caller.instance}")
        go.set()
        await calling
        totals = (await web.get("/v1/overview")).json()["totals"]
        assert totals["called"] >= 1


async def test_the_overview_has_rates_and_goes_on(web: WebClient, topic: str) -> None:
    async with system(web.up) as events:
        await events.subscribe(topic, lambda _data: None).ready()

        async def something() -> None:
            while True:
                await web.post("/v1/calls", json={"topic": topic, "data": 1})
                await web.post("/v1/events", json={"topic": topic, "data": 1})

        busy = asyncio.create_task(something())
        async with reading(web, "GET", "/v1/overview/stream") as stream:
            first = (await stream.next()).data
            assert first["broker"] == {"kind": "embedded", "connected": True}
            assert "recent" in first
            told = first
            while not (told["now"]["published"] and told["now"]["called"] and told["now"]["p50_ms"]):
                told = (await stream.next()).data
            assert told["now"]["p99_ms"] >= told["now"]["p50_ms"] > 0
            assert told["instances"] == 2
            assert "recent" not in told
        busy.cancel()
        whole = (await web.get("/v1/overview")).json()
        assert whole["totals"]["published"] >= 1
        assert whole["recent"]
        counted = (await web.get("/v1/metrics")).json()
        assert counted["topics"][topic]["published_events"] >= 2


async def test_the_tap_shows_what_is_stored(web: WebClient, topic: str) -> None:
    async with system(web.up) as events, reading(web, "GET", "/v1/tap", params={"topic": f"{topic}.*"}) as stream:
        await stream.until("watching")
        await events.publish(f"{topic}.kept", {"n": 1}, key="k-1")
        await events.publish("elsewhere", {"n": 2}, key="k-1")
        await events.publish(f"{topic}.planned", {"n": 3}, key="k-1", delay=0.05)
        await events.publish(f"{topic}.live", {"n": 4})
        seen = {told.data["topic"]: told for told in [await stream.next() for _ in range(3)]}
        assert {name: told.name for name, told in seen.items()} == {
            f"{topic}.kept": "stored",
            f"{topic}.planned": "stored",
            f"{topic}.live": "event",
        }
        kept = seen[f"{topic}.kept"].data
        assert (kept["data"], kept["key"], kept["source"]) == ({"n": 1}, "k-1", f"{events.service}/{events.instance}")


async def test_the_tap_shows_events_and_requests_once(web: WebClient, topic: str) -> None:
    async with system(web.up) as events:
        await events.subscribe(f"{topic}.call", lambda data: data).ready()
        query = {"topic": [f"{topic}.>", f"{topic}.*"]}
        async with reading(web, "GET", "/v1/tap", params=query) as stream:
            assert await stream.next() == ("watching", {"topics": query["topic"]}, "")
            await events.publish(f"{topic}.one", {"text": "two\nlines"}, headers={"tenant": "acme"})
            await events.publish(f"{topic}.bytes", b"\x00\xff")
            await web.post("/v1/calls", json={"topic": f"{topic}.call", "data": [1, 2]})
            event, octets, request = [await stream.next() for _ in range(3)]
            assert (event.name, event.data["topic"], event.data["data"]) == (
                "event",
                f"{topic}.one",
                {"text": "two\nlines"},
            )
            assert event.data["headers"] == {"tenant": "acme"}
            assert octets.data["data_base64"] == "AP8="
            assert (request.name, request.data["data"]) == ("request", [1, 2])


async def test_a_tap_that_is_flooded_tells_a_gap(web: WebClient, topic: str) -> None:
    query = {"topic": topic, "most": 10}
    async with system(web.up) as events, reading(web, "GET", "/v1/tap", params=query) as stream:
        await stream.until("watching")
        for number in range(1_500):
            await events.publish(topic, number)
        gap = (await stream.until("gap")).data
        assert gap["lost"] > 0
        assert gap["since"] <= gap["until"]


async def test_schedules_are_listed_moved_and_cancelled(web: WebClient, topic: str) -> None:
    async with system(web.up) as events:
        receipt = await events.publish(topic, {"id": 1}, delay=3600)
        page = (await web.get("/v1/schedules")).json()
        assert [(each["id"], each["status"], each["event"]["data"]) for each in page["items"]] == [
            (receipt.id, "pending", {"id": 1})
        ]
        moved = (await web.patch(f"/v1/schedules/{receipt.id}", json={"delay_ms": 7_200_000})).json()
        assert moved["due"] > page["items"][0]["due"]
        assert (await web.patch(f"/v1/schedules/{receipt.id}", json={})).status_code == 400
        assert (await web.post(f"/v1/schedules/{receipt.id}/retry", json={})).status_code == 409
        assert (await web.delete(f"/v1/schedules/{receipt.id}")).json()["status"] == "cancelled"
        assert (await web.get(f"/v1/schedules/{receipt.id}")).json()["status"] == "cancelled"
        assert (await web.get("/v1/schedules", params={"status": "cancelled"})).json()["total"] == 1
        assert (await web.get("/v1/schedules/figures")).json()["cancelled"] == 1
        assert (await web.get("/v1/schedules", params={"status": "lost"})).status_code == 400
        assert (await web.get("/v1/schedules/nothing")).status_code == 404


async def test_cron_tasks_live_their_life(web: WebClient, topic: str) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()
    async with system(web.up) as events:
        await events.subscribe(topic, got.put).ready()
        body = {"name": "shop/nightly", "expression": "0 3 * * *", "topic": topic, "data": {"x": 1}, "jitter_ms": 1500}
        made = await web.post("/v1/cron", json=body)
        assert made.status_code == 201, made.text
        assert (made.json()["data"], made.json()["jitter_ms"]) == ({"x": 1}, 1500)
        assert (await web.post("/v1/cron", json=body)).status_code == 409
        assert (await web.get("/v1/cron")).json()["items"][0]["name"] == "shop/nightly"
        assert (await web.post("/v1/cron/shop/nightly/pause")).json()["paused"] is True
        assert (await web.post("/v1/cron/shop/nightly/run")).json()["id"].startswith("shop/nightly:")
        assert await asyncio.wait_for(got.get(), 30) == {"x": 1}
        assert (await web.post("/v1/cron/shop/nightly/resume")).json()["next"] > 0
        changed = (await web.patch("/v1/cron/shop/nightly", json={"expression": "every 90m", "data": 5})).json()
        assert (changed["expression"], changed["data"], changed["topic"]) == ("every 90m", 5, topic)
        wrong = await web.patch("/v1/cron/shop/nightly", json={"expression": "every now and then"})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "INVALID_ARGUMENT")
        assert (await web.delete("/v1/cron/shop/nightly")).status_code == 200
        assert (await web.get("/v1/cron/shop/nightly")).status_code == 404


async def test_dead_letters_are_seen_edited_redriven_and_purged(web: WebClient, topic: str) -> None:
    got: list[Any] = []

    def fussy(data: Any) -> None:
        if data != "fine":
            raise ValueError(f"not {data}")
        got.append(data)

    async with system(web.up) as events:
        options: Any = {"durable": True, "group": "g", "retry": RetryPolicy(max_attempts=1), "concurrency": 1}
        await events.subscribe(topic, fussy, **options).ready()
        for text in ("one", "two", "three"):
            await events.publish(topic, text, durable=True)

        async def letters(**query: Any) -> list[Any]:
            return (await web.get("/v1/dead-letters", params=query)).json()["items"]

        async def count() -> int:
            return len(await letters(topic=topic))

        while await count() < 3:
            await asyncio.sleep(0.05)
        first = (await letters(topic=topic))[0]
        assert (first["group"], first["reason"], first["event"]["data"]) == ("g", "failed", "one")
        assert (first["error"]["type"], first["error"]["message"]) == ("ValueError", "not one")
        page = (await web.get("/v1/dead-letters", params={"limit": 2})).json()
        assert [each["event"]["data"] for each in page["items"]] == ["one", "two"]
        rest = (await web.get("/v1/dead-letters", params={"limit": 2, "cursor": page["next"]})).json()
        assert ([each["event"]["data"] for each in rest["items"]], rest["next"]) == (["three"], "")
        assert (await web.get(f"/v1/dead-letters/{topic}/{first['id']}")).json() == first
        edited = await web.put(f"/v1/dead-letters/{topic}/{first['id']}", json={"data": "fine"})
        assert edited.json() == {"redriven": 1}
        await until(lambda: got == ["fine"])
        assert (await web.get(f"/v1/dead-letters/{topic}/{first['id']}")).status_code == 404
        assert (await web.post("/v1/dead-letters/redrive", json={"topic": topic})).status_code == 400
        second = (await letters(topic=topic))[0]
        told = await web.post("/v1/dead-letters/redrive", json={"topic": topic, "ids": [second["id"]]})
        assert told.json() == {"redriven": 1}
        while await count() < 2:
            await asyncio.sleep(0.05)
        assert max(each["redriven"] for each in await letters(topic=topic)) == 1
        assert (await web.post("/v1/dead-letters/purge", json={"topic": topic, "all": True})).json() == {"purged": 2}
        assert await letters() == []


@pytest.mark.parametrize("slash", ["", "/of/2026"])
async def test_groups_and_parked_keys(web: WebClient, topic: str, slash: str) -> None:
    named, topic = f"{topic}{slash.replace('/', '%2F')}", f"{topic}{slash}"
    fail, got = [True], list[Any]()

    def fussy(data: Any) -> None:
        if fail[0]:
            raise ValueError("not now")
        got.append(data)

    async with system(web.up) as events:
        options: Any = {"durable": True, "retry": RetryPolicy(max_attempts=1)}
        await events.subscribe(topic, fussy, **options).ready()
        await events.publish(topic, 1, key="a/b")
        await events.publish(topic, 2, key="a/b")
        while not (parked := (await web.get(f"/v1/parked/{named}")).json()["items"]):
            await asyncio.sleep(0.05)
        assert parked[0]["event"]["key"] == "a/b"
        (group,) = (await web.get(f"/v1/groups/{named}")).json()["groups"]
        assert (group["name"], group["parked"], group["waiting"]) == ("default", 1, 2)
        assert [each["topic"] for each in (await web.get("/v1/groups")).json()["items"]] == [topic]
        overview = (await web.get("/v1/overview")).json()
        assert overview["backlog"]["parked"] in (0, 1)
        fail[0] = False
        assert (await web.post(f"/v1/parked/{named}/a%2Fb/unpark")).status_code == 204
        await until(lambda: got == [1, 2])
        assert (await web.post(f"/v1/parked/{named}/a%2Fb/skip")).status_code == 404
        assert (await web.delete(f"/v1/groups/{named}/default")).status_code == 204
        assert (await web.delete(f"/v1/groups/{named}/default")).status_code == 404
