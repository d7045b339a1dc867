"""What holds: flags over the environment over the file over the defaults; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.commands import command
from tests.gateway.up import Up


async def settings(*arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    printed = await command("config", "show", "--json", *arguments, **(env or {}))
    assert printed.code == 0, printed.err
    return json.loads(printed.out)["settings"]


async def test_flags_win_over_the_environment_over_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "tieline.toml"
    file.write_text('drain = 1\nnamespace = "file"\nhistory = "sqlite"\nhistory_days = 1\nhistory_topics = ["a.>"]\n')
    env = {"TIELINE_CONFIG": str(file), "TIELINE_DRAIN": "2", "TIELINE_NAMESPACE": "environment"}
    told = await settings("--drain", "3", env=env)
    assert told["drain"] == {"value": 3.0, "from": "flag --drain"}
    assert told["namespace"] == {"value": "environment", "from": "environment TIELINE_NAMESPACE"}
    assert told["history_days"] == {"value": 1.0, "from": "file, history_days"}
    assert told["history_topics"]["value"] == ["a.>"]
    assert told["http"] == {"value": "127.0.0.1:8080", "from": "default"}


async def test_names_of_files_are_told_from_where_the_configuration_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-twenty-five-chars")
    (tmp_path / "tieline.toml").write_text('token_file = "token"\n')
    told = await settings("--config", str(tmp_path / "tieline.toml"))
    assert told["token_file"]["value"] == str(tmp_path / "token")


async def test_a_password_is_not_shown() -> None:
    told = await settings(env={"REDIS_URL": "redis://user:secret@localhost/3"})
    assert told["url"] == {"value": "redis://localhost/3", "from": "environment REDIS_URL"}
    told = await settings("--history", "postgresql://db/events?user=a&password=secret&sslmode=require")
    assert told["history"]["value"] == "postgresql://db/events?user=a&password=…&sslmode=require"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('history_days = "x"', "history_days: Expected `float`, got `str`"),
        ("listn = 1", "'listn' is unknown; did you mean 'listen'?"),
        ("history-days = 3", "did you mean 'history_days'"),
        ("history_topics = 3", "history_topics: Expected `array`"),
        ("drain = true", "drain: Expected `float`, got `bool`"),
        ("history_days = -1", "'--history-days' (file, history_days)"),
        ("= 3", "is no TOML"),
        ('listen = "nowhere"', "looks like 127.0.0.1:8080 or [::1]:8080 (file, listen)"),
        ('http = "nowhere"', "(file, http)"),
        ('[principals.joe]\npublish = "x"', "principals.joe.publish: Expected `array`"),
        ('[webhooks.shop]\nkind = "standard"\nsecret_file = 3', "webhooks.shop.secret_file"),
        ('[principals.joe]\npublish = ["x..y"]', "principal 'joe': publish: pattern 'x..y'"),
        ('[principals.joe]\ntokens_sha256 = ["x"]', "principal 'joe': tokens_sha256"),
        ('[jwt]\nkeys = "missing.json"\naudience = "a"', "cannot read the keys"),
        ('tls_cert = "missing.pem"', "missing.pem"),
        ('http = "0.0.0.0:8080"', "0.0.0.0:8080 can be reached from elsewhere"),
        ('[webhooks.shop]\nsecret_file = "missing"', "webhooks.shop: cannot read the secret file"),
        (
            '[deliveries.shop]\ntopic = "a.b"\nurl = "https://a.example"\nsecret_file = "missing"',
            "deliveries.shop: cannot",
        ),
        ('url = "redis://localhost/x"', "'/x' is no database number"),
        ('url = "rediss://localhost?ssl_ca_certs=/missing.pem"', "cannot use /missing.pem"),
        ('url = "kafka://localhost"', "unknown scheme 'kafka' in the broker's URL"),
        ('url = "grpc://localhost"', "it cannot stand in front of a gateway"),
        ('history = "mysql://localhost/events"', "is no store of history"),
        ('tls_cert = "tieline.toml"\ntls_key = "tieline.toml"', "cannot be used for TLS together"),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "tieline.toml"
    file.write_text(text)
    for words in (["config", "show"], ["up"]):
        printed = await command(*words, "--config", str(file))
        assert printed.code == 2
        assert says in printed.err
        assert "Traceback" not in printed.err


async def test_a_wrong_value_names_the_variable_it_was_in() -> None:
    for name, value in (("TIELINE_DRAIN", "soon"), ("TIELINE_LISTEN", "here"), ("TIELINE_HTTP", "there")):
        printed = await command("up", **{name: value})
        assert (printed.code, f"(environment {name})" in printed.err) == (2, True), printed.err


async def test_a_gateway_serves_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "tieline.toml"
    file.write_text('log_format = "json"\ndrain = 0\n')
    async with Up("--config", str(file)) as up:
        up.terminate()
        assert await up.wait() == 0
        lines = [json.loads(line) for line in up.text.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["stopping; calls under way have 0.0 s"]
    assert lines[0]["level"] == "info"
    assert lines[0]["time"].endswith("Z")
