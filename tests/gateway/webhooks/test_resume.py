"""A delivery that stopped after a 410 goes on when somebody has it go on, over HTTP and by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.responses import Response

from tests.gateway.commands import command
from tests.gateway.up import TOKEN, WebClient
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.receiver import Receiver
from tests.gateway.webhooks.test_delivery import publish, status, table, until

RESUME = "/v1/webhooks/deliveries/crm/resume"


def answers(receiver: Receiver, status: int) -> None:
    """All that comes from now on gets this."""
    receiver.answers = lambda _: Response(status_code=status)


async def stopped(serve: Make, tmp_path: Path, receiver: Receiver, *options: str) -> WebClient:
    """A gateway whose delivery has stopped, with three events of which none was taken."""
    answers(receiver, 410)
    web = await serve("--config", table(tmp_path, receiver.origin), *options)
    await publish(web, 1)
    await until(web, state="stopped")
    await publish(web, 2, 3)
    return web


def sent(receiver: Receiver) -> list[Any]:
    return sorted(posted.json["data"] for posted in receiver.posted)


async def test_it_goes_on_over_http(serve: Make, tmp_path: Path) -> None:
    async with Receiver() as receiver:
        web = await stopped(serve, tmp_path, receiver)
        assert (await status(web))["waiting"] == 3
        receiver.posted.clear()
        answers(receiver, 204)
        told = await web.post(RESUME)
        assert (told.status_code, told.json()["state"]) == (200, "running")
        await until(web, delivered=3, waiting=0, state="running", last_error="")
        assert sent(receiver) == [1, 2, 3]
        assert (await web.post(RESUME)).json()["state"] == "running"  # once more does nothing
        await publish(web, 4)
        await until(web, delivered=4)
        assert sent(receiver) == [1, 2, 3, 4]


async def test_it_stops_again_when_nobody_wants_it_still(serve: Make, tmp_path: Path) -> None:
    async with Receiver() as receiver:
        web = await stopped(serve, tmp_path, receiver)
        before = (await status(web))["failed"]
        await web.post(RESUME)
        while (await status(web))["failed"] == before:
            await until(web, state="stopped")
        answers(receiver, 204)
        await until(web, state="stopped", waiting=3)
        await web.post(RESUME)
        await until(web, delivered=3, waiting=0)


async def test_one_of_two_gateways_is_enough(serve: Make, tmp_path: Path, redis_url: str) -> None:
    async with Receiver() as receiver:
        one = await stopped(serve, tmp_path, receiver, "--url", redis_url)
        answers(receiver, 204)
        await one.post(RESUME)
        await until(one, delivered=3, waiting=0)


async def test_the_commands(serve: Make, tmp_path: Path) -> None:
    async with Receiver() as receiver:
        web = await stopped(serve, tmp_path, receiver)
        to = ("--web", web.up.web)
        listed = await command("webhook", "deliveries", *to)
        assert listed.code == 0, listed.err
        head, row = listed.lines
        assert head.split() == ["DELIVERY", "TOPIC", "TO", "STATE", "WAITING", "SENT", "FAILED", "LAST", "ANSWER"]
        assert row.split()[:6] == ["crm", "order.paid", receiver.origin, "stopped", "3", "0"]
        assert row.endswith("it was answered 410: nothing more is sent until it is resumed")
        answers(receiver, 204)
        resumed = await command("webhook", "resume", "crm", TIELINE_WEB=web.up.web)
        assert (resumed.code, resumed.out.startswith("crm is running; ")) == (0, True), resumed.err
        await until(web, delivered=3, waiting=0)
        (told,) = json.loads((await command("webhook", "deliveries", "--json", *to)).out)["items"]
        assert (told["state"], told["waiting"], told["last_status"]) == ("running", 0, 204)


async def test_what_cannot_go_on(serve: Make, tmp_path: Path) -> None:
    web = await serve()
    assert (await web.post("/v1/webhooks/deliveries/none/resume")).status_code == 404
    to = ("--web", web.up.web)
    assert (await command("webhook", "deliveries", *to)).out.startswith("This gateway sends nothing to others")
    missing = await command("webhook", "resume", "none/../x", *to)
    assert (missing.code, missing.err) == (
        8,
        "tieline: there is no delivery 'none/../x'; GET /v1/webhooks lists them\n",
    )
    away = await command("webhook", "deliveries", "--web", "http://127.0.0.1:1")
    assert (away.code, "did not answer" in away.err) == (6, True)
    wrong = await command("webhook", "deliveries", "--web", "nowhere")
    assert (wrong.code, "cannot be asked" in wrong.err) == (2, True)


async def test_only_who_looks_after_everything_may(serve: Make, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    async with Receiver() as receiver:
        config = table(tmp_path, receiver.origin)
        made = await command("token", "create", "reader", "--admin", "order.>", "--tokens", str(tmp_path / "t.json"))
        web = await serve("--config", config, "--tokens", tmp_path / "t.json", "--token-file", tmp_path / "token")
        assert (await web.post(RESUME)).status_code == 401
        theirs = {"authorization": f"Bearer {made.out.strip()}"}
        assert (await web.post(RESUME, headers=theirs)).status_code == 403
        (tmp_path / "theirs").write_text(made.out)
        to = ("--web", web.up.web, "--token-file")
        assert (await command("webhook", "resume", "crm", *to, str(tmp_path / "theirs"))).code == 7
        assert (await command("webhook", "resume", "crm", *to, str(tmp_path / "token"))).code == 0
