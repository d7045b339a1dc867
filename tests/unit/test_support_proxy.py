"""The faulty network: each fault does its harm, only its harm, and ends."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from tests.support.proxy import FaultProxy, Stream

SOON = 20.0
A_WHILE = 0.2


@dataclass
class Echo:
    """A server that sends back what it gets and counts the ends it sees."""

    port: int = 0
    ends: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
            self.ends.put_nowait("eof")
        except ConnectionResetError:
            self.ends.put_nowait("reset")
        finally:
            writer.transport.abort()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    service = Echo()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    yield service
    server.close()
    for writer in service.writers:
        writer.transport.abort()
    await asyncio.sleep(0.01)


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", echo.port) as running:
        yield running


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        await echoed((reader, writer), b"hello")
        yield reader, writer
    finally:
        writer.transport.abort()


async def echoed(stream: Stream, data: bytes, seconds: float = SOON) -> float:
    """Send and wait for the same bytes; how long that took."""
    begin = time.monotonic()
    stream[1].write(data)
    async with asyncio.timeout(seconds):
        assert await stream[0].readexactly(len(data)) == data
    return time.monotonic() - begin


async def silent(stream: Stream, seconds: float = A_WHILE) -> bool:
    """Neither bytes nor an end arrive for a while."""
    try:
        async with asyncio.timeout(seconds):
            await stream[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_a_good_network_carries_all_bytes_in_order(proxy: FaultProxy) -> None:
    data = bytes(range(256)) * 8192
    async with connected(proxy) as stream:
        assert await echoed(stream, data) < SOON


async def test_the_end_of_one_side_reaches_the_other(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as stream:
        stream[1].write_eof()
        async with asyncio.timeout(SOON):
            assert await echo.ends.get() == "eof"
            assert await stream[0].read() == b""
    async with asyncio.timeout(SOON):
        while proxy.connections:
            await asyncio.sleep(0.01)


async def test_a_server_that_is_gone_breaks_the_connection_at_once(unused_port: int) -> None:
    async with FaultProxy("127.0.0.1", unused_port) as proxy:
        stream = await asyncio.open_connection("127.0.0.1", proxy.port)
        async with asyncio.timeout(SOON):
            with pytest.raises(ConnectionResetError):
                await stream[0].read(1)
        stream[1].transport.abort()


async def test_delay_works_each_way_and_keeps_the_rate(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        proxy.delay(ms=250)
        assert 0.5 <= await echoed(stream, b"x") < 4
        assert await echoed(stream, b"y" * 4_000_000) < 4  # 61 chunks; a few at a time would take five seconds and more
        await proxy.restore()
        assert min([await echoed(stream, b"z") for _ in range(5)]) < 0.4


async def test_a_black_hole_is_silent_and_delivers_late(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        proxy.black_hole()
        stream[1].write(b"late")
        assert await silent(stream)
        late = await asyncio.open_connection("127.0.0.1", proxy.port)
        late[1].write(b"new")
        assert await silent(late)
        await proxy.restore()
        async with asyncio.timeout(SOON):
            assert await stream[0].readexactly(4) == b"late"
            assert await late[0].readexactly(3) == b"new"
        late[1].transport.abort()


async def test_reset_breaks_both_sides_with_rst(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as stream:
        assert proxy.reset() == 1
        async with asyncio.timeout(SOON):
            with pytest.raises(ConnectionResetError):
                await stream[0].read(1)
            assert await echo.ends.get() == "reset"
    async with connected(proxy) as again:
        assert await echoed(again, b"x") < SOON


async def test_a_client_never_hears_of_a_server_that_died_half_open(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as stream:
        assert proxy.half_open("server") == 1
        async with asyncio.timeout(SOON):
            assert await echo.ends.get() == "eof"
        stream[1].write(b"anybody there?")
        assert await silent(stream)
        await proxy.restore()
        assert await silent(stream)
        async with connected(proxy) as other:
            assert await echoed(other, b"x") < SOON
    async with asyncio.timeout(SOON):
        while proxy.connections:
            await asyncio.sleep(0.01)


async def test_a_server_never_hears_of_a_client_that_died_half_open(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as stream:
        proxy.half_open("client")
        async with asyncio.timeout(SOON):
            assert await stream[0].read() == b""
        await asyncio.sleep(A_WHILE)
        assert echo.ends.empty()


async def test_a_slow_drip_arrives_in_small_pieces(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        proxy.drip(bytes_per_second=1000)
        begin = time.monotonic()
        stream[1].write(b"x" * 200)
        async with asyncio.timeout(SOON):
            first = await stream[0].read(200)
            await stream[0].readexactly(200 - len(first))
        assert len(first) <= 40
        assert 0.15 <= time.monotonic() - begin < 4
        await proxy.restore()
        assert min([await echoed(stream, b"y" * 2000) for _ in range(5)]) < 1.5


async def test_refuse_turns_new_connections_away_and_leaves_open_ones(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await echoed(stream, b"still here")
        port = proxy.port
        await proxy.restore()
        assert proxy.port == port
        async with connected(proxy) as again:
            await echoed(again, b"back")


async def test_stopping_drops_connections_and_the_port(echo: Echo) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        stream = await asyncio.open_connection("127.0.0.1", proxy.port)
        await echoed(stream, b"x")
    assert proxy.connections == 0
    async with asyncio.timeout(SOON):
        assert await stream[0].read() == b""
    stream[1].transport.abort()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)


@pytest.mark.parametrize("turns", range(8))
async def test_stopping_drops_a_connection_that_is_just_being_made(echo: Echo, turns: int) -> None:
    loop = asyncio.get_running_loop()
    proxy = await FaultProxy("127.0.0.1", echo.port).start()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.setblocking(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        await proxy.stop()
        with suppress(ConnectionResetError):
            async with asyncio.timeout(SOON):
                assert await loop.sock_recv(client, 1) == b""


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
