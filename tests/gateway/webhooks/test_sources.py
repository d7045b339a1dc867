"""How webhooks are set up: by flag, environment and file; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gateway.commands import command
from tests.gateway.up import Up
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.senders import SECRET, STANDARD_SECRET, github, secret_file, standard


async def test_the_environment_is_enough(serve: Make, tmp_path: Path) -> None:
    file, other = secret_file(tmp_path, SECRET), secret_file(tmp_path, STANDARD_SECRET, name="other")
    web = await serve(
        env={
            "TIELINE_WEBHOOK_GITHUB_SECRET_FILE": str(file),
            "TIELINE_WEBHOOK_MY_SHOP_SECRET_FILE": str(other),
            "TIELINE_WEBHOOK_MY_SHOP_KIND": "standard",
        }
    )
    assert (await github(web)).status_code == 202
    assert (await standard(web, {"type": "a"}, source="my_shop")).status_code == 202


async def test_flags_win_over_the_environment_over_the_file(tmp_path: Path) -> None:
    in_file, in_environment = (str(secret_file(tmp_path, SECRET, name=name)) for name in ("file", "environment"))
    one, two = (str(secret_file(tmp_path, STANDARD_SECRET, name=name)) for name in ("one", "two"))
    config = tmp_path / "tieline.toml"
    config.write_text(f'[webhooks.a]\nkind = "github"\nsecret_file = "{in_file}"\nevents = ["x"]\n')
    table = {"kind": "github", "secret_file": in_environment, "events": ["x"], "key": "", "max_bytes": 1048576}
    flagged = {**table, "kind": "standard", "secret_file": [one, two]}
    flags = ["--webhook", f"a:standard={one}", "--webhook", f"a={two}"]
    for arguments, expected in (([], table), (flags, flagged)):
        shown = await command(
            *("config", "show", "--json", *arguments),
            TIELINE_CONFIG=str(config),
            TIELINE_WEBHOOK_A_SECRET_FILE=in_environment,
        )
        assert json.loads(shown.out)["webhooks"] == {"a": expected}, shown.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--webhook", "github"], "--webhook is NAME=FILE"),
        (["--webhook", "=x"], "--webhook is NAME=FILE"),
        (["--webhook", "GitHub=x"], "the name of a webhook is"),
        (["--webhook", "../x=x"], "the name of a webhook is"),
        (["--webhook", "a:gitlab=x"], "kind is 'github' or 'standard', not 'gitlab'"),
        (["--webhook", "github=missing"], "cannot read the secret file missing"),
        (["--webhook", "github={folder}/empty"], "is empty"),
        (["--webhook", "github={folder}/short"], "at least 16 characters"),
        (["--webhook", "shop={folder}/long"], "a secret is whsec_ and base64"),
        (["--config", "{folder}/bytes.toml"], "max_bytes is from 1 to 1048576"),
        (["--config", "{folder}/events.toml"], "webhooks.github: events: pattern"),
        (["--config", "{folder}/none.toml"], "secret_file is missing"),
    ],
)
async def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: list[str], says: str) -> None:
    files = {
        "empty": "\n",
        "short": "secret\n",
        "long": "a-long-secret-that-is-no-base64\n",
        "bytes.toml": '[webhooks.github]\nsecret_file = "long"\nmax_bytes = 26214400\n',
        "events.toml": '[webhooks.github]\nsecret_file = "long"\nevents = ["a b"]\n',
        "none.toml": '[webhooks.github]\nkind = "github"\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    up = Up(*(each.format(folder=tmp_path) for each in arguments), http=True)
    assert await up.refuses() == 2
    assert says in up.text
    assert "Traceback" not in up.text
