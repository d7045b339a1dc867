"""The examples in docs/webhooks.md do what they say."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from tests.gateway.commands import command
from tests.gateway.up import WebClient
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.receiver import Receiver
from tests.gateway.webhooks.senders import PUSH, SECRET, STANDARD_SECRET, github, secret_file
from tests.gateway.webhooks.test_delivery import publish, table
from tests.support.processes import Program

PAGE = Path(__file__).parents[3] / "docs" / "webhooks.md"
_is_block = re.compile(r"^<!-- run: ([^>\n]+?) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = dict(_is_block.findall(PAGE.read_text()))


def secrets(folder: Path) -> None:
    secret_file(folder, SECRET, name="github.secret")
    for name in ("shop", "crm"):
        secret_file(folder, STANDARD_SECRET, name=f"{name}.secret")


async def test_the_settings(serve: Make, tmp_path: Path) -> None:
    secrets(tmp_path)
    config = tmp_path / "tieline.toml"
    config.write_text(BLOCKS["inbound settings"] + BLOCKS["outbound settings"])
    shown = await command("config", "show", "--json", "--config", str(config))
    told = json.loads(shown.out)
    assert told["webhooks"]["shop"]["kind"] == "standard"
    web = await serve("--config", config)
    known = (await web.get("/v1/webhooks")).json()
    assert [source["name"] for source in known["sources"]] == ["github", "shop"]
    assert [delivery["name"] for delivery in known["deliveries"]] == ["crm"]


async def test_what_is_said_to_be_so_unless_given_is_so(tmp_path: Path) -> None:
    secrets(tmp_path)
    shown: list[Any] = []
    needed = BLOCKS["outbound settings"].partition("# All that follows")[0]
    for number, text in enumerate((needed, BLOCKS["outbound settings"])):
        config = tmp_path / f"{number}.toml"
        config.write_text(text)
        printed = await command("config", "show", "--json", "--config", str(config))
        shown.append(json.loads(printed.out)["deliveries"]["crm"])
    assert {**shown[0], "group": "delivery.crm"} == shown[1]


async def test_the_subscriber(hooks: WebClient, tmp_path: Path) -> None:
    program = tmp_path / "builds.py"
    program.write_text(BLOCKS["subscriber"])
    async with Program(sys.executable, program, env={"TIELINE_URL": hooks.up.url}) as running:
        await github(hooks, PUSH, delivery="d-1")
        await running.line("^d-1 octo-org/example refs/heads/main$", seconds=40)


async def test_the_test_deliveries(serve: Make, tmp_path: Path) -> None:
    secrets(tmp_path)
    web = await serve(
        *("--webhook", f"github={tmp_path}/github.secret", "--webhook", f"shop:standard={tmp_path}/shop.secret")
    )
    lines = BLOCKS["test deliveries"].strip().splitlines()
    for line in lines:
        words = [str(tmp_path / word) if word.endswith(".secret") else word for word in shlex.split(line)[1:]]
        if "--url" not in words:
            words += ["--url", "http://127.0.0.1:8080/webhooks/github"]
        sent = await command(*(word.replace("http://127.0.0.1:8080", web.up.web) for word in words))
        assert (sent.code, sent.out.startswith("202 accepted")) == (0, True), sent.err
    sources = (await web.get("/v1/webhooks")).json()["sources"]
    assert [source["accepted"] for source in sources] == [2, 1]


async def test_the_receiver(serve: Make, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(BLOCKS["verify"], str(PAGE), "exec"), names)
    async with Receiver() as receiver:
        web = await serve("--config", table(tmp_path, receiver.origin))
        await publish(web, 1)
        (posted,) = await receiver.first(1)
    assert names["verified"](STANDARD_SECRET, posted.headers, posted.body)
    assert not names["verified"](STANDARD_SECRET, posted.headers, posted.body + b" ")
