"""What nobody should send: it is refused with a precise 4xx, nothing is enqueued, and nothing is shown."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.http.raw import Raw, ask, connect
from tests.gateway.http.streams import reading
from tests.gateway.up import TOKEN, Up, WebClient

JSON = {"content-type": "application/json"}
HEAD = b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
DEEP = b"[" * 100_000 + b"]" * 100_000

BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "no JSON"),
    (b"nul", 400, "no JSON"),
    (b"[]", 400, "array"),
    (b'{"topic": "a", "data": NaN}', 400, "no JSON"),
    (b'{"topic": "a", "data": ' + DEEP + b"}", 400, "no JSON"),
    (b'{"topic": "a", "data": ' + DEEP[99_900:100_100] + b"}", 400, "deep"),
    (b'{"topic": "a", "data": "\xff"}', 400, "JSON"),
    (b'{"topic": "a", "data": "\\ud800"}', 400, "JSON"),
    (b'{"topic": "\\ud800"}', 400, "JSON"),
    (b'{"topic": "a\\u0000b"}', 400, "topic"),
    (b'{"topic": ""}', 400, "topic"),
    (b'{"topic": "*"}', 400, "topic"),
    (b'{"topic": "system.startup"}', 400, "system"),
    (b'{"topic": "' + b"a" * 300 + b'"}', 400, "topic"),
    (b'{"topic": "a", "ttl_ms": 1.5}', 400, "ttl_ms"),
    (b'{"topic": "a", "ttl_ms": -1}', 400, "ttl_ms"),
    (b'{"topic": "a", "ttl_ms": 99999999999999999999999}', 400, "ttl_ms"),
    (b'{"topic": "a", "durable": "yes"}', 400, "durable"),
    (b'{"topic": "a", "durable": true, "priority": 7}', 400, "priority"),
    (b'{"topic": "a", "priority": 5}', 400, "priority"),
    (b'{"topic": "a", "key": "a\\nb"}', 400, "key"),
    (b'{"topic": "a", "headers": {"a": 1}}', 400, "headers"),
    (b'{"topic": "a", "headers": {"a": "' + b"x" * 9_000 + b'"}}', 413, "headers"),
    (b'{"topic": "a", "correlation_id": null}', 400, "correlation_id"),
    (b'{"topic": "a", "correlation_id": "a\\r\\nx-evil: 1"}', 400, "correlation_id"),
    (b'{"topic": "a", "correlation_id": "' + b"a" * 300 + b'"}', 400, "correlation_id"),
    (b'{"topic": "a", "durable": true, "schema_version": "1\\u0000"}', 400, "schema_version"),
    (b'{"topic": "a", "data": ' + b"9" * 5_000 + b"}", 400, "JSON"),
    (b'{"topic": "a", "data": "' + b"x" * 1_100_000 + b'"}', 413, "bytes"),
    (b'"' + b"x" * 9_000_000 + b'"', 413, "bytes"),
]


async def published(web: WebClient) -> int:
    """How many events the gateway took."""
    return (await web.get("/v1/overview")).json()["totals"]["published"]


async def test_bodies_that_are_wrong_are_refused_and_nothing_is_enqueued(web: WebClient) -> None:
    for body, status, about in BODIES:
        answer = await web.post("/v1/events", content=body, headers=JSON)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), body[:80]
        told = answer.json()
        assert about in told["detail"], (body[:80], told)
        assert told["outcome"] == "NOT_DELIVERED"
        assert "Traceback" not in answer.text
        assert len(answer.content) < 2_000
    assert await published(web) == 0
    assert (await web.get("/v1/groups")).json()["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../v1/services", "/v1/%2e%2e/v1/services", "/webhooks/../v1/services", "/webhooks/%2e%2e%2fv1%2fservices",
        "//v1/services", "/v1/services/", "/v1//services", "/v1/services%00", "/v1/services%2f", "/V1/services",
        "/healthz/../v1/services", "/healthz%2f..%2fv1%2fservices",
        "/v1/services;a=b", "/%ff%fe",
    ],
)  # fmt: skip
async def test_no_trick_of_a_path_leads_past_the_door(stack: AsyncExitStack, tmp_path: Path, path: str) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    up = await stack.enter_async_context(Up("--token-file", str(token), http=True))
    answer = await ask(up.web, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert answer.status in (400, 401, 404, 405), answer
    assert b"subscriptions" not in answer.body
    head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    answer = await ask(up.web, head.encode())
    assert answer.status in (400, 404, 405), answer


@pytest.mark.parametrize(
    ("path", "about"),
    [
        ("/v1/history?limit=0", "limit"),
        ("/v1/history?limit=many", "limit"),
        ("/v1/history?nothing=1", "nothing"),
        ("/v1/history?since=-5", "since"),
        ("/v1/history?since=99999999999999999999", "since"),
        ("/v1/schedules?page=0", "page"),
        ("/v1/tap", "topic"),
        ("/v1/tap?topic=a..b", "a..b"),
        ("/v1/tap?topic=%00", "pattern"),
        ("/v1/explain/a?ttl_ms=x", "ttl_ms"),
        ("/v1/dead-letters?topic=a%20b", "a b"),
        ("/v1/dead-letters?reason=none", "reason"),
        ("/v1/dead-letters?cursor=x", "cursor"),
        ("/v1/groups/a%00b", "topic"),
        ("/v1/overview?a=b", "a"),
    ],
)
async def test_queries_that_are_wrong_are_named(web: WebClient, path: str, about: str) -> None:
    await web.post("/v1/events", json={"topic": "stored", "durable": True})
    answer = await web.get(path)
    assert answer.status_code == 400, answer.text
    assert about in answer.json()["detail"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 20_000 + b"\r\n", 431),
        (b"GET /v1/history?cursor=" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"a" * 200_000, 431),
        (HEAD + b"content-length: 99999999999\r\n\r\n", 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"fffff\r\n" + b" " * 0xFFFFF + b"\r\n") * 9, 413),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n12345", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (HEAD + b"content-length: -5\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET http:// HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nna me: x\r\n\r\n", 400),
        (b"GET /v1/overview HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/overview HTTP/1.1\r\nhost: elsewhere.example\r\nHost: localhost\r\n\r\n", 400),
        (HEAD + b"authorization: Bearer a\r\nAuthorization: Bearer b\r\ncontent-length: 2\r\n\r\n{}", 400),
        (HEAD + b"origin: null\r\norigin: http://localhost\r\ncontent-length: 2\r\n\r\n{}", 400),
        (HEAD + b"content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}", 400),
        (HEAD + b"transfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"transfer-encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"transfer-encoding:\x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"x: y\r\n transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"content-length: +2\r\n\r\n{}", 400),
        (HEAD + b"content-length: 2, 2\r\n\r\n{}", 400),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nname: x\x00\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_is_refused(web: WebClient, data: bytes, status: int) -> None:
    answer = await ask(web.up.web, data)
    assert answer.status == status
    assert answer.problem["outcome"] == "NOT_DELIVERED"
    assert (await web.get("/healthz")).status_code == 200


@pytest.mark.timeout(120)
async def test_who_is_slow_is_sent_away(web: WebClient) -> None:
    """Says nothing; sends its headers, or its body, a byte at a time; or sends on when it has its answer."""
    body = HEAD + b"content-length: 1000\r\n\r\n"
    slow = await asyncio.gather(
        ask(web.up.web, b""),
        ask(web.up.web, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 100, every=0.2),
        ask(web.up.web, body + b" " * 1000, every=0.05),
        _begins_anew(web, b"\r\n" * 500),
        _sends_on(web),
    )
    assert [answer.status for answer in slow[:4]] == [408, 408, 408, 408]
    assert "headers" in slow[1].problem["detail"]
    assert "body" in slow[2].problem["detail"]
    assert await published(web) == 0


async def _begins_anew(web: WebClient, data: bytes) -> Any:
    """A request as it should be, then only this."""
    raw = await connect(web.up.web)
    await raw.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert (await raw.answer()).status == 200
    sending = asyncio.create_task(raw.send(data, every=0.2))
    answer = await raw.answer()
    sending.cancel()
    raw.close()
    return answer


async def _sends_on(web: WebClient) -> None:
    raw = await connect(web.up.web)
    await raw.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    sending = asyncio.create_task(_for_ever(raw))
    assert (await raw.answer()).status == 413
    await raw.closed()
    sending.cancel()
    raw.close()


async def _for_ever(raw: Raw) -> None:
    while True:
        await raw.send(b"ffff\r\n" + b" " * 0xFFFF + b"\r\n")
        await asyncio.sleep(0.001)


async def test_connections_beyond_the_bound_are_told_so(stack: AsyncExitStack) -> None:
    up = await stack.enter_async_context(Up(http=True))
    resource.prlimit(up.pid, resource.RLIMIT_NOFILE, (200, 200))
    raws = [await connect(up.web) for _ in range(101)]
    answer = await raws[-1].answer()
    assert (answer.status, answer.problem["code"]) == (503, "OVERLOADED")
    for raw in raws:
        raw.close()
    async with WebClient(up) as web:
        while (await web.get("/healthz")).status_code != 200:
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_streams_and_open_requests_do_not_hold_the_end(stack: AsyncExitStack) -> None:
    up = await stack.enter_async_context(Up("--drain", "60", http=True))
    web = await stack.enter_async_context(WebClient(up))
    async with (
        reading(web, "GET", "/v1/tap", params={"topic": ">"}) as tap,
        reading(web, "GET", "/v1/overview/stream") as overview,
    ):
        await tap.until("watching")
        await overview.until("overview")
        half = await connect(up.web)
        await half.send(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        up.terminate()
        for stream in (tap, overview):
            told = await stream.until("error")
            assert (told.data["code"], told.data["retryable"]) == ("UNAVAILABLE", True)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        await half.closed()
        assert await up.wait(seconds=50) == 0
        assert time.monotonic() - began < 45
        half.close()


@pytest.mark.timeout(120)
async def test_a_watcher_that_reads_nothing_costs_little_and_does_not_hold_the_end(stack: AsyncExitStack) -> None:
    up = await stack.enter_async_context(Up("--drain", "60", http=True))
    web = await stack.enter_async_context(WebClient(up))
    raw = await connect(up.web)
    await raw.send(b"GET /v1/tap?topic=%3E&most=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert (await raw.answer()).status == 200
    before = memory(up.pid)
    for _ in range(300):  # 150 MB
        await web.post("/v1/events", json={"topic": "flood", "data": "x" * 500_000})
    assert memory(up.pid) - before < 80_000_000
    began = time.monotonic()
    up.terminate()
    assert await up.wait(seconds=50) == 0
    assert time.monotonic() - began < 45
    raw.close()


def memory(pid: int) -> int:
    """What a process has in memory, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def test_a_stream_has_a_head(web: WebClient) -> None:
    answer = await web.head("/v1/tap", params={"topic": ">"})
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
