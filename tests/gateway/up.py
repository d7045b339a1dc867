"""A real `tieline up`, in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Self

import grpc
import grpc.aio
import httpx

from tests.support.processes import Peer
from tieline import EventSystem, Settings
from tieline._contract.gateway_pb2_grpc import EventGatewayStub

TOKEN = "a-token-of-twenty-five-chars"
START_SECONDS = 60.0
"""How long a process may take to load and begin, where many do so at once."""


class Up(Peer):
    """One gateway. It keeps its ports over `start_again`, so that clients can come back to it.

    It serves HTTP if `http=True`; `web` is then the URL.
    """

    def __init__(
        self, *options: str, env: dict[str, str] | None = None, listen: str = "127.0.0.1:0", http: bool = False
    ) -> None:
        ours = {name: "" for name in os.environ if name.startswith(("TIELINE_", "REDIS_URL"))}
        self.options = options
        self.listen = listen
        self.web = ""
        self._http = "127.0.0.1:0" if http else "none"
        super().__init__(*self._command(listen), env={**ours, **(env or {})})

    async def start(self) -> Self:
        """Start it and wait until it serves.

        Raises:
            PeerFailed: it ended first; the message holds what it said.
        """
        await self.begin()
        try:
            said = await self.line("^tieline: serving gRPC", seconds=START_SECONDS)
            if self._http != "none":
                self.web = (await self.line("^tieline: serving HTTP", seconds=START_SECONDS)).split()[4]
                self._http = self.web.partition("://")[2]
        except BaseException:
            await self.close()
            raise
        self.listen = said.split()[4]
        self.command = self._command(self.listen)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
        assert "Traceback" not in self.text, self.text

    async def begin(self) -> None:
        """Start it, and do not wait."""
        self.output.clear()
        self._silent = False
        await self.spawn()

    async def refuses(self) -> int:
        """Start it and return its exit code: it must end by itself."""
        await self.begin()
        try:
            return await self.wait(seconds=START_SECONDS)
        finally:
            await self.close()

    @property
    def address(self) -> str:
        """host:port."""
        return self.listen

    @property
    def url(self) -> str:
        """For our clients."""
        return f"grpc://{self.listen}"

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def _command(self, listen: str) -> list[str]:
        return [sys.executable, "-m", "tieline_gateway", "up", "--listen", listen, "--http", self._http, *self.options]


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of somebody with a token; none for no token."""
    return (("authorization", f"Bearer {token}"),) if token else ()


class Client:
    """A program with plain stubs."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self.stub: Any = EventGatewayStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.channel.close()


class WebClient(httpx.AsyncClient):
    """Somebody who speaks HTTP."""

    def __init__(self, up: Up, **options: Any) -> None:
        self.up = up
        super().__init__(base_url=up.web, **{"trust_env": False, "timeout": 30.0, **options})


def system(up: Up, **options: Any) -> EventSystem:
    """One of our clients on this gateway."""
    return EventSystem(up.url, **{"service": "test", "settings": Settings(drain=0.1), **options})
