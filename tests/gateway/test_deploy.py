"""What is in deploy/ can be used as it is."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shlex
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.gateway.certificates import PEM
from tests.gateway.commands import command
from tests.gateway.up import Up

DEPLOY = Path(__file__).parents[2] / "deploy"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "tieline.service")
    return parser


async def test_the_unit_starts_a_gateway_with_the_settings_beside_it() -> None:
    words = shlex.split(unit()["Service"]["ExecStart"])
    assert words[:2] == ["/opt/tieline/bin/tieline", "up"]
    flags = [str(DEPLOY / Path(word).name) if word.endswith(".toml") else word for word in words[2:]]
    printed = await command("config", "show", *flags)
    assert (printed.code, printed.err) == (0, "")
    assert any(line.split()[:2] == ["url", "redis://127.0.0.1:6379/0"] for line in printed.lines)


async def test_the_unit_begins_again_what_may_become_right_and_nothing_else() -> None:
    """The gateway ends with 6 if its broker is away when it starts, and with 2 if its settings cannot be meant."""
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"
    service = unit()["Service"]
    assert service["Restart"] == "on-failure"
    never = service["RestartPreventExitStatus"].split()
    away, wrong = Up("--url", "redis://127.0.0.1:1"), Up("--url", "nowhere://")
    assert str(await away.refuses()) not in never
    assert str(await wrong.refuses()) in never


async def test_systemd_is_told_when_it_serves_and_when_it_stops(stack: AsyncExitStack, tmp_path: Path) -> None:
    assert unit()["Service"]["Type"] == "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        up = await stack.enter_async_context(Up(env={"NOTIFY_SOCKET": str(tmp_path / "notify")}))
        assert await asyncio.to_thread(manager.recv, 100) == b"READY=1"
        up.terminate()
        assert await asyncio.to_thread(manager.recv, 100) == b"STOPPING=1"
        assert await up.wait() == 0


async def test_the_container_says_what_the_command_understands() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    env = dict(re.findall(r"(TIELINE_[A-Z_]+)=([^\s\\,]+)\s*\\?$", text, re.MULTILINE))
    assert set(env) == {"TIELINE_LISTEN", "TIELINE_HTTP", "TIELINE_LOG_FORMAT"}
    refused = await command("config", "show", **env)
    assert refused.code == 2  # beyond loopback, without TLS and without knowing who calls
    assert "0.0.0.0:50051" in refused.err
    assert (await command("config", "show", "--insecure", **env)).code == 0


@pytest.mark.parametrize("secure", [False, True])
async def test_the_container_is_healthy_while_its_gateway_is_ready(stack: AsyncExitStack, *, secure: bool) -> None:
    found = re.search(r"HEALTHCHECK .*?CMD (\[.*?\])", (DEPLOY / "Containerfile").read_text(), re.DOTALL)
    assert found is not None
    _python, *arguments = json.loads(found[1])
    tls = {"TIELINE_TLS_CERT": str(PEM / "server.pem"), "TIELINE_TLS_KEY": str(PEM / "server.key")} if secure else {}
    up = await stack.enter_async_context(Up(http=True, env=tls))
    asked = [argument.replace("127.0.0.1:8080", up.web.partition("://")[2]) for argument in arguments]

    async def health() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *asked, env={**os.environ, **tls}, stderr=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    assert await health() == 0
    up.terminate()
    await up.wait()
    assert await health() != 0
