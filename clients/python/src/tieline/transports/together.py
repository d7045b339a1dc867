"""Things that are done together, and who waits for which of them."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from tieline.errors import TielineError

T = TypeVar("T")


class Together(Generic[T]):
    """Tells each who waits what became of the things that are theirs."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[list[T]]]] = []

    def wait(self, count: int) -> asyncio.Future[list[T]]:
        """So many things more; the future gets what became of them."""
        future: asyncio.Future[list[T]] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, future))
        return future

    def done(self, told: list[T]) -> None:
        """What became of each, in order."""
        at = 0
        for count, future in self._waiting:
            if not future.done():
                future.set_result(told[at : at + count])
            at += count

    def fail(self, error: TielineError) -> None:
        """Nobody knows, or nothing was done."""
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(error)
