"""History and replays over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.http.streams import reading
from tests.gateway.up import Up, WebClient, system


@pytest.fixture
async def web(stack: AsyncExitStack, tmp_path: Path) -> WebClient:
    """An HTTP client of a gateway that records."""
    up = await stack.enter_async_context(Up("--history", f"sqlite://{tmp_path}/history", http=True))
    return await stack.enter_async_context(WebClient(up))


async def recorded(web: WebClient, topic: str, count: int) -> list[Any]:
    """The events of a topic, once there are so many."""
    while True:
        answer = await web.get("/v1/history", params={"topic": topic, "oldest_first": "true"})
        assert answer.status_code == 200, answer.text
        if len(answer.json()["items"]) == count:
            return answer.json()["items"]
        await asyncio.sleep(0.05)


async def test_what_happened_is_found_page_by_page_and_deleted(web: WebClient, topic: str) -> None:
    for number in range(3):
        body = {"topic": topic, "data": {"number": number}, "headers": {"tenant": "acme"}}
        await web.post("/v1/events", json=body)
    first = (await recorded(web, topic, 3))[0]
    assert (first["topic"], first["data"], first["headers"]) == (topic, {"number": 0}, {"tenant": "acme"})
    assert first["recorded_at"] >= first["time"] > 1_600_000_000_000
    page = (await web.get("/v1/history", params={"topic": topic, "limit": 2})).json()
    assert [each["data"]["number"] for each in page["items"]] == [2, 1]
    rest = (await web.get("/v1/history", params={"topic": topic, "limit": 2, "cursor": page["next"]})).json()
    assert ([each["data"]["number"] for each in rest["items"]], rest["next"]) == ([0], "")
    counted = (await web.get("/v1/history", params={"topic": topic, "page": 1})).json()
    assert counted["total"] == 3
    assert (await web.get(f"/v1/history/{first['id']}")).json() == first
    assert (await web.get("/v1/history", params={"topic": topic, "until": first["time"]})).json()["items"] == []
    assert (await web.get("/v1/history", params={"status": "lost"})).status_code == 400
    figures = (await web.get("/v1/history/figures")).json()
    assert figures["events"] >= 3
    assert (await web.delete("/v1/history")).status_code == 400
    assert (await web.delete("/v1/history", params={"id": first["id"]})).json() == {"deleted": 1}
    assert (await web.get(f"/v1/history/{first['id']}")).status_code == 404
    assert (await web.delete("/v1/history", params={"topic": topic})).json() == {"deleted": 2}


async def test_a_replay_says_how_far_it_is(web: WebClient, topic: str) -> None:
    for number in range(3):
        await web.post("/v1/events", json={"topic": topic, "data": number})
    await recorded(web, topic, 3)
    got: list[Any] = []
    async with system(web.up) as events:
        await events.subscribe(f"{topic}.again", got.append).ready()
        order = {"topics": [topic], "to_topic": f"{topic}.again", "speed": None}
        async with reading(web, "POST", "/v1/replays", json=order) as stream:
            told = [each async for each in stream]
        assert {each.name for each in told} == {"progress"}
        assert (told[-1].data["done"], told[-1].data["sent"], told[-1].data["total"]) == (True, 3, 3)
        while len(got) < 3:
            await asyncio.sleep(0.05)
        assert sorted(got) == [0, 1, 2]  # synchronous handlers run in threads, side by side
    neither = await web.post("/v1/replays", json={"topics": [topic]})
    assert (neither.status_code, "to_topic" in neither.json()["detail"]) == (400, True)
    answer = await web.post("/v1/replays", json={"topics": [topic], "group": "nobody", "speed": -1})
    assert answer.status_code == 400


async def test_a_replay_that_nobody_reads_any_more_ends(web: WebClient, topic: str) -> None:
    for number in range(2):
        await web.post("/v1/events", json={"topic": topic, "data": number})
        await asyncio.sleep(1.0)
    await recorded(web, topic, 2)
    got: list[Any] = []
    async with system(web.up) as events:
        await events.subscribe(f"{topic}.again", got.append).ready()
        order = {"topics": [topic], "to_topic": f"{topic}.again", "speed": 0.3}
        async with reading(web, "POST", "/v1/replays", json=order) as stream:
            await stream.next()
        await asyncio.sleep(5.0)
        assert 1 not in got


async def test_without_a_recorder_there_is_no_history(stack: AsyncExitStack, topic: str) -> None:
    up = await stack.enter_async_context(Up(http=True))
    web = await stack.enter_async_context(WebClient(up))
    answer = await web.get("/v1/history", params={"topic": topic})
    assert (answer.status_code, answer.json()["code"]) == (503, "NO_RESPONDERS")
