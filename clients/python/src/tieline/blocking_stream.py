"""A streaming reply, as a reader sees it that does not await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from tieline.calls.stream import Stream as AsyncStream
from tieline.errors import InvalidArgumentError, Outcome, UnavailableError
from tieline.events import EventSystem

Wait = Callable[[Callable[[EventSystem], Awaitable[Any]]], Any]

_END = object()


class Stream:
    """The items of a streaming reply, in order: `for item in stream`, in any thread, one at a time.

    The call is made with the first item asked for, or by `with`. Leaving early cancels the handler: by `close`, by the
    end of `with`, by whatever interrupts who waits for an item, or when nobody holds the stream any more, as after a
    `break`.
    """

    __slots__ = ("__weakref__", "_begun", "_closed", "_stream", "_system", "_wait")

    def __init__(self, stream: AsyncStream, system: EventSystem, wait: Wait) -> None:
        """What `system` streams is read in the loop that `wait` reaches."""
        self._stream = stream
        self._system = system
        self._wait = wait
        self._begun = False
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """The next item.

        Raises:
            TielineError: what the responder said, or what became of it; the items before it were handed out.
            InvalidArgumentError: another thread waits for the next item already.

        """
        if self._closed:
            raise StopIteration
        self._begun = True
        item = self._wait(self._next)
        if item is _END:
            self._closed = True
            raise StopIteration
        return item

    def close(self) -> None:
        """Read no more; the handler is cancelled if it still runs. Idempotent."""
        begun, self._closed = self._begun and not self._closed, True
        if begun:
            try:
                self._wait(self._leave)
            except (InvalidArgumentError, UnavailableError):
                if not self._system.closed:  # else the stream has ended with its system
                    raise

    def __enter__(self) -> Self:
        self._begun = True
        self._wait(self._enter)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _enter(self, system: EventSystem) -> None:
        self._check(system)
        await self._stream.__aenter__()

    async def _next(self, system: EventSystem) -> Any:
        self._check(system)
        return await anext(self._stream, _END)

    async def _leave(self, system: EventSystem) -> None:
        if system is self._system:
            await self._stream.aclose()

    def _check(self, system: EventSystem) -> None:
        """A forked child has another system, and the stream stays with its parent."""
        if system is not self._system:
            raise UnavailableError(
                "this stream was made before the process forked; make another one here", outcome=Outcome.MAY_HAVE_RUN
            )
