"""One Link stream to a gateway, and what both of its ends share: the queue of what is still to be written.

Normative: SPEC.md, section 8.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import grpc
import grpc.aio

from tieline._contract import gateway_pb2 as wire
from tieline._contract.contract import LIMIT_FRAME_BYTES, LIMIT_MESSAGE_BYTES
from tieline.clock import Clock
from tieline.errors import (
    InvalidArgumentError,
    Outcome,
    TielineError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from tieline.settings import Settings
from tieline.transport import Interest, Route

METHOD = "/tieline.v1.EventGateway/Link"
CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", LIMIT_MESSAGE_BYTES),
    ("grpc.max_send_message_length", LIMIT_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
"""Options of both ends. A ping every 10 s stays below what any server that permits pings at all allows."""

_CLIENT_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),  # back-off is ours: a new channel knows nothing of earlier failures
    ("grpc.enable_http_proxy", 0),
]
_LATE_SECONDS = 0.1


class Outbox:
    """Serialized messages that wait to be written, in order; one reader.

    Concatenated messages of one type are one message that holds the repeated fields of all (a rule of protobuf), so
    whatever waits goes out as one frame without being touched again. Droppable messages are given up, oldest first,
    while the outbox holds more than `limit` bytes.
    """

    __slots__ = ("_closed", "_droppable", "_limit", "_queue", "_waiter", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[bytes | list[bytes]] = deque()
        self._droppable: deque[list[bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether it holds more than its limit; whoever can should refuse work now."""
        return self.size > self._limit

    def put(self, message: bytes) -> None:
        """Add a message that must not get lost."""
        self._queue.append(message)
        self._added(len(message))

    def put_droppable(self, message: bytes) -> int:
        """Add a message that may give way to later ones; returns how many older ones gave way now."""
        cell = [message]
        self._queue.append(cell)
        self._droppable.append(cell)
        self._added(len(message))
        dropped = 0
        while self.size > self._limit and len(self._droppable) > 1:
            oldest = self._droppable.popleft()
            self.size -= len(oldest[0])
            oldest[0] = b""
            dropped += 1
        return dropped

    def close(self) -> None:
        """Nothing more is added; `take` returns what is left and then nothing."""
        self._closed = True
        self._wake()

    async def take(self, target: int = LIMIT_FRAME_BYTES) -> bytes:
        """Wait for messages and return them joined, as many as make about `target` bytes; empty at the end."""
        while True:
            while not self._queue:
                if self._closed:
                    return b""
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            frame = b"".join(self._first(target))
            self.size -= len(frame)
            if frame:
                return frame

    def _first(self, target: int) -> list[bytes]:
        taken: list[bytes] = []
        size = 0
        queue = self._queue
        while queue and (size < target or not size):
            message = queue.popleft()
            if isinstance(message, list):
                if self._droppable and self._droppable[0] is message:
                    self._droppable.popleft()
                message = message[0]
            taken.append(message)
            size += len(message)
        return taken

    def _added(self, size: int) -> None:
        self.size += size
        if self._waiter is not None:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            self._waiter = None

class Target(NamedTuple):
    """Where a gateway is, and how to be let in."""

    address: str
    credentials: grpc.ChannelCredentials | None
    metadata: tuple[tuple[str, str], ...]


class LinkBrokenError(Exception):
    """The Link ended before an answer came."""


class ClientLink:
    """One Link stream, from `Welcome` to its end."""

    def __init__(self, target: Target, clock: Clock, settings: Settings) -> None:
        self.outbox = Outbox(settings.offline_buffer)
        self.instance = ""
        self.seen = 0.0
        self._target = target
        self._clock = clock
        self._settings = settings
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._refs = itertools.count(1)
        self._early: list[wire.GatewayItem] = []
        self._serving: asyncio.Task[str] | None = None
        if target.credentials is None:
            self._channel = grpc.aio.insecure_channel(target.address, options=_CLIENT_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target.address, target.credentials, options=_CLIENT_OPTIONS)
        self._call: Any = self._channel.stream_stream(METHOD)(metadata=target.metadata)

    async def open(self, hello: wire.Hello) -> None:
        """Say hello and become an instance.

        Raises:
            UnavailableError: nobody there within the connect timeout.
            UnauthenticatedError: the gateway wants other credentials.
            UnsupportedError: what is there is no Tieline gateway.

        """
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await self._greet(hello)
        except BaseException as error:
            await self.aclose()
            if isinstance(error, TimeoutError):
                raise _unreachable(self._target, "no answer in time") from None
            if isinstance(error, grpc.aio.AioRpcError):
                raise _refusal(self._target, error) from None
            raise

    async def _greet(self, hello: wire.Hello) -> None:
        frame = wire.LinkRequest(items=[wire.ClientItem(hello=hello)])
        await self._call.write(frame.SerializeToString())
        asked = time.monotonic()
        answer = await self._call.read()
        answered = time.monotonic()
        items = wire.LinkResponse.FromString(answer).items if answer is not grpc.aio.EOF else []
        if not items or items[0].WhichOneof("item") != "welcome":
            raise _unreachable(self._target, "it ended the link without a welcome")
        self.instance = items[0].welcome.instance
        self._clock.learn(items[0].welcome.time / 1000, asked, answered)
        self._early = list(items[1:])
        self.seen = answered

    def start(self, receive: Callable[[str, Any], None]) -> None:
        """Begin to write what is in the outbox, and to hand every item that arrives to `receive` by its name."""
        self._serving = asyncio.create_task(self._serve(receive))

    async def ended(self) -> str:
        """Return why the link ended, when it has."""
        if self._serving is None:
            return "it never started"
        await asyncio.wait([self._serving])
        return "it was closed" if self._serving.cancelled() else self._serving.result()

    async def ask(self, item: wire.ClientItem) -> Any:
        """Send an item that carries a `ref`, and return what answers it.

        Raises:
            LinkBrokenError: the link ended first.

        """
        future = self.expect(item)
        self.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())
        return await future

    def expect(self, item: wire.ClientItem) -> asyncio.Future[Any]:
        """Number an item; returns what will hold the answer to that number."""
        ref = next(self._refs)
        getattr(item, item.WhichOneof("item") or "").ref = ref
        future = self._asked[ref] = asyncio.get_running_loop().create_future()
        return future

    def answered(self, answer: Any) -> None:
        """An item that answers a `ref` arrived."""
        future = self._asked.pop(answer.ref, None)
        if future is not None and not future.done():
            future.set_result(answer)

    async def aclose(self) -> None:
        """Write what is left, end the stream, and let it go. Idempotent."""
        self.outbox.close()
        if self._serving is not None:
            await asyncio.wait([self._serving], timeout=1.0)
            self._serving.cancel()
            await asyncio.wait([self._serving])
        self._call.cancel()
        await self._channel.close()

    async def _serve(self, receive: Callable[[str, Any], None]) -> str:
        tasks = [asyncio.create_task(step) for step in (self._read(receive), self._write(), self._ping())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(_reason(task) for task in tasks if task in done)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._forget_asked()

    async def _read(self, receive: Callable[[str, Any], None]) -> str:
        items: Iterable[wire.GatewayItem] = self._early
        while True:
            for item in items:
                name = item.WhichOneof("item")
                if name:  # a newer gateway may say things we do not know
                    receive(name, getattr(item, name))
            frame = await self._call.read()
            if frame is grpc.aio.EOF:
                return "the gateway ended the link"
            self.seen = time.monotonic()
            items = wire.LinkResponse.FromString(frame).items

    async def _write(self) -> str:
        while frame := await self.outbox.take():
            await self._call.write(frame)
        await self._call.done_writing()
        return await asyncio.get_running_loop().create_future()

    async def _ping(self) -> str:
        while True:
            await asyncio.sleep(self._settings.ping_interval)
            item = wire.ClientItem(ping=wire.Ping())
            future = self.expect(item)
            asked = time.monotonic()
            self.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())
            await asyncio.wait([future], timeout=self._settings.pong_timeout)
            if not future.done():  # perhaps it was this loop that stood still
                await asyncio.wait([future], timeout=_LATE_SECONDS)
            if not future.done():
                return f"no sign of life for {time.monotonic() - self.seen:.1f} s"
            self._clock.learn(future.result().time / 1000, asked, time.monotonic())

    def _forget_asked(self) -> None:
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(LinkBrokenError())
                future.exception()  # nobody may be waiting any more


def _reason(task: asyncio.Task[str]) -> str:
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


def _unreachable(target: Target, why: str) -> UnavailableError:
    return UnavailableError(
        f"no gateway can be reached at {target.address} ({why}); start one with `tieline up`, or check TIELINE_URL",
        outcome=Outcome.NOT_DELIVERED,
    )


def _refusal(target: Target, error: grpc.aio.AioRpcError) -> TielineError:
    text = error.details() or error.code().name
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return UnauthenticatedError(
                f"the gateway at {target.address} refused the credentials ({text}); put the token into the URL's password"
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            return UnsupportedError(f"{target.address} speaks gRPC but is no Tieline gateway ({text})")
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidArgumentError(f"the gateway at {target.address} refused the link: {text}")
        case _:
            return _unreachable(target, text)


def interests_to_wire(interests: Iterable[Interest]) -> list[wire.Interest]:
    """Put interests on the wire."""
    return [
        wire.Interest(route=int(route), pattern=pattern, group=group)  # pyright: ignore[reportArgumentType]
        for route, pattern, group in interests
    ]


def interest_from_wire(interest: wire.Interest) -> Interest:
    """Read an interest.

    Raises:
        ValueError: the route is unknown.

    """
    return Interest(Route(interest.route), interest.pattern, interest.group)
