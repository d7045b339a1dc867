"""Servers that do not want us, or that no client can use: what a case may write as an address, such as "$cluster"."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator

import grpc.aio

from tests.gateway.up import TOKEN, Up
from tests.support.servers import RedisServer


@contextlib.asynccontextmanager
async def stranger(name: str) -> AsyncIterator[str]:
    """Start one; gives its address."""
    async with _STRANGERS[name]() as url:
        yield url


@contextlib.asynccontextmanager
async def _cluster() -> AsyncIterator[str]:
    """A Redis that is part of a cluster."""
    with RedisServer(options=("--cluster-enabled", "yes", "--cluster-port", str(_free_port()))) as server:
        yield server.url


@contextlib.asynccontextmanager
async def _locked() -> AsyncIterator[str]:
    """A Redis whose password nobody said."""
    with RedisServer(password="secret") as server:
        yield f"redis://127.0.0.1:{server.port}"


@contextlib.asynccontextmanager
async def _limited() -> AsyncIterator[str]:
    """A Redis where we may not listen."""
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "limited", "on", ">secret", "+@all", "~*", "resetchannels")
        yield f"redis://limited:secret@127.0.0.1:{server.port}"


@contextlib.asynccontextmanager
async def _guarded() -> AsyncIterator[str]:
    """A gateway whose token nobody said."""
    with tempfile.NamedTemporaryFile("w") as token:
        token.write(TOKEN)
        token.flush()
        async with Up("--token-file", token.name) as up:
            yield up.url


@contextlib.asynccontextmanager
async def _no_gateway() -> AsyncIterator[str]:
    """Something that speaks gRPC and knows nothing of us."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        await server.stop(None)


_STRANGERS = {
    "$cluster": _cluster,
    "$locked": _locked,
    "$limited": _limited,
    "$guarded": _guarded,
    "$no_gateway": _no_gateway,
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
