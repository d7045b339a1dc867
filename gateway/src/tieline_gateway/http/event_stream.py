"""Server-sent events: one implementation for everything that goes on while it is read.

A stream is its source, an asynchronous generator of frames: what is not sent yet is held by the source, which bounds
it, as the next frame is asked for when the last one is on its way. The source is closed when the client has left, when
the gateway drains, and at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tieline.errors import Outcome, UnavailableError
from tieline_gateway.http.problems import problem_of

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
"""A comment is sent when nothing else was for so long, so that nobody on the way thinks that the stream is dead."""

_FIRST_SECONDS = 0.5
_FAREWELL_SECONDS = 1.0
_RETRY = b"retry: 2000\n\n"
_COMMENT = b": still here\n\n"
_GOING = "the gateway is about to stop; connect again"

Frames = AsyncGenerator[bytes, None]

_encode = msgspec.json.Encoder(enc_hook=str).encode
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def frame(event: str, data: Any, id: str = "") -> bytes:
    """One event: its name, its data as JSON in one line, and an id where one can go on from it."""
    name = b"id: %s\nevent: %s\n" % (id.encode(), event.encode()) if id else b"event: %s\n" % event.encode()
    return b"%sdata: %s\n\n" % (name, _encode(data).translate(_ONE_LINE))  # a line break in JSON is a space


async def event_stream(
    source: Frames, ends: asyncio.Event, headers: dict[str, str] | None = None, outcome: Outcome = Outcome.NOT_DELIVERED
) -> EventStream:
    """Begin a stream; it also ends when `ends` is set, and `outcome` says what that means.

    Raises:
        TielineError: what the source raised at once. What it raises later is told as the event `error`.

    """
    first = asyncio.ensure_future(anext(source))
    try:
        await asyncio.wait({first}, timeout=_FIRST_SECONDS)
    except asyncio.CancelledError:
        await _close(source, first)
        raise
    if first.done() and not isinstance(first.exception(), StopAsyncIteration):
        first.result()
    return EventStream(source, first, ends, headers, UnavailableError(_GOING, outcome=outcome))


class EventStream(Response):
    """An answer that goes on until its source ends, its reader leaves, or the gateway stops."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        source: Frames,
        first: asyncio.Future[bytes],
        ends: asyncio.Event,
        headers: dict[str, str] | None,
        farewell: UnavailableError,
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._source = source
        self._pending: asyncio.Future[bytes] | None = first
        self._ends = ends
        self._farewell = farewell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        tasks: list[asyncio.Task[Any]] = []
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await _finish(send)
                return
            await _write(send, _RETRY)
            steps = (self._pump(send), _until_gone(receive), self._ends.wait())
            tasks = [asyncio.create_task(step) for step in steps]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[1] in done:
                return
            if tasks[0] in done:
                await _finish(send)
            elif not await self._say_farewell(send, tasks[0]):
                scope["state"]["abort"]()
                await tasks[1]
        finally:
            await _end(tasks)
            await _close(self._source, self._pending)

    async def _say_farewell(self, send: Send, pump: asyncio.Task[Any]) -> bool:
        """Tell why it ends; whether the reader took it, as one that reads nothing may not hold the gateway."""
        await _end([pump])
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await _write(send, frame("error", problem_of(self._farewell)))
                await _finish(send)
        except TimeoutError:
            return False
        return True

    async def _pump(self, send: Send) -> None:
        while True:
            if self._pending is None:
                self._pending = asyncio.ensure_future(anext(self._source))
            done, _ = await asyncio.wait({self._pending}, timeout=HEARTBEAT_SECONDS)
            if not done:
                await _write(send, _COMMENT)
                continue
            found, self._pending = self._pending, None
            try:
                told = found.result()
            except StopAsyncIteration:
                return
            except Exception as error:
                await _write(send, frame("error", problem_of(error)))
                return
            await _write(send, told)


async def _write(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _finish(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close(source: Frames, pending: asyncio.Future[bytes] | None) -> None:
    if pending is not None:
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
    await source.aclose()
