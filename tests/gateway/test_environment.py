"""Variables that look like ours: misspelled ones are told, where they would have mattered."""

from __future__ import annotations

import pytest

from tests.gateway.commands import command
from tests.gateway.up import Up

KUBERNETES = {
    "TIELINE_PORT": "tcp://10.0.0.1:50051",
    "TIELINE_PORT_50051_TCP_ADDR": "10.0.0.1",
    "TIELINE_SERVICE_HOST": "10.0.0.1",
}
KNOWN = {"TIELINE_SERVICE": "shop", "TIELINE_DRAIN": "3", "TIELINE_WEBHOOK_SHOP_KIND": "", "TIELINE_DEBUG": "1"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("TIELINE_LISTN", "TIELINE_LISTN: did you mean TIELINE_LISTEN?"),
        ("TIELINE_TOKEN", "TIELINE_TOKEN: did you mean TIELINE_TOKENS or TIELINE_TOKEN_FILE?"),
        ("TIELINE_HISTORY_TOPICS", "TIELINE_HISTORY_TOPICS: did you mean TIELINE_HISTORY_TOPIC?"),
        ("tieline_url", "tieline_url: did you mean TIELINE_URL?"),
        ("TIELINE_COLOUR", "TIELINE_COLOUR: it means nothing to Tieline, and is ignored"),
    ],
)
async def test_a_misspelled_variable_is_told_once(name: str, says: str) -> None:
    shown = await command("config", "show", "--json", stdin=None, **{name: "x"})
    assert (shown.code, shown.err) == (0, f"tieline: warning: {says}\n")


async def test_nothing_is_said_of_variables_that_are_known_or_of_an_orchestrator() -> None:
    assert (await command("config", "show", stdin=None, **KNOWN, **KUBERNETES)).err == ""


async def test_doctor_and_up_tell_it_and_other_commands_where_they_are_not_let_in() -> None:
    warning = "tieline: warning: TIELINE_LISTN: did you mean TIELINE_LISTEN?"
    async with Up(env={"TIELINE_LISTN": "127.0.0.1:7"}) as up:
        assert up.text.count(warning) == 1
    assert warning in (await command("doctor", "--http", "none", TIELINE_LISTN="x")).err
    away = {"TIELINE_URL": "redis://127.0.0.1:1", "TIELINE_LISTN": "x"}
    assert warning in (await command("call", "a.b", stdin=None, **away)).err
    assert warning not in (await command("call", "a.b", "{", stdin=None, **away)).err
