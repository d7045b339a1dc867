"""A streaming reply, as its reader sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from tieline import codec
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.caller import Caller
from tieline.calls.stream_call import StreamCall
from tieline.errors import InvalidArgumentError, InvalidPayloadError, Outcome

Begin = Callable[[], Awaitable[StreamCall | AsyncIterable[Any]]]


class Stream:
    """The items of a streaming reply, in order: `async for item in stream`.

    The call is made with the first item asked for, or by `async with`. Leaving early cancels the handler: by `aclose`,
    by the end of `async with`, by cancelling who waits for an item, or when nobody holds the stream any more, as after
    a `break`.
    """

    __slots__ = ("__weakref__", "_begin", "_call", "_caller", "_loop", "_over", "_reading", "_through")

    def __init__(self, begin: Begin, caller: Callable[[], Caller]) -> None:
        """What `begin` returns is read: a call, or what middleware made of one."""
        self._begin = begin
        self._caller = caller
        self._call: StreamCall | None = None
        self._through: AsyncIterator[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False
        self._reading = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next item.

        Raises:
            TielineError: what the responder said, or what became of it; the items before it were handed out.
            InvalidArgumentError: somebody else waits for the next item already.

        """
        if self._call is None and self._through is None and not self._over:
            await self._start()
        if self._through is not None:
            return await anext(self._through)
        envelope = await self.next_envelope()
        try:
            return codec.decode(envelope.data, envelope.content_type)
        except InvalidPayloadError as error:
            error.outcome = Outcome.MAY_HAVE_RUN
            await self.aclose()
            raise

    async def next_envelope(self) -> Envelope:
        """The next item as it travelled, for gateways, which need not look inside; errors as `__anext__`."""
        if self._call is None and not self._over:
            await self._start()
        call = self._call
        if self._over or call is None:
            raise StopAsyncIteration
        items = call.flow.items
        if not items:
            await self._arrival(call)
        item = call.flow.take()
        self._caller().taken(call)
        return item

    async def _arrival(self, call: StreamCall) -> None:
        if self._reading:
            raise InvalidArgumentError("somebody else waits for the next item of this stream; one reader at a time")
        self._reading = True
        try:
            while not call.flow.items:
                if call.done:
                    self._end(call)
                await self._caller().await_change(call)
        except asyncio.CancelledError:  # as with any other call: who is cancelled while waiting has given up
            await self.aclose()
            raise
        finally:
            self._reading = False

    async def aclose(self) -> None:
        """Read no more; the handler is cancelled if it still runs. Idempotent."""
        self._over = True
        if self._call is not None and not self._call.done:
            self._caller().abandon(self._call)
            self._call.wake()
        close = getattr(self._through, "aclose", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Self:
        if self._call is None and self._through is None:
            await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        call, loop = self._call, self._loop
        if call is not None and not call.done and loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop is being closed by another thread
                loop.call_soon_threadsafe(self._caller().abandon, call)

    async def _start(self) -> None:
        if self._reading:
            raise InvalidArgumentError("somebody else waits for the first item of this stream; one reader at a time")
        self._reading = True
        try:
            begun = await self._begin()
        finally:
            self._reading = False
        if isinstance(begun, StreamCall):
            self._call = begun
            if self._over:  # closed meanwhile
                self._caller().abandon(begun)
            self._loop = asyncio.get_running_loop()
        else:
            self._through = aiter(begun)

    def _end(self, call: StreamCall) -> None:
        self._over = True
        if call.error is not None:
            raise call.error
        raise StopAsyncIteration
