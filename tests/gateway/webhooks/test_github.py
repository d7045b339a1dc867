"""Webhooks of GitHub, through real HTTP."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.gateway.up import WebClient
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.inbox import Inbox, stored
from tests.gateway.webhooks.senders import PUSH, SECRET, body_of, github, github_headers, secret_file


async def test_a_delivery_is_stored_as_it_came_and_handled(hooks: WebClient) -> None:
    async with Inbox(hooks.up, "webhook.github.push") as inbox:
        answer = await github(hooks, delivery="d-1")
        told = answer.json()
        assert (answer.status_code, told["status"], told["delivery"]) == (202, "accepted", "d-1")
        (event,) = await inbox.first(1)
    assert event.id == told["id"]
    assert event.envelope.data == body_of(PUSH)
    assert event.content_type == "application/json"
    assert event.data == PUSH
    moment = datetime.fromisoformat(event.headers["ce-time"])
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert {name: value for name, value in event.headers.items() if name != "ce-time"} == {
        "ce-specversion": "1.0",
        "ce-id": "d-1",
        "ce-source": "https://github.com/o/e",
        "ce-type": "com.github.push",
        "ce-subject": "octo-org/example",
    }


async def test_it_is_known_when_it_comes_again(hooks: WebClient) -> None:
    first, again = await github(hooks, delivery="d-1"), await github(hooks, delivery="d-1")
    assert (first.json()["status"], again.json()["status"]) == ("accepted", "duplicate")
    assert (again.status_code, "id" in again.json()) == (202, False)
    assert await stored(hooks.up, "webhook.github.push") == 1


@pytest.mark.parametrize("place", ["redis", "sqlite", "memory"])
async def test_one_of_a_hundred_at_once_is_stored(
    place: str, serve: Make, config: Path, tmp_path: Path, redis_url: str
) -> None:
    where = {"redis": ["--url", redis_url], "sqlite": ["--store", str(tmp_path / "store")], "memory": []}[place]
    web = await serve("--config", config, *where)
    answers = await asyncio.gather(*(github(web, delivery="same") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    statuses = [answer.json()["status"] for answer in answers]
    assert (statuses.count("accepted"), statuses.count("duplicate")) == (1, 99)
    assert await stored(web.up, "webhook.github.push") == 1


async def test_an_id_is_known_for_three_days_at_least(serve: Make, config: Path, redis_url: str) -> None:
    from redis.asyncio import Redis

    web = await serve("--config", config, "--url", redis_url)
    await github(web, delivery="d-1")
    async with Redis.from_url(redis_url) as redis:
        (name,) = [key async for key in redis.scan_iter("*webhook:delivery:github:d-1")]
        assert 3 * 86_400 - 60 < await redis.ttl(name) <= 3 * 86_400


async def test_a_file_knows_it_as_long(serve: Make, config: Path, tmp_path: Path) -> None:
    web = await serve("--config", config, "--store", tmp_path / "store")
    await github(web, delivery="d-1")
    web.up.terminate()
    assert await web.up.wait() == 0
    with closing(sqlite3.connect(tmp_path / "store-mail")) as mail:
        ((expires,),) = mail.execute("SELECT expires FROM known WHERE name = 'webhook:delivery:github:d-1'").fetchall()
    assert 3 * 86_400 - 60 < expires / 1000 - time.time() <= 3 * 86_400


async def test_two_senders_may_use_the_same_id(serve: Make, tmp_path: Path) -> None:
    file = secret_file(tmp_path, SECRET)
    web = await serve("--webhook", f"github={file}", "--webhook", f"enterprise:github={file}")
    for source in ("github", "enterprise"):
        assert (await github(web, delivery="d-1", source=source)).json()["status"] == "accepted"
        assert await stored(web.up, f"webhook.{source}.push") == 1


async def test_a_form_is_taken_too(hooks: WebClient) -> None:
    document = '{"zen": "Größe & =+ %41"}'
    body = f"payload={quote(document)}".encode()
    headers = {**github_headers(body), "content-type": "application/x-www-form-urlencoded"}
    answer = await hooks.post("/webhooks/github", content=body, headers=headers)
    assert answer.json()["status"] == "accepted"
    async with Inbox(hooks.up, "webhook.github.push") as inbox:
        (event,) = await inbox.first(1)
    assert event.envelope.data == document.encode()


async def test_a_ping_is_answered_and_not_stored(hooks: WebClient) -> None:
    answer = await github(hooks, {"zen": "Design for failure.", "hook_id": 1}, "ping")
    assert (answer.status_code, answer.json()["status"]) == (202, "pong")
    assert await stored(hooks.up, "webhook.github.ping") == 0


async def test_events_that_are_not_wanted_are_ignored_with_a_debug_line(serve: Make, tmp_path: Path) -> None:
    secret_file(tmp_path, SECRET)
    config = tmp_path / "tieline.toml"
    config.write_text('[webhooks.github]\nsecret_file = "secret"\nevents = ["push", "pull_request"]\n')
    web = await serve("--config", config, "--verbose")
    answer = await github(web, event="star", delivery="d-1")
    assert (answer.status_code, answer.json()) == (202, {"status": "ignored", "delivery": "d-1"})
    assert (await github(web, event="push")).json()["status"] == "accepted"
    assert await stored(web.up, "webhook.github.star") == 0
    assert "DEBUG tieline.gateway.webhooks: github: star d-1 is ignored" in web.up.text


async def test_what_nobody_has_subscribed_to_waits_with_a_debug_line(hooks: WebClient) -> None:
    assert (await github(hooks, event="fork", delivery="d-1")).json()["status"] == "accepted"
    await hooks.up.line("DEBUG .*d-1 of webhook.github.fork waits: no group", seconds=30)
    assert await stored(hooks.up, "webhook.github.fork") == 1


async def test_events_of_a_key_are_in_order(serve: Make, tmp_path: Path) -> None:
    secret_file(tmp_path, SECRET)
    config = tmp_path / "tieline.toml"
    config.write_text('[webhooks.github]\nsecret_file = "secret"\nkey = "repository.full_name"\n')
    web = await serve("--config", config)
    for number in range(20):
        await github(web, {**PUSH, "number": number})
    for odd in ({"repository": "x"}, {"repository": {"full_name": ""}}, {"repository": {"full_name": ["a"]}}, {}):
        assert (await github(web, odd)).json()["status"] == "accepted"
    async with Inbox(web.up, "webhook.github.push") as inbox:
        got = await inbox.first(24)
    assert [event.data["number"] for event in got if event.key] == list(range(20))
    assert {event.key for event in got} == {"octo-org/example", ""}


async def test_secrets_change_while_it_runs(serve: Make, tmp_path: Path) -> None:
    file = secret_file(tmp_path, SECRET)
    web = await serve("--webhook", f"github={file}")
    body = body_of(PUSH)
    new = github_headers(body, secret="a new secret of the webhook")
    assert (await web.post("/webhooks/github", content=body, headers=new)).status_code == 401
    secret_file(tmp_path, SECRET, "a new secret of the webhook")
    async with asyncio.timeout(30):
        while (await web.post("/webhooks/github", content=body, headers=new)).status_code != 202:
            await asyncio.sleep(0.1)
    assert (await github(web)).status_code == 202  # both hold
    file.unlink()
    async with asyncio.timeout(30):
        while "stay as they were: cannot read" not in web.up.text:
            assert (await github(web)).status_code == 202
            await asyncio.sleep(0.1)
    assert (await github(web)).status_code == 202


async def test_figures_are_told(hooks: WebClient) -> None:
    await github(hooks, delivery="d-1")
    await github(hooks, delivery="d-1")
    await github(hooks, x_hub_signature_256="sha256=00")
    sources = (await hooks.get("/v1/webhooks")).json()["sources"]
    told = {source["name"]: source for source in sources}["github"]
    assert (told["kind"], told["path"], told["topics"]) == ("github", "/webhooks/github", "webhook.github.>")
    assert (told["accepted"], told["duplicate"], told["ignored"]) == (1, 1, 0)
    assert told["refused"] == {"signature": 1}
    assert "does not fit the body" in told["last_error"]
    assert told["last_refused"] >= told["last"] > 1_700_000_000_000
    metrics = (await hooks.get("/metrics")).text
    assert 'tieline_webhooks_received_total{webhook="github",result="accepted"} 1\n' in metrics
    assert 'tieline_webhooks_received_total{webhook="github",result="refused_signature"} 1\n' in metrics
