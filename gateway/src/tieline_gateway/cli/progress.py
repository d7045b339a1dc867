"""How far long work is: a bar on stderr, where that is a terminal, and nothing otherwise."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

_STEP_SECONDS = 0.1


class Progress:
    """A bar for one piece of work: `with Progress("redriving", total) as bar: bar.update(done)`."""

    def __init__(self, what: str, total: float | None = None, *, counts: bool = True) -> None:
        console = Console(stderr=True)
        counted: tuple[ProgressColumn, ...] = (MofNCompleteColumn(),) if counts else ()
        columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeRemainingColumn())
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task(what, total=total)
        self._clock: asyncio.Task[None] | None = None

    def update(self, done: float, total: float | None = None) -> None:
        """So much is done, of so much in all if that is known now."""
        self._bars.update(self._task, completed=done, total=total)

    def during(self, what: str, seconds: float) -> None:
        """It is at something now that takes so long; the bar follows the clock."""
        self._bars.update(self._task, description=what)
        if self._clock is not None:
            self._clock.cancel()
        self._clock = None if self._bars.disable else asyncio.create_task(self._follow(seconds))

    async def _follow(self, seconds: float) -> None:
        begun = self._bars.tasks[0].completed
        start = time.monotonic()
        while (gone := time.monotonic() - start) < seconds:
            self.update(begun + gone)
            await asyncio.sleep(_STEP_SECONDS)
        self.update(begun + seconds)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._bars.stop()
