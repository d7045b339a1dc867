"""uvicorn, in the gateway's loop: the gateway owns the signals, the logs and the sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from tieline_gateway.address import Address, AddressError
from tieline_gateway.http.protocol import HttpProtocol
from tieline_gateway.tls import Tls

_IDLE_SECONDS = 65
"""Longer than clients and proxies usually keep a connection, so that it is not closed just as they use it."""


class HttpServer:
    """Serves one application on one address, with TLS if there is a certificate.

    Args:
        app: what is served.
        tls: the certificate.
        leaving: set some time before `stop`; connections end with their next answer from then on.

    """

    def __init__(self, app: ASGIApp, tls: Tls | None, leaving: asyncio.Event) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is who is connected, whatever a header says
            timeout_keep_alive=_IDLE_SECONDS,
        )
        config.load()
        config.http_protocol_class = partial(HttpProtocol, leaving=leaving)  # pyright: ignore[reportAttributeAccessIssue]
        config.ssl = tls.context if tls else None
        self._server = _Server(config)
        self._running: asyncio.Task[None] | None = None

    async def start(self, address: Address) -> Address:
        """Listen; returns the address with its port, which is chosen if 0 was given.

        Raises:
            AddressError: the address is in use, or is none of this machine's.

        """
        try:
            listening = await asyncio.to_thread(_listen, address)
        except OSError as error:
            raise AddressError(f"cannot listen on {address}: {error}; --http says where else") from error
        self._running = asyncio.create_task(self._server.serve([listening]))
        while not (self._server.started or self._running.done()):
            await asyncio.sleep(0.001)
        return address._replace(port=listening.getsockname()[1])

    async def stop(self, seconds: float) -> None:
        """Take no new connections, and return when the last request has ended; after so many seconds all are cut."""
        if self._running is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(seconds))
        self._server.should_exit = True
        await self._running


class _Server(uvicorn.Server):
    """Leaves the signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        yield


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=2048)
