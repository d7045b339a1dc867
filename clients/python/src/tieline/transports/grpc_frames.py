"""What both ends of a Link share: the queue of what is still to be written, and interests on the wire."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from tieline._contract import gateway_pb2 as wire
from tieline._contract.contract import LIMIT_MESSAGE_BYTES
from tieline.transport import Interest, Route

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", LIMIT_MESSAGE_BYTES),
    ("grpc.max_send_message_length", LIMIT_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
"""Options of both ends. A ping every 10 s stays below what any server that permits pings at all allows."""


FRAME_BYTES = 32_768
"""What a frame aims at. Far below the limit: while one end reads a frame, the other one already makes the next."""

_PLENTY = 64
_DENSE_SECONDS = 0.0007  # from one message to the next
_QUIET_TURNS = 16
_MANY_EMPTY = 1024


class Outbox:
    """Serialized messages that wait to be written, in order, for one reader.

    Concatenated messages of one type are one message that holds the repeated fields of all (a rule of protobuf), so
    whatever waits goes out as one frame without being touched again. Droppable messages are given up, oldest first,
    while the outbox holds more than `limit` bytes.
    """

    __slots__ = (
        "_closed",
        "_droppable",
        "_empty",
        "_limit",
        "_queue",
        "_roomy",
        "_taken_at",
        "_taken_count",
        "_waiter",
        "size",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[bytes | list[bytes]] = deque()
        self._droppable: deque[list[bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._roomy = asyncio.Event()
        self._closed = False
        self._taken_at = 0.0
        self._taken_count = 0
        self._empty = 0
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
        self._empty += dropped
        if self._empty > _MANY_EMPTY and self._empty * 2 > len(self._queue):
            self._queue = deque(each for each in self._queue if not isinstance(each, list) or each[0])
            self._empty = 0
        return dropped

    async def room(self) -> None:
        """Return when it is not full any more, or closed."""
        while self.full and not self._closed:
            self._roomy.clear()
            await self._roomy.wait()

    def close(self) -> None:
        """Nothing more is added; `take` returns what is left and then nothing."""
        self._closed = True
        self._roomy.set()
        self._wake()

    async def take(self, target: int = FRAME_BYTES, more_to_come: Callable[[], bool] | None = None) -> bytes:
        """Wait for messages and return them joined, as many as make about `target` bytes; empty at the end.

        A frame costs about as much as fifty messages in it. So if messages come fast and there is `more_to_come`, it
        waits until a few turns of the event loop have brought nothing more.
        """
        while True:
            while not self._queue:
                if self._closed:
                    return b""
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            if more_to_come is not None and self._dense() and more_to_come():
                await self._collect()
            frame = b"".join(self._first(target))
            self.size -= len(frame)
            if not self.full:
                self._roomy.set()
            if frame:
                return frame

    def _dense(self) -> bool:
        """Whether the last frame and the wait for this one went by fast, for the number of messages."""
        now = time.monotonic()
        since, self._taken_at = now - self._taken_at, now
        count, self._taken_count = self._taken_count, 0
        return since < _DENSE_SECONDS * max(1, count)

    async def _collect(self) -> None:
        quiet, here = 0, len(self._queue)
        while quiet < _QUIET_TURNS and here < _PLENTY:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._queue) == here else 0
            here = len(self._queue)

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
                self._empty -= not message
            taken.append(message)
            size += len(message)
        self._taken_count = len(taken)
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


class Kept:
    """Frames with answers that wait for a link; the oldest give way when they are more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: deque[tuple[int, bytes]] = deque()
        self._size = 0

    def add(self, expires_at: int, frame: bytes) -> None:
        """Keep a frame until it is taken, or expires (ms, broker clock; 0 for never)."""
        self._frames.append((expires_at, frame))
        self._size += len(frame)
        while self._size > self._limit:
            self._size -= len(self._frames.popleft()[1])

    def take(self, now: int) -> list[bytes]:
        """All that has not expired."""
        kept, self._frames, self._size = self._frames, deque(), 0
        return [frame for expires_at, frame in kept if not expires_at or expires_at > now]


def register_of(interests: Iterable[Interest]) -> wire.ClientItem:
    """Make the item that asks the gateway for what comes by these interests."""
    return wire.ClientItem(register=wire.Register(interests=interests_to_wire(interests)))


def unregister_of(interests: Iterable[Interest]) -> wire.ClientItem:
    """Make the item that gives them up."""
    return wire.ClientItem(unregister=wire.Unregister(interests=interests_to_wire(interests)))


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
