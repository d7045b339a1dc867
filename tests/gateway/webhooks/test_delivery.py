"""Outbound webhooks, to real servers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse

from tests.gateway.certificates import PEM
from tests.gateway.up import WebClient, system
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.receiver import Receiver, one_after_the_other
from tests.gateway.webhooks.senders import PUSH, SECRET, STANDARD_SECRET, github, secret_file

TOPIC = "order.paid"
NEW_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture
async def receiver(stack: AsyncExitStack) -> Receiver:
    """A server over http."""
    return await stack.enter_async_context(Receiver())


def table(folder: Path, url: str, *lines: str, private: bool = True, topic: str = TOPIC) -> Path:
    """A configuration with one delivery; retries come at once unless `lines` say otherwise."""
    if not (folder / "out.secret").exists():
        secret_file(folder, STANDARD_SECRET, name="out.secret")
    config = folder / "tieline.toml"
    said = [f'topic = "{topic}"', f'url = "{url}"', 'secret_file = "out.secret"', *lines]
    if not any(line.startswith("retry") for line in lines):
        said.append("retry = { max_attempts = 4, backoff = 0.05, cap = 0.05 }")
    if private:
        said.append("allow_private = true")
    config.write_text("\n".join(["[deliveries.crm]", *said]))
    return config


async def publish(web: WebClient, *data: Any, topic: str = TOPIC, key: str | None = None) -> list[str]:
    async with system(web.up) as events:
        return [(await events.publish(topic, each, durable=True, key=key)).id for each in data]


async def status(web: WebClient) -> dict[str, Any]:
    (told,) = (await web.get("/v1/webhooks")).json()["deliveries"]
    return told


async def until(web: WebClient, **wanted: Any) -> dict[str, Any]:
    """Wait until the delivery is told so."""
    async with asyncio.timeout(30):
        while not wanted.items() <= (told := await status(web)).items():
            await asyncio.sleep(0.05)
    return told


async def letters(web: WebClient, count: int, topic: str = TOPIC) -> list[Any]:
    """Wait for so many dead letters."""
    async with system(web.up) as events, asyncio.timeout(30):
        while len(found := await events.dead_letters.list(topic)) < count:
            await asyncio.sleep(0.05)
    assert len(found) == count
    return found


async def test_an_event_is_sent_signed(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    web = await serve("--config", table(tmp_path, f"{receiver.origin}/hooks?token=1"))
    async with system(web.up) as events:
        sent = await events.publish(TOPIC, {"id": 7, "at": "ä"}, key="order-7", correlation_id="chain-1")
        source = f"test/{events.instance}"
    (posted,) = await receiver.first(1)
    posted.check(STANDARD_SECRET)
    assert posted.headers["webhook-id"] == sent.id
    assert posted.headers["content-type"] == "application/json"
    told = posted.json
    assert datetime.now(UTC) - datetime.fromisoformat(told.pop("timestamp")) < timedelta(seconds=60)
    assert told == {
        "type": TOPIC,
        "data": {"id": 7, "at": "ä"},
        "id": sent.id,
        "source": source,
        "correlation_id": "chain-1",
        "key": "order-7",
    }
    told = await until(web, delivered=1)
    assert (told["name"], told["topic"], told["url"]) == ("crm", TOPIC, receiver.origin)  # no path, no query
    assert (told["group"], told["state"], told["last_status"], told["failed"]) == ("delivery.crm", "running", 204, 0)
    assert 'tieline_webhooks_sent_total{delivery="crm",result="delivered"} 1\n' in (await web.get("/metrics")).text


async def test_the_payload_alone_has_its_attributes_in_headers(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    web = await serve("--config", table(tmp_path, receiver.origin, 'body = "payload"'))
    (sent,) = await publish(web, {"text": "hello"}, key='Grüße "1"')
    (posted,) = await receiver.first(1)
    posted.check(STANDARD_SECRET)
    assert posted.json == {"text": "hello"}
    assert posted.headers["ce-id"] == sent
    assert posted.headers["ce-type"] == TOPIC
    assert posted.headers["ce-subject"] == "Gr%C3%BC%C3%9Fe%20%221%22"
    assert posted.headers["ce-specversion"] == "1.0"


async def test_json_goes_out_as_it_came(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    """From GitHub to another system, and no number or blank of it changes."""
    file = secret_file(tmp_path, SECRET)
    config = table(tmp_path, receiver.origin, 'body = "payload"', topic="webhook.github.push")
    web = await serve("--config", config, "--webhook", f"github={file}")
    body = b'{ "big": 123456789012345678901234567890, "f": 1.0,  "repository": {}}'
    await github(web, body)
    await github(web, PUSH)
    first, _ = await receiver.first(2)
    assert first.body == body


async def test_while_secrets_rotate_all_sign(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    secret_file(tmp_path, STANDARD_SECRET, NEW_SECRET, name="out.secret")
    web = await serve("--config", table(tmp_path, receiver.origin))
    await publish(web, 1)
    (posted,) = await receiver.first(1)
    posted.check(STANDARD_SECRET, NEW_SECRET)
    secret_file(tmp_path, NEW_SECRET, name="out.secret")
    async with asyncio.timeout(30):
        while len(receiver.posted[-1].headers["webhook-signature"].split()) > 1:
            before = len(receiver.posted)
            await publish(web, 2)
            await receiver.first(before + 1)
    receiver.posted[-1].check(NEW_SECRET)


async def test_over_tls_with_an_authority_of_ones_own(serve: Make, tmp_path: Path) -> None:
    async with Receiver(tls=True) as receiver:
        trusting = table(tmp_path, receiver.origin, f'ca_file = "{PEM / "authority.pem"}"')
        web = await serve("--config", trusting)
        await publish(web, 1)
        (posted,) = await receiver.first(1)
        posted.check(STANDARD_SECRET)
        await until(web, delivered=1)


async def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Make, tmp_path: Path) -> None:
    async with Receiver(tls=True) as receiver:
        web = await serve("--config", table(tmp_path, receiver.origin))
        await publish(web, 1)
        (letter,) = await letters(web, 1)
        assert "certificate" in letter.error.message
        assert receiver.posted == []


async def test_what_fails_is_tried_again_under_its_id(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = one_after_the_other(Response(status_code=500), Response(status_code=404))
    web = await serve("--config", table(tmp_path, receiver.origin))
    (sent,) = await publish(web, 1)
    posted = await receiver.first(3)
    assert {each.headers["webhook-id"] for each in posted} == {sent}
    for each in posted:
        each.check(STANDARD_SECRET)
    told = await until(web, delivered=1, failed=2)
    assert (told["last_status"], told["last_error"]) == (204, "")


async def test_what_fails_for_the_last_time_is_a_dead_letter_that_can_be_put_back(
    serve: Make, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = lambda _: Response(status_code=500)
    web = await serve("--config", table(tmp_path, receiver.origin, "timeout = 5"))
    (sent,) = await publish(web, {"id": 7})
    (letter,) = await letters(web, 1)
    assert (letter.group, letter.reason, letter.attempts) == ("delivery.crm", "failed", 4)
    assert letter.error.message == "crm: it was answered 500"
    assert len(receiver.posted) == 4
    assert (await status(web))["last_error"] == "it was answered 500"
    receiver.answers = lambda _: Response(status_code=200)
    async with system(web.up) as events:
        assert await events.dead_letters.redrive(TOPIC) == 1
    posted = await receiver.first(5)
    assert (posted[4].headers["webhook-id"], posted[4].json["data"]) == (sent, {"id": 7})


@pytest.mark.parametrize("how", ["seconds", "date"])
async def test_retry_after_is_kept_to(serve: Make, tmp_path: Path, receiver: Receiver, how: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True)
    said = {"retry-after": "4" if how == "seconds" else date}
    busy = Response(status_code=429 if how == "seconds" else 503, headers=said)
    receiver.answers = one_after_the_other(busy)
    web = await serve("--config", table(tmp_path, receiver.origin))
    await publish(web, 1)
    first, second = await receiver.first(2)
    assert second.at - first.at > 1.5  # the policy alone would come back at once


async def test_retry_after_has_a_bound_and_nonsense_is_passed_over(
    serve: Make, tmp_path: Path, receiver: Receiver
) -> None:
    nonsense = ("soon", "-5", "Thu, 99 Foo 2026 00:00:00 GMT", f"Thu, 01 Jan {10**18} 00:00:00 GMT", "")
    retry = "retry = { max_attempts = 9, backoff = 0, cap = 0 }"
    web = await serve("--config", table(tmp_path, receiver.origin, retry))
    for number, value in enumerate(nonsense):
        receiver.answers = one_after_the_other(Response(status_code=503, headers={"retry-after": value}))
        await publish(web, value)
        await receiver.first(2 * number + 2)
    receiver.answers = one_after_the_other(Response(status_code=503, headers={"retry-after": "9" * 400}))
    await publish(web, "an hour at most", "others are sent meanwhile")
    await receiver.first(2 * len(nonsense) + 2)
    assert "Traceback" not in web.up.text


async def test_gone_stops_it_and_is_told(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = lambda _: Response(status_code=410)
    web = await serve("--config", table(tmp_path, receiver.origin))
    warnings: asyncio.Queue[Any] = asyncio.Queue()
    async with system(web.up) as events:
        await events.subscribe("system.warning", warnings.put).ready()
        await events.publish(TOPIC, 1, durable=True)
        warning = await asyncio.wait_for(warnings.get(), 30)
        told = await until(web, state="stopped")
        assert (warning["kind"], warning["delivery"], warning["topic"]) == ("delivery_stopped", "crm", TOPIC)
        assert told["last_status"] == 410
        await events.publish(TOPIC, 2, durable=True)
        (group,) = await events.groups.list(TOPIC)
        assert group.waiting == 2  # nothing is lost
    assert len(receiver.posted) == 1


async def test_redirects_are_not_followed(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    async with Receiver() as elsewhere:
        receiver.answers = lambda _: Response(status_code=307, headers={"location": elsewhere.origin})
        web = await serve("--config", table(tmp_path, receiver.origin))
        await publish(web, 1)
        (letter,) = await letters(web, 1)
        assert letter.error.message == "crm: it was answered 307; redirects are not followed"
        assert elsewhere.posted == []


async def test_a_receiver_that_does_not_answer(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    receiver.pause = 60.0
    retry = "retry = { max_attempts = 2, backoff = 0, cap = 0 }"
    web = await serve("--config", table(tmp_path, receiver.origin, "timeout = 0.5", retry))
    await publish(web, 1)
    (letter,) = await letters(web, 1)
    assert letter.error.message == "crm: no answer within 0.5 s"


async def test_nobody_listens_there(serve: Make, tmp_path: Path) -> None:
    async with Receiver() as gone:
        pass
    web = await serve("--config", table(tmp_path, gone.origin))
    await publish(web, 1)
    (letter,) = await letters(web, 1)
    assert "ConnectError" in letter.error.message


async def test_an_endless_answer_is_not_read(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    written = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal written
        while True:
            written += 1
            yield b"x" * 65_536
            await asyncio.sleep(0.001)  # or it would not hear that nobody reads

    receiver.answers = lambda _: StreamingResponse(endless(), 200)
    web = await serve("--config", table(tmp_path, receiver.origin))
    await publish(web, 1)
    await until(web, delivered=1)
    assert written < 1000


async def test_events_of_a_key_are_sent_in_order(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    fails = {2: 2, 5: 1}

    def answer(posted: Any) -> Response:
        number = posted.json["data"]
        fails[number] = fails.get(number, 0) - 1
        return Response(status_code=500 if fails[number] >= 0 else 200)

    receiver.answers = answer
    web = await serve("--config", table(tmp_path, receiver.origin))
    await publish(web, *range(8), key="k")
    posted = await receiver.first(11)
    assert [each.json["data"] for each in posted] == [0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 7]


@pytest.mark.parametrize("place", ["redis", "sqlite"])
async def test_a_gateway_that_is_killed_between_tries(
    place: str, serve: Make, tmp_path: Path, receiver: Receiver, redis_url: str
) -> None:
    receiver.answers = lambda _: Response(status_code=500)
    config = table(tmp_path, receiver.origin, "retry = { max_attempts = 9, backoff = 1, cap = 1 }")
    web = await serve("--config", config, *(("--url", redis_url) if place == "redis" else ("--store", tmp_path / "s")))
    (sent,) = await publish(web, {"id": 7})
    await receiver.first(1)
    os.kill(web.up.pid, signal.SIGKILL)
    await web.up.wait()
    receiver.answers = lambda _: Response(status_code=200)
    await web.up.start()
    async with WebClient(web.up) as again:
        await until(again, delivered=1)
    assert {each.headers["webhook-id"] for each in receiver.posted} == {sent}


async def test_a_gateway_that_stops_waits_for_the_answer(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    receiver.pause = 1.0
    web = await serve("--config", table(tmp_path, receiver.origin), "--store", tmp_path / "s")
    await publish(web, 1)
    await receiver.first(1)
    web.up.terminate()
    assert await web.up.wait() == 0
    await web.up.start()
    async with WebClient(web.up) as again:
        await publish(again, 2)
        await until(again, delivered=1)
    assert [each.json["data"] for each in receiver.posted] == [1, 2]


async def test_what_json_cannot_say_is_a_dead_letter(serve: Make, tmp_path: Path, receiver: Receiver) -> None:
    web = await serve("--config", table(tmp_path, receiver.origin))
    await publish(web, {"n": float("nan")}, 2)
    (letter,) = await letters(web, 1)
    assert letter.reason == "rejected"
    assert "cannot be sent as JSON: $.n" in letter.error.message
    (posted,) = await receiver.first(1)
    assert posted.json["data"] == 2


async def test_two_gateways_share_what_is_to_be_sent(
    serve: Make, tmp_path: Path, receiver: Receiver, redis_url: str
) -> None:
    config = table(tmp_path, receiver.origin)
    one, two = await serve("--config", config, "--url", redis_url), await serve("--config", config, "--url", redis_url)
    await publish(one, *range(20))
    await receiver.first(20)
    async with asyncio.timeout(30):
        while sum([(await status(web))["delivered"] for web in (one, two)]) < 20:
            await asyncio.sleep(0.05)
    assert sorted(each.json["data"] for each in receiver.posted) == list(range(20))


async def test_one_gateway_delivers_to_another(serve: Make, tmp_path: Path) -> None:
    """What goes out by Standard Webhooks comes in by them."""
    file = secret_file(tmp_path, STANDARD_SECRET, name="out.secret")
    theirs = await serve("--webhook", f"partner={file}")
    ours = await serve("--config", table(tmp_path, f"{theirs.up.web}/webhooks/partner"))
    await publish(ours, {"id": 7})
    await until(ours, delivered=1)
    async with system(theirs.up) as events:
        got: asyncio.Queue[Any] = asyncio.Queue()
        await events.subscribe(f"webhook.partner.{TOPIC}", got.put, durable=True).ready()
        assert (await asyncio.wait_for(got.get(), 30))["data"] == {"id": 7}
