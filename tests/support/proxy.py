"""A TCP proxy on this machine that behaves like a bad network."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self

Side = Literal["client", "server"]
CHUNK = 65536


@dataclass
class Network:
    """What the network does to bytes at this moment; shared by all connections of one proxy."""

    delay: float = 0.0
    bytes_per_second: float | None = None
    passing: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """Stands between a client and a server, and does one kind of harm at a time, until `restore`.

    The faults act on connections that are open and on those to come, except `reset` and `half_open`, which act on
    open ones only. Use it as `async with FaultProxy("127.0.0.1", port) as proxy:` and connect to `proxy.port`.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._upstream = (host, port)
        self._network = Network()
        self._network.passing.set()
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self.accepted = 0
        """How many connections there have been."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many connections are open through it."""
        return len(self._connections)

    async def start(self) -> Self:
        """Listen; the port is chosen at the first start and kept."""
        self._listener = socket.create_server((self.host, self.port), backlog=100)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        return self

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        self._stop_listening()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # --- faults -----------------------------------------------------------------------------------------------------

    def delay(self, ms: float) -> None:
        """Every byte arrives this many milliseconds later, each way; the rate stays as it was."""
        self._network.delay = ms / 1000

    def drip(self, bytes_per_second: float) -> None:
        """Bytes arrive one small piece at a time, each way."""
        self._network.bytes_per_second = bytes_per_second

    def black_hole(self) -> None:
        """Nothing arrives any more, each way, and no one is told; what was sent meanwhile arrives after `restore`."""
        self._network.passing.clear()

    def reset(self) -> int:
        """Break every open connection with RST towards both sides; returns how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    def half_open(self, dead: Side = "server") -> int:
        """One side is gone and the other never hears of it, not even after `restore`; returns how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.lose(dead)
        return len(connections)

    def refuse(self) -> None:
        """New connections are refused; open ones go on."""
        self._stop_listening()

    async def restore(self) -> None:
        """A good network again."""
        self._network.delay = 0.0
        self._network.bytes_per_second = None
        self._network.passing.set()
        if self._listener is None:
            await self.start()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        """Take one connection; from here on a task has it, so that none is forgotten whenever `stop` comes."""
        try:
            client, _ = listener.accept()
        except OSError:
            return  # it was gone again
        client.setblocking(False)
        task = asyncio.create_task(self._carry(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: client.close())

    async def _carry(self, client: socket.socket) -> None:
        stream = await asyncio.open_connection(sock=client)
        try:
            upstream = await asyncio.open_connection(*self._upstream)
        except OSError:
            _abort(stream[1], reset=True)
            return
        except asyncio.CancelledError:
            _abort(stream[1], reset=False)
            raise
        connection = _Connection(self._network, stream, upstream)
        self._connections.add(connection)
        self.accepted += 1
        try:
            await connection.run()
        finally:
            connection.abort()
            self._connections.discard(connection)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Travelling = asyncio.Queue[tuple[float, bytes]]
DIRECTIONS: tuple[tuple[Side, Side], ...] = (("client", "server"), ("server", "client"))


class _Connection:
    """Two streams joined by two pumps, one each way."""

    def __init__(self, network: Network, client: Stream, server: Stream) -> None:
        self._network = network
        self._streams: dict[Side, Stream] = {"client": client, "server": server}
        self._dead: Side | None = None
        self._pumps: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Carry bytes until both directions have ended, or either broke."""
        try:
            async with asyncio.TaskGroup() as pumps:
                for source, target in DIRECTIONS:
                    travelling = Travelling(maxsize=64)
                    self._pumps.append(pumps.create_task(self._collect(source, travelling)))
                    self._pumps.append(pumps.create_task(self._deliver(travelling, target)))
        except* OSError:
            pass

    def abort(self) -> None:
        for _, writer in self._streams.values():
            _abort(writer, reset=False)

    def reset(self) -> None:
        for _, writer in self._streams.values():
            _abort(writer, reset=True)
        for pump in self._pumps:  # one may hold back what is never to arrive
            pump.cancel()

    def lose(self, side: Side) -> None:
        self._dead = side
        _abort(self._streams[side][1], reset=False)

    async def _collect(self, source: Side, travelling: Travelling) -> None:
        """Read from one side; `_deliver` writes, so that a delay costs time and not throughput."""
        chunk = b"."
        while chunk:
            chunk = await self._read(source)
            await travelling.put((asyncio.get_running_loop().time() + self._network.delay, chunk))

    async def _read(self, source: Side) -> bytes:
        try:
            chunk = await self._streams[source][0].read(CHUNK)
        except OSError:
            if self._dead != source:
                raise
            chunk = b""
        if not chunk and self._dead == source:
            await asyncio.Event().wait()  # the other side never hears that this one is gone
        return chunk

    async def _deliver(self, travelling: Travelling, target: Side) -> None:
        chunk = b"."
        while chunk:
            due, chunk = await travelling.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._network.passing.wait()
            try:
                await self._write(self._streams[target][1], chunk)
            except OSError:
                if self._dead != target:
                    raise
        if self._dead == target:
            raise ConnectionResetError("both sides are gone")

    async def _write(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        if not chunk:
            writer.write_eof()
        while chunk:
            rate = self._network.bytes_per_second
            piece = chunk if rate is None else chunk[: max(1, int(rate / 50))]
            writer.write(piece)
            await writer.drain()
            chunk = chunk[len(piece) :]
            if rate is not None:
                await asyncio.sleep(len(piece) / rate)
            await self._network.passing.wait()


def _abort(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    connection = writer.get_extra_info("socket")
    if reset and connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
