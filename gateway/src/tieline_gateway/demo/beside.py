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
_SERVING = "tieline: serving gRPC on "
_END_SECONDS = 5.0


async def run_with_demo(settings: GatewaySettings, announce: Callable[[str], None]) -> None:
    """Serve as `app.run` does, with the services of the demo beside it, and history in a file that goes with it.

    Raises:
        SettingsError: the gateway is one that others use, or that asks who one is.

    """
    if not settings.embedded or settings.store is not None:
        raise SettingsError("--demo is for trying: leave --url and --store out, so that it meets nobody's events")
    if settings.tls_cert is not None or settings.token_file is not None:
        raise SettingsError("--demo is for trying: leave --tls-… and --token-file out")
    with tempfile.TemporaryDirectory(prefix="tieline-demo-") as folder:
        if not settings.history:
            url = f"sqlite://{quote(str(Path(folder) / 'history.db'))}"
            settings = dataclasses.replace(settings, history=url)
        served: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        demo = asyncio.create_task(_demo(served, announce))
        try:
            await run(settings, lambda line: _announce(line, served, announce))
        finally:
            demo.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await demo


def _announce(line: str, served: asyncio.Future[str], announce: Callable[[str], None]) -> None:
    """Hand it on, and take the address out of it."""
    announce(line)
    if line.startswith(_SERVING) and not served.done():
        served.set_result(line.removeprefix(_SERVING).partition(" ")[0])


async def _demo(served: asyncio.Future[str], announce: Callable[[str], None]) -> None:
    """The services, once the gateway serves."""
    url = f"grpc://{await served}"
    async with _process(url) as process:
        for line in _what_to_try(url):
            announce(line)
        await asyncio.to_thread(process.wait)
        announce(f"tieline: the demo ended with {process.returncode}; the gateway goes on")


@contextlib.asynccontextmanager
async def _process(url: str) -> AsyncGenerator[subprocess.Popen[bytes]]:
    environment = os.environ | {URL: url, PARENT: str(os.getpid())}
    command = [sys.executable, "-m", "tieline_gateway.demo"]
    # Not by the loop: uvloop forks, and gRPC says on stderr what it thinks of that.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)  # noqa: S603, ASYNC220
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _what_to_try(url: str) -> list[str]:
    return [
        "",
        "A small shop is open: shop, stock, billing, and a web server that buys. Try, in another terminal:",
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
