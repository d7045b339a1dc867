"""Publishing over HTTP: live, stored, planned, and as CloudEvents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.gateway.up import WebClient, system
from tieline import Event

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CLOUD = {"specversion": "1.0", "id": "a-1", "source": "/shop", "type": "", "subject": "card-7"}
Next = Callable[[], Awaitable[Event]]


@asynccontextmanager
async def subscriber(web: WebClient, topic: str, **options: Any) -> AsyncGenerator[Next]:
    """Hears a topic; gives the next event."""
    got: asyncio.Queue[Event] = asyncio.Queue()

    async def heard(_data: Any, event: Event) -> None:
        await got.put(event)

    async with system(web.up) as events:
        await events.subscribe(topic, heard, **options).ready()
        yield lambda: asyncio.wait_for(got.get(), 30)


async def test_an_event_carries_what_was_said(web: WebClient, topic: str) -> None:
    async with subscriber(web, topic) as heard:
        body = {
            "topic": topic, "data": [1], "headers": {"tenant": "acme"}, "schema_version": "3", "correlation_id": "c-1",
            "ttl_ms": 60_000,
        }  # fmt: skip
        answer = await web.post("/v1/events", json=body, headers={"traceparent": TRACEPARENT})
        assert (answer.status_code, answer.json()["correlation_id"]) == (202, "c-1")
        event = await heard()
        assert (event.id, event.data, event.schema_version) == (answer.json()["id"], [1], "3")
        assert dict(event.headers) == {"tenant": "acme", "traceparent": TRACEPARENT}
        assert event.envelope.ttl_ms == 60_000


async def test_a_stored_event_says_where_and_a_second_one_of_its_key_is_a_duplicate(web: WebClient, topic: str) -> None:
    body = {"topic": topic, "data": 1, "key": "card-7"}
    first, again = [
        (await web.post("/v1/events", json=body, headers={"Idempotency-Key": '"order-1"'})).json()["stored"]
        for _ in range(2)
    ]
    assert first["stream"] == f"event_stream:{topic}:card-7"
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    async with subscriber(web, topic, durable=True) as heard:
        assert (await heard()).key == "card-7"


async def test_an_idempotency_key_needs_something_stored(web: WebClient, topic: str) -> None:
    headers = {"Idempotency-Key": "order-1"}
    answer = await web.post("/v1/events", json={"topic": topic}, headers=headers)
    assert (answer.status_code, "durable" in answer.json()["detail"]) == (400, True)
    for key in ("", "x" * 300):
        headers = {"Idempotency-Key": key}
        answer = await web.post("/v1/events", json={"topic": topic, "durable": True}, headers=headers)
        assert answer.status_code == 400
    twice = await web.post("/v1/events", json={"topic": topic, "durable": True, "dedupe": "b"}, headers=headers)
    assert twice.status_code == 400


async def test_a_planned_event_says_when(web: WebClient, topic: str) -> None:
    retry = {"attempts": 2, "backoff_ms": 10, "cap_ms": 20}
    body = {"topic": topic, "data": 1, "delay_ms": 3_600_000, "durable": True, "retry": retry}
    told = (await web.post("/v1/events", json=body)).json()
    assert told["planned"]["overdue"] is False
    planned = (await web.get(f"/v1/schedules/{told['id']}")).json()
    assert (planned["due"], planned["durable"]) == (told["planned"]["due"], True)
    told = (await web.post("/v1/events", json={"topic": topic, "at": 1_600_000_000_000})).json()
    assert told["planned"]["overdue"] is True
    for wrong in ({"delay_ms": 5, "at": 1_900_000_000_000}, {"at": 1_900_000_000}, {"retry": {"attempts": 1}}):
        answer = await web.post("/v1/events", json={"topic": topic, **wrong})
        assert answer.status_code == 400, answer.text


async def test_a_cloud_event_in_binary_mode(web: WebClient, topic: str) -> None:
    async with subscriber(web, topic) as heard:
        headers = {
            "ce-specversion": "1.0", "ce-id": "a-1", "ce-source": "/shop", "ce-type": topic, "ce-subject": "caf%C3%A9",
            "ce-traceparent": TRACEPARENT, "content-type": "application/json",
        }  # fmt: skip
        answer = await web.post("/v1/events", content=b'{"total": 5}', headers=headers)
        assert answer.status_code == 202, answer.text
        event = await heard()
        assert event.data == {"total": 5}
        assert dict(event.headers) == {
            "ce-id": "a-1", "ce-source": "/shop", "ce-subject": "café", "traceparent": TRACEPARENT,
        }  # fmt: skip
        headers["content-type"] = "image/png"
        await web.post("/v1/events", content=b"\x89PNG", headers=headers)
        event = await heard()
        assert (event.data, event.content_type) == (b"\x89PNG", "image/png")


async def test_a_cloud_event_in_structured_mode(web: WebClient, topic: str) -> None:
    async with subscriber(web, topic) as heard:
        event = {**CLOUD, "type": topic, "data": {"total": 5}, "time": "2026-01-31T12:00:00Z", "tries": 3}
        answer = await web.post("/v1/events", content=json.dumps(event), headers={"content-type": STRUCTURED})
        assert answer.status_code == 202, answer.text
        got = await heard()
        assert (got.data, got.headers["ce-tries"], got.headers["ce-time"]) == ({"total": 5}, "3", event["time"])
        octets = {**CLOUD, "type": topic, "data_base64": "AP8=", "datacontenttype": "application/octet-stream"}
        await web.post("/v1/events", content=json.dumps(octets), headers={"content-type": STRUCTURED})
        assert (await heard()).data == b"\x00\xff"


async def test_a_stored_cloud_event_has_its_subject_as_key_and_comes_once(web: WebClient, topic: str) -> None:
    event = json.dumps({**CLOUD, "type": topic, "data": 1})
    headers, query = {"content-type": STRUCTURED}, {"durable": "true"}
    first, again = [(await web.post("/v1/events", content=event, headers=headers, params=query)).json() for _ in "ab"]
    assert first["stored"]["stream"] == f"event_stream:{topic}:card-7"
    assert (first["stored"]["duplicate"], again["stored"]["duplicate"]) == (False, True)


async def test_a_batch_is_stored_whole_or_not_at_all(web: WebClient, topic: str) -> None:
    headers, query = {"content-type": BATCHED}, {"durable": "true"}
    events = [{**CLOUD, "id": str(number), "type": topic, "data": number} for number in range(3)]

    async def post(some: list[Any]) -> Any:
        return await web.post("/v1/events", content=json.dumps(some), headers=headers, params=query)

    wrong = await post([*events, {**CLOUD, "type": topic, "id": ""}])
    assert (wrong.status_code, wrong.json()["detail"][:3]) == (400, "[3]")
    assert (await post([*events, {**events[0], "id": "9", "type": "other"}])).status_code == 400
    assert (await web.get("/v1/groups")).json()["items"] == []
    answer = await post(events)
    assert [each["stored"]["duplicate"] for each in answer.json()["items"]] == [False] * 3
    async with subscriber(web, topic, durable=True) as heard:
        assert [(await heard()).data for _ in range(3)] == [0, 1, 2]
    assert (await post([])).json() == {"items": []}


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"id": None}, "no id"),
        ({"source": ""}, "no source"),
        ({"type": None}, "no type"),
        ({"specversion": None}, "specversion"),
        ({"specversion": "0.3"}, "0.3"),
        ({"time": "yesterday"}, "yesterday"),
        ({"Big-Name": "x"}, "Big-Name"),
        ({"list": [1]}, "list"),
        ({"subject": "a\nb"}, "control"),
        ({"data_base64": "!"}, "base64"),
        ({"data": 1, "data_base64": "AP8="}, "both"),
        ({"type": "a b"}, "a b"),
    ],
)
async def test_what_is_no_cloud_event_is_refused(web: WebClient, topic: str, change: Any, about: str) -> None:
    event = {name: value for name, value in {**CLOUD, "type": topic, **change}.items() if value is not None}
    answer = await web.post("/v1/events", content=json.dumps(event), headers={"content-type": STRUCTURED})
    assert answer.status_code == 400
    assert about in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b'{"id": "\xff"}', b'"' + b"[" * 9 + b'"'])
async def test_what_is_no_json_object_is_no_cloud_event(web: WebClient, body: bytes) -> None:
    answer = await web.post("/v1/events", content=body, headers={"content-type": STRUCTURED})
    assert answer.status_code == 400
    assert (await web.post("/v1/events", content=b"{}", headers={"content-type": BATCHED})).status_code == 400


async def test_a_batch_is_bounded(web: WebClient, topic: str) -> None:
    """So that one client does not hold up all others."""
    batch = [{**CLOUD, "type": topic, "id": f"{number}", "data": number} for number in range(1_001)]
    told = {"content-type": BATCHED}
    refused = await web.post("/v1/events", content=json.dumps(batch), headers=told)
    assert (refused.status_code, refused.json()["details"]) == (413, {"size": 1_001, "limit": 1_000})
    taken = await web.post("/v1/events", content=json.dumps(batch[1:]), headers=told)
    assert (taken.status_code, len(taken.json()["items"])) == (202, 1_000)
