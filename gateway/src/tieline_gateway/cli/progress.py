"""How far long work is: a bar on stderr, where that is a terminal, and nothing otherwise."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """A bar for one piece of work: `with Progress("redriving", total) as bar: bar.update(done)`."""

    def __init__(self, what: str, total: float | None = None) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task(what, total=total)

    def update(self, done: float, total: float | None = None) -> None:
        """So much is done, of so much in all if that is known now."""
        self._bars.update(self._task, completed=done, total=total)

    def say(self, what: str) -> None:
        """It is at something else now."""
        self._bars.update(self._task, description=what)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
