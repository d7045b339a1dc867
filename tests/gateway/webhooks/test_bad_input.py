"""What is wrong is refused where it comes in: precisely, with 4xx, and nothing is stored."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.gateway.up import TOKEN, WebClient
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.inbox import stored
from tests.gateway.webhooks.senders import PUSH, SECRET, body_of, github, github_headers, secret_file
from tieline._contract.contract import LIMIT_PAYLOAD_BYTES

DEEP = b'{"a": ' * 70 + b"1" + b"}" * 70
HEADERS: list[tuple[dict[str, str], int, str]] = [
    ({"x_hub_signature_256": ""}, 401, "signed with SHA-1 only"),
    ({"x_hub_signature_256": "", "x_hub_signature": ""}, 401, "X-Hub-Signature-256 is missing"),
    ({"x_hub_signature_256": "sha256=" + "0" * 64}, 401, "does not fit the body"),
    ({"x_hub_signature_256": "sha1=" + "0" * 40}, 401, "does not fit the body"),
    ({"x_hub_signature_256": "x" * 5000}, 401, "does not fit the body"),
    ({"x_github_event": ""}, 400, "X-GitHub-Event is missing"),
    ({"x_github_event": "../../v1/events"}, 400, "X-GitHub-Event"),
    ({"x_github_event": "push.extra"}, 400, "without dots"),
    ({"x_github_event": "a b"}, 400, "X-GitHub-Event"),
    ({"x_github_event": "*"}, 400, "X-GitHub-Event"),
    ({"x_github_event": ">"}, 400, "X-GitHub-Event"),
    ({"x_github_event": "e" * 300}, 400, "X-GitHub-Event"),
    ({"x_github_delivery": ""}, 400, "x-github-delivery is missing"),
    ({"x_github_delivery": "d" * 129}, 400, "x-github-delivery has 1 to 128"),
    ({"x_github_delivery": "a b"}, 400, "x-github-delivery has 1 to 128"),
    ({"content_type": "text/plain"}, 415, "must be application/json or"),
    ({"content_type": ""}, 415, "of no content type"),
]
BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "no JSON"),
    (b"{", 400, "no JSON"),
    (b'{"a": NaN}', 400, "no JSON"),
    (b'{"a": 1} x', 400, "no JSON"),
    (b'{"a": "\xff"}', 400, "no JSON"),
    (b"[1]", 400, "must be a JSON object"),
    (b"null", 400, "must be a JSON object"),
    (DEEP, 400, "deep"),
    (b'{"a": ' * 100_000, 400, "no JSON"),
    (body_of({"text": "x" * LIMIT_PAYLOAD_BYTES}), 413, "at most 1048576"),
]


def checked(answer: Any, status: int, says: str, about: object) -> None:
    assert answer.status_code == status, (about, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert says in told["detail"], about
    assert told["outcome"] == "NOT_DELIVERED"
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


async def test_bad_headers_and_signatures(hooks: WebClient) -> None:
    for headers, status, says in HEADERS:
        checked(await github(hooks, **headers), status, says, headers)
    assert await stored(hooks.up, "webhook.github.push") == 0
    (told,) = [source for source in (await hooks.get("/v1/webhooks")).json()["sources"] if source["name"] == "github"]
    assert told["refused"] == {"signature": 5, "headers": 12}


async def test_bad_bodies(hooks: WebClient) -> None:
    for body, status, says in BODIES:
        checked(await github(hooks, body), status, says, body[:40])
    assert await stored(hooks.up, "webhook.github.push") == 0


async def test_a_body_that_was_altered(hooks: WebClient) -> None:
    body = body_of(PUSH)
    for altered in (body + b" ", body.replace(b"main", b"evil"), body[:-1], b""):
        answer = await hooks.post("/webhooks/github", content=altered, headers=github_headers(body))
        checked(answer, 401, "does not fit the body", altered)
    wrong = github_headers(body, secret="another secret, not the one")
    checked(await hooks.post("/webhooks/github", content=body, headers=wrong), 401, "does not fit", "secret")
    assert await stored(hooks.up, "webhook.github.push") == 0


async def test_bad_forms(hooks: WebClient) -> None:
    forms = [
        (b"payload=%7B", "no JSON"),
        (b"other=1", "no field 'payload'"),
        (b"\xff=1", "no form"),
        (b"payload=%FF", "no form"),
        (b"&".join(b"a=1" for _ in range(100)), "no form"),
        (b"", "no field"),
    ]
    for body, says in forms:
        headers = {**github_headers(body), "content-type": "application/x-www-form-urlencoded"}
        checked(await hooks.post("/webhooks/github", content=body, headers=headers), 400, says, body)


async def test_a_source_that_nobody_set_up(hooks: WebClient) -> None:
    for source in ("nobody", "GITHUB", "github%2F..", "%2e%2e", "github%00"):
        checked(await github(hooks, source=source), 404, "", source)
    answers = [await github(hooks, source=source) for source in ("nobody", "a" * 2000)]
    assert len({answer.json()["detail"] for answer in answers}) == 1  # it says nothing of what was asked


async def test_what_is_open_to_webhooks_is_open_to_nothing_else(serve: Make, config: Path, tmp_path: Path) -> None:
    secret_file(tmp_path, TOKEN, name="token")
    web = await serve("--config", config, "--token-file", tmp_path / "token")
    assert (await github(web)).status_code == 202
    for path in ("/../v1/events", "/%2e%2e/v1/events", "//v1/events", "/github/../../v1", "/github/v1/events"):
        answer = await _raw(web, f"POST /webhooks{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}")
        assert answer.split()[1] in ("401", "404"), path
    for path in ("/v1/webhooks", "/v1/events", "/webhooks"):
        assert (await web.get(path)).status_code == 401
    assert (await web.get("/webhooks/github")).status_code == 405


async def test_an_oversize_body_is_refused_before_it_has_come(serve: Make, tmp_path: Path) -> None:
    secret_file(tmp_path, SECRET)
    config = tmp_path / "tieline.toml"
    config.write_text('[webhooks.github]\nsecret_file = "secret"\nmax_bytes = 1000\n')
    web = await serve("--config", config)
    announced = await _raw(web, _head({"content-length": "26214400"}))
    assert announced.startswith("HTTP/1.1 413 ")
    chunked = "".join(f"{1000:x}\r\n{'x' * 1000}\r\n" for _ in range(3))
    assert (await _raw(web, _head({"transfer-encoding": "chunked"}) + chunked)).startswith("HTTP/1.1 413 ")
    checked(await github(web, {"text": "x" * 1000}), 413, "at most 1000 are allowed", "body")
    body = b"payload=" + b"%20" * 990 + b'{"text":"123456789"}'
    headers = {**github_headers(body), "content-type": "application/x-www-form-urlencoded"}
    checked(await web.post("/webhooks/github", content=body, headers=headers), 413, "at most 1000", "form")


async def test_oversize_headers_are_refused(hooks: WebClient) -> None:
    for size in (70_000, 1_000_000):
        said = await _raw(hooks, _head({"x-long": "x" * size, "content-length": "2"}) + "{}")
        assert said == "" or said.split()[1] == "431"
    many = {f"x-{number}": "x" * 80 for number in range(1000)}
    assert (await _raw(hooks, _head(many))).split()[1] == "431"
    endless = await _raw(hooks, "POST /webhooks/github HTTP/1.1\r\nx-long: " + "x" * 5_000_000)
    assert endless == "" or "more than 65536 bytes" in endless
    assert (await github(hooks, x_fine="x" * 60_000)).status_code == 202


async def test_a_slow_sender_is_told_so_and_holds_up_nobody(hooks: WebClient) -> None:
    host, _, port = hooks.up.web.partition("://")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    headers = github_headers(body_of(PUSH))
    writer.write(_head({**headers, "content-length": str(len(body_of(PUSH)))}).encode() + b"{")
    for _ in range(20):
        assert (await github(hooks)).status_code == 202
    async with asyncio.timeout(30):
        said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive within 10 s" in said
    assert await stored(hooks.up, "webhook.github.push") == 20


async def test_a_sender_that_leaves_is_no_fault(hooks: WebClient) -> None:
    host, _, port = hooks.up.web.partition("://")[2].rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(_head({**github_headers(b"{}"), "content-length": "100"}).encode() + b"{")
    await writer.drain()
    writer.close()
    async with asyncio.timeout(30):
        while not (await _github_figures(hooks))["refused"]:
            await asyncio.sleep(0.05)
    assert "ERROR" not in hooks.up.text


async def _github_figures(web: WebClient) -> dict[str, Any]:
    sources = (await web.get("/v1/webhooks")).json()["sources"]
    return next(source for source in sources if source["name"] == "github")


def _head(headers: dict[str, str]) -> str:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /webhooks/github HTTP/1.1\r\nhost: x\r\n{lines}\r\n"


async def _raw(web: WebClient, request: str) -> str:
    """What is answered first, as text; the connection may break before all was sent."""
    host, _, port = web.up.web.partition("://")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request.encode())
        async with asyncio.timeout(30):
            said = (await reader.read(65_536)).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()
    assert "Traceback" not in said
    return said


async def test_deliveries_that_are_refused_leave_no_id_behind(hooks: WebClient) -> None:
    assert (await github(hooks, b"{", delivery="d-1")).status_code == 400
    assert (await github(hooks, json.dumps(PUSH).encode(), delivery="d-1")).json()["status"] == "accepted"
