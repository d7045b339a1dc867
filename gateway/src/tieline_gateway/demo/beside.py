"""The demo beside a gateway: a process of its own that lives as long as the gateway does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from urllib.parse import quote

from tieline_gateway.app import run
from tieline_gateway.run import PARENT
from tieline_gateway.settings import GatewaySettings
from tieline_gateway.settings_error import SettingsError

URL = "TIELINE_DEMO_URL"
"""Environment variable with the gateway's address."""
OPEN = "open"
"""What the demo writes when its services are there."""
_SERVING, _SERVING_HTTP = "tieline: serving gRPC on ", "tieline: serving HTTP on "
_END_SECONDS = 5.0


async def run_with_demo(settings: GatewaySettings, announce: Callable[[str], None]) -> None:
    """Serve as `app.run` does, with the services of the demo beside it, and history in a file that goes with it.

    Raises:
        SettingsError: the gateway is one that others use, or that asks who one is.

    """
    if not settings.embedded or settings.store is not None:
        raise SettingsError("--demo is for trying: leave --url and --store out, so that it meets nobody's events")
    if settings.tls_cert is not None or settings.authenticated:
        raise SettingsError("--demo is for trying: leave TLS, tokens and principals out")
    with tempfile.TemporaryDirectory(prefix="tieline-demo-") as folder:
        if not settings.history:
            url = f"sqlite://{quote(str(Path(folder) / 'history.db'))}"
            settings = dataclasses.replace(settings, history=url)
        served = _Served(announce)
        demo = asyncio.create_task(_demo(served))
        try:
            await run(settings, served.say)
        finally:
            demo.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await demo


class _Served:
    """Hands on what the gateway announces, and takes the addresses out of it."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self.announce = announce
        self.grpc: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.web = ""

    def say(self, line: str) -> None:
        """What the gateway announces."""
        self.announce(line)
        if line.startswith(_SERVING) and not self.grpc.done():
            self.grpc.set_result(f"grpc://{line.removeprefix(_SERVING).partition(' ')[0]}")
        if line.startswith(_SERVING_HTTP):
            self.web = line.removeprefix(_SERVING_HTTP).partition(" ")[0]


async def _demo(served: _Served) -> None:
    """The services, once the gateway serves."""
    url = await served.grpc
    async with _process(url) as process:
        if await asyncio.to_thread(_is_open, process):
            for line in _what_to_try(url, served.web):
                served.announce(line)
        await asyncio.to_thread(process.wait)
        served.announce(f"tieline: the demo ended with {process.returncode}; the gateway goes on")


@contextlib.asynccontextmanager
async def _process(url: str) -> AsyncGenerator[subprocess.Popen[bytes]]:
    environment = os.environ | {URL: url, PARENT: str(os.getpid())}
    command = [sys.executable, "-m", "tieline_gateway.demo"]
    # Not by the loop: uvloop forks, and gRPC says on stderr what it thinks of that.
    process = subprocess.Popen(  # noqa: ASYNC220, S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _is_open(process: subprocess.Popen[bytes]) -> bool:
    """Wait until the services are there; false if the process ends before."""
    return process.stdout is not None and process.stdout.readline().strip() == OPEN.encode()


def _what_to_try(url: str, web: str) -> list[str]:
    return [
        "",
        "A small shop is open: shop, stock, billing, and a web server that buys.",
        *([f"  {web}/dashboard/ shows it; in another terminal:"] if web else ["  In another terminal:"]),
        f"  export TIELINE_URL={url}",
        "  tieline services                         who is there",
        "  tieline sub 'order.>' 'stock.>'          what happens now",
        "  tieline call shop.price '\"mug\"'          a call",
        "  tieline call shop.price '\"unicorn\"'      one that fails; tieline explain ID tells where",
        "  tieline dlq list order.placed            bills that could not be sent",
        "  tieline groups list                      how far billing is",
        "  tieline schedule list                    what is planned",
        "  tieline cron list                        what recurs",
        "  tieline history list 'order.*'           what happened",
        "  tieline doctor                           what is wrong",
    ]
