"""Standard Webhooks, through real HTTP."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from tests.gateway.up import WebClient
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.inbox import Inbox, stored
from tests.gateway.webhooks.senders import STANDARD_SECRET, body_of, secret_file, standard, standard_headers

PAID = {"type": "invoice.paid", "timestamp": "2026-01-01T00:00:00Z", "data": {"id": 7}}
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


async def test_a_message_is_published_by_its_type(hooks: WebClient) -> None:
    sent = int(time.time()) - 5
    answer = await standard(hooks, PAID, delivery="msg_1", at=sent)
    assert (answer.status_code, answer.json()["status"], answer.json()["delivery"]) == (202, "accepted", "msg_1")
    async with Inbox(hooks.up, "webhook.shop.invoice.paid") as inbox:
        (event,) = await inbox.first(1)
    assert (event.data, event.envelope.data) == (PAID, body_of(PAID))
    told = dict(event.headers)
    assert datetime.fromisoformat(told.pop("ce-time")).timestamp() == sent
    assert told == {
        "ce-specversion": "1.0",
        "ce-id": "msg_1",
        "ce-source": "/webhooks/shop",
        "ce-type": "invoice.paid",
    }


async def test_it_is_known_when_it_comes_again_signed_anew(hooks: WebClient) -> None:
    now = time.time()
    statuses = [(await standard(hooks, PAID, delivery="msg_1", at=now - age)).json()["status"] for age in (100, 50, 0)]
    assert statuses == ["accepted", "duplicate", "duplicate"]
    assert await stored(hooks.up, "webhook.shop.invoice.paid") == 1


async def test_a_body_without_type_has_a_topic_too(hooks: WebClient) -> None:
    assert (await standard(hooks, {"id": 7})).json()["status"] == "accepted"
    assert await stored(hooks.up, "webhook.shop.untyped") == 1


async def test_keys_are_rotated_on_both_sides(serve: Make, tmp_path: Path) -> None:
    old_and_new = secret_file(tmp_path, STANDARD_SECRET, OTHER)
    web = await serve("--webhook", f"shop={old_and_new}")  # standard, by its name
    for secrets in ((STANDARD_SECRET,), (OTHER,), (OTHER, STANDARD_SECRET)):
        assert (await standard(web, PAID, secrets=secrets)).status_code == 202
    only_new = await serve("--webhook", f"shop={secret_file(tmp_path, OTHER, name='new')}")
    assert (await standard(only_new, PAID, secrets=(STANDARD_SECRET,))).status_code == 401
    assert (await standard(only_new, PAID, secrets=(STANDARD_SECRET, OTHER))).status_code == 202


async def test_events_are_chosen_by_pattern(serve: Make, tmp_path: Path) -> None:
    secret_file(tmp_path, STANDARD_SECRET)
    config = tmp_path / "tieline.toml"
    config.write_text('[webhooks.shop]\nsecret_file = "secret"\nevents = ["invoice.>", "refund"]\n')
    web = await serve("--config", config)
    kinds = ("invoice.paid", "invoice.line.added", "refund", "refund.sent", "user.created")
    statuses = [(await standard(web, {"type": kind})).json()["status"] for kind in kinds]
    assert statuses == ["accepted", "accepted", "accepted", "ignored", "ignored"]


async def test_an_old_or_future_signature_is_refused(hooks: WebClient) -> None:
    for away, says in ((-301, "ago"), (302, "from now"), (86_400 * 365, "from now")):
        answer = await standard(hooks, PAID, at=time.time() + away)
        assert answer.status_code == 401
        assert says in answer.json()["detail"]
    assert await stored(hooks.up, "webhook.shop.invoice.paid") == 0
    (told,) = [source for source in (await hooks.get("/v1/webhooks")).json()["sources"] if source["name"] == "shop"]
    assert told["refused"] == {"timestamp": 3}


LATER = "a second later than it was signed for"
BAD_HEADERS: list[tuple[dict[str, str | None], int, str]] = [
    ({"webhook-id": None}, 400, "webhook-id is missing"),
    ({"webhook-id": "a b"}, 400, "webhook-id has 1 to 128"),
    ({"webhook-id": "another"}, 401, "does not fit"),
    ({"webhook-timestamp": None}, 400, "webhook-timestamp is missing"),
    ({"webhook-timestamp": "now"}, 400, "webhook-timestamp is in seconds"),
    ({"webhook-timestamp": "1" * 5000}, 400, "webhook-timestamp is in seconds"),
    ({"webhook-timestamp": "-5"}, 400, "webhook-timestamp is in seconds"),
    ({"webhook-timestamp": LATER}, 401, "does not fit"),
    ({"webhook-signature": None}, 401, "webhook-signature is missing"),
    ({"webhook-signature": ""}, 401, "begins with 'v1,'"),
    ({"webhook-signature": "v1a,AAAA"}, 401, "begins with 'v1,'"),
    ({"webhook-signature": "v1,"}, 401, "does not fit"),
    ({"webhook-signature": "v1,AAAA v1,é"}, 401, "does not fit"),
    ({"webhook-signature": " ".join(["v1,AAAA"] * 1000)}, 401, "does not fit"),
    ({"content-type": "text/plain"}, 415, "must be application/json"),
]


async def test_bad_headers_are_refused_and_named(hooks: WebClient) -> None:
    body = body_of(PAID)
    for changed, status, says in BAD_HEADERS:
        headers = {**standard_headers(body), **changed}
        if headers["webhook-timestamp"] == LATER:
            headers["webhook-timestamp"] = str(int(time.time()) + 1)
        theirs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if value is not None]
        answer = await hooks.post("/webhooks/shop", content=body, headers=theirs)
        assert answer.status_code == status, (changed, answer.text)
        assert says in answer.json()["detail"], changed
    assert await stored(hooks.up, "webhook.shop.invoice.paid") == 0


async def test_a_type_that_can_be_no_topic_is_refused(hooks: WebClient) -> None:
    for kind in ("a b", "../x", "", ".", "a..b", "x" * 300, 7, None, ["a"], "a.*", ">", "ä"):
        answer = await standard(hooks, {"type": kind})
        assert answer.status_code == 400, kind
        assert "the member 'type' of the body" in answer.json()["detail"]
