"""One live connection to Redis: RESP3, commands and subscriptions together, all writes of a loop turn in one.

Replies come in the order of the commands. Subscribing has no reply of its own in RESP3: its confirmations are pushes,
and only its refusal is a reply. So the queue of expected replies holds a `_Subscribing` in its place; whatever reply
arrives while one with unconfirmed channels is at the head is its refusal.

Nobody needs the reply to an answer, so the server is told to spare it: that is a system call less for it and a wake-up
less for us, on the way of every call. `_Unreplied` holds its place, and is done when any later reply arrives.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from tieline._contract.scripts import Script

log = logging.getLogger("tieline")

ReplyError = hiredis.ReplyError
Callback = Callable[[Any], None]

_MORE = object()
_UNREPLIED_BYTES = 1 << 20
_Push = hiredis.PushNotification
_CONFIRMATIONS = frozenset(
    {b"ssubscribe", b"subscribe", b"psubscribe", b"sunsubscribe", b"unsubscribe", b"punsubscribe"}
)


class LinkDownError(Exception):
    """The connection broke, or was closed, before the reply came."""


class _Subscribing:
    """A subscribe or unsubscribe command on its way."""

    __slots__ = ("future", "left")

    def __init__(self, left: int, future: asyncio.Future[None]) -> None:
        self.left = left
        self.future = future


class _Unreplied:
    """A command whose reply nobody needs, and is spared."""

    __slots__ = ("lost", "packed")

    def __init__(self, packed: bytes, lost: Callable[[bytes], None]) -> None:
        self.packed = packed
        self.lost = lost


class _Replied(_Unreplied):
    """One of them whose reply comes all the same."""


def bulk(data: bytes) -> bytes:
    """One argument of a command."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def pack(*arguments: str | bytes | int) -> bytes:
    """One command."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(map(bulk, parts))


_SKIP = pack("CLIENT", "REPLY", "SKIP")
_SPARED = b"spared"


def pack_script(script: Script, names: Sequence[str], arguments: int, *, whole: bool = False) -> bytes:
    """The head of a script's command; so many `arguments` must follow. `whole` sends the source, which loads it."""
    verb, body = ("EVAL", script.source) if whole else ("EVALSHA", script.sha)
    fixed = [verb, body, str(script.names), *names]
    return b"*%d\r\n" % (len(fixed) + arguments) + b"".join(bulk(part.encode()) for part in fixed)


class RedisLink(asyncio.Protocol):
    """The connection. `on_push` gets messages (lists that begin with their kind), `on_lost` is called once.

    Callbacks get the reply, a `ReplyError`, or a `LinkDownError`; they must not raise.
    """

    def __init__(
        self,
        on_push: Callable[[list[Any]], None],
        on_lost: Callable[[str], None],
        buffer_bytes: int,
        before_flush: Callable[[RedisLink], None] | None = None,
    ) -> None:
        self._on_push = on_push
        self._before_flush = before_flush
        self._on_lost = on_lost
        self._buffer_bytes = buffer_bytes
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._reading = False
        self._flushing = False
        self._expected: deque[Callback | _Subscribing | _Unreplied | None] = deque()
        self._can_skip = False
        self._unreplied = 0
        self._lost = ""
        self._paused = False
        self._backlog = 0
        self.heard_at = self._loop.time()

    @property
    def lost(self) -> str:
        """Why it is of no use any more; empty while it is."""
        return self._lost

    @property
    def congested(self) -> bool:
        """Whether the server reads so slowly that too much waits to be written."""
        return self._paused and self._backlog > self._buffer_bytes

    # --- sending --------------------------------------------------------------------------------------------------

    def send(self, packed: bytes, callback: Callback | None = None) -> None:
        """Send a command with the others of this loop turn."""
        if self._lost:
            if callback is not None:
                callback(LinkDownError(self._lost))
            return
        first = not self._out
        self._out.append(packed)
        if self._paused:
            self._backlog += len(packed)
        if first:
            self.flush_soon()
        self._expected.append(callback)

    def send_quietly(self, packed: bytes, lost: Callable[[bytes], None]) -> None:
        """Send a command whose reply nobody needs; `lost` gets it back if the connection breaks before it is done.

        Only now and then the server replies, so that not too much waits to be known as done.
        """
        if self._lost:
            lost(packed)
            return
        if self._can_skip and self._unreplied < _UNREPLIED_BYTES:
            self._unreplied += len(packed)
            self.send(_SKIP + packed)
            self._expected[-1] = _Unreplied(packed, lost)
        else:
            self.send(packed)
            self._expected[-1] = _Replied(packed, lost)

    def learn_to_skip(self) -> None:
        """Find out whether replies can be spared: a user may lack the right to ask for it."""

        def told(reply: Any) -> None:
            self._can_skip = reply == _SPARED
            if not self._can_skip:
                self._expected.extendleft((None, None))

        self.send(_SKIP + pack("ECHO", "skipped") + pack("ECHO", _SPARED), told)

    def flush_soon(self) -> None:
        """Write when this turn of the loop ends; while reading, when all that arrived has been looked at.

        While no command is under way there is nobody to wait for, and it is written at once.
        """
        if self._flushing or self._reading:
            return
        if self._expected:
            self._flushing = True
            self._loop.call_soon(self.flush)
        else:
            self.flush()

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Send a command and return its reply; raises ReplyError or LinkDownError."""
        return await self.ask(pack(*arguments))

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        """Send a packed command; the future gets its reply."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(packed, lambda reply: settle(future, reply))
        return future

    def subscribe(self, verb: str, channels: Sequence[str | bytes]) -> asyncio.Future[None]:
        """(S|P)(UN)SUBSCRIBE; the future is done when every channel is confirmed."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._lost:
            future.set_exception(LinkDownError(self._lost))
        elif not channels:
            future.set_result(None)
        else:
            self.send(pack(verb, *channels))
            self._expected[-1] = _Subscribing(len(channels), future)
        return future

    def close(self, why: str) -> None:
        """Drop the connection."""
        if self._transport is not None and not self._lost:
            self.flush()
            self._transport.close()
        self._fail(why)

    def abort(self, why: str) -> None:
        """Drop the connection without waiting for what is still to be written."""
        if self._transport is not None:
            self._transport.abort()
        self._fail(why)

    def flush(self) -> None:
        """Write now what there is."""
        if self._before_flush is not None:
            self._flushing = True  # what is sent now goes with the rest
            self._before_flush(self)
        self._flushing = False
        if self._out and self._transport is not None and not self._paused and not self._lost:
            out, self._out = self._out, []
            self._backlog = 0
            self._transport.write(b"".join(out))

    # --- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = writing = cast(asyncio.Transport, transport)
        # Zero: write at once, so that the server works while this turn goes on; what does not fit waits in `_out`.
        writing.set_write_buffer_limits(high=0)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._fail(f"the connection broke: {exc}" if exc else "the server closed the connection")

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = False
        self.flush()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.heard_at = self._loop.time()
        self._reading = True
        try:
            self._reader.feed(data)
            self._read()
        except hiredis.ProtocolError as error:
            self.abort(f"it does not speak the Redis protocol: {error}")
        except Exception as error:  # a defect of ours must not leave replies and callbacks out of step
            log.exception("reading from Redis failed")
            self.abort(f"reading failed: {error!r}")
        finally:
            self._reading = False
            self.flush()  # what was sent in answer to what was read

    def _read(self) -> None:
        gets = self._reader.gets
        while (reply := gets()) is not _MORE:
            if type(reply) is _Push:
                if reply[0] in _CONFIRMATIONS:
                    self._confirmed()
                else:
                    self._on_push(reply)
                continue
            if type(reply) is ReplyError and self._is_for_skip(str(reply)):
                self.abort(str(reply))
                return
            callback = self._first()
            if not self._expected:
                raise hiredis.ProtocolError(f"a reply to nothing: {reply!r}")
            self._expected.popleft()
            if isinstance(callback, _Subscribing):
                settle(callback.future, reply)
            elif callback is not None and not isinstance(callback, _Replied):
                callback(reply)

    def _first(self) -> Callback | _Subscribing | _Replied | None:
        """Who gets what comes now; commands before it whose replies are spared are done."""
        expected = self._expected
        while expected:
            first = expected[0]
            if not isinstance(first, _Unreplied) or isinstance(first, _Replied):
                return first
            self._unreplied -= len(first.packed)
            expected.popleft()
        return None

    def _is_for_skip(self, refusal: str) -> bool:
        """Whether asking to spare a reply itself was replied to, so that replies are out of step from here on.

        That happens while a script hangs, and when the user loses the right to ask.
        """
        return self._can_skip and (refusal.startswith("BUSY") or "client|reply" in refusal)

    def _confirmed(self) -> None:
        subscribing = self._first()
        if isinstance(subscribing, _Subscribing):
            subscribing.left -= 1
            if subscribing.left == 0:
                self._expected.popleft()
                settle(subscribing.future, None)

    def _fail(self, why: str) -> None:
        if self._lost:
            return
        self._lost = why
        expected, self._expected = self._expected, deque()
        for entry in expected:  # what was sent comes before what was only gathered
            if isinstance(entry, _Unreplied):
                entry.lost(entry.packed)
        self._on_lost(why)
        down = LinkDownError(why)
        for entry in expected:
            if isinstance(entry, _Subscribing):
                settle(entry.future, down)
            elif entry is not None and not isinstance(entry, _Unreplied):
                entry(down)


def settle(future: asyncio.Future[Any], reply: Any) -> None:
    """Hand a reply, or an error in its place, to whoever waits for it."""
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
