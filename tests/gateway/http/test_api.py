"""The HTTP API, through real HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateway.up import WebClient, system
from tieline import HandlerError


async def test_an_event_reaches_a_subscriber(web: WebClient, topic: str) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()
    async with system(web.up) as events:
        await events.subscribe(topic, got.put).ready()
        answer = await web.post("/v1/events", json={"topic": topic, "data": {"id": 1, "text": "ä"}})
        assert answer.status_code == 202
        assert answer.json()["id"] == answer.json()["correlation_id"]
        assert await asyncio.wait_for(got.get(), 5) == {"id": 1, "text": "ä"}


async def test_a_call_is_answered(web: WebClient, topic: str) -> None:
    async with system(web.up) as events:
        await events.subscribe(topic, lambda numbers: {"sum": sum(numbers)}).ready()
        answer = await web.post("/v1/calls", json={"topic": topic, "data": [1, 2, 3]})
        assert (answer.status_code, answer.json()) == (200, {"data": {"sum": 6}})


async def test_an_error_is_a_problem(web: WebClient, topic: str) -> None:
    answer = await web.post("/v1/calls", json={"topic": topic, "data": 1})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["code"], told["outcome"], told["retryable"]) == ("NO_RESPONDERS", "NOT_DELIVERED", True)

    def fails(_data: Any) -> None:
        raise ValueError("no such card")

    async with system(web.up) as events:
        await events.subscribe(topic, fails).ready()
        with pytest.raises(HandlerError):
            await events.publish_and_wait(topic, 1)
        told = (await web.post("/v1/calls", json={"topic": topic})).json()
        assert (told["code"], told["handler_error"], told["detail"]) == ("HANDLER_ERROR", "ValueError", "no such card")


@pytest.mark.parametrize(
    ("body", "status", "about"),
    [
        (b'{"topic": "a b"}', 400, "a b"),
        (b'{"data": 1}', 400, "topic"),
        (b'{"topic": "a", "extra": 1}', 400, "extra"),
        (b'{"topic": 7}', 400, "$.topic"),
        (b"{", 400, "no JSON"),
        (b'{"topic": "a", "data": "' + b"x" * 1_200_000 + b'"}', 413, "bytes"),
    ],
)
async def test_bad_input_is_refused_and_named(web: WebClient, body: bytes, status: int, about: str) -> None:
    answer = await web.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert about in answer.json()["detail"]
    assert answer.json()["outcome"] == "NOT_DELIVERED"


async def test_what_is_not_there_is_a_problem_too(web: WebClient) -> None:
    for answer, status in (
        (await web.get("/v1/nothing"), 404),
        (await web.delete("/v1/events"), 405),
        (await web.post("/v1/events", content=b"x", headers={"content-type": "text/plain"}), 415),
    ):
        assert (answer.status_code, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/events", "POST"),
        ("PUT", "/v1/schedules/x", "DELETE, GET, HEAD, PATCH"),
        ("PUT", "/healthz", "GET, HEAD"),
    ],
)
async def test_another_method_is_answered_with_those_of_the_path(
    web: WebClient, method: str, path: str, allowed: str
) -> None:
    answer = await web.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["detail"] == f"{method} is not for '{path}', which has {allowed}"


async def test_probes(web: WebClient) -> None:
    assert (await web.get("/healthz")).text == "ok"
    assert (await web.get("/readyz")).text == "ready"
    assert "tieline_" in (await web.get("/metrics")).text
