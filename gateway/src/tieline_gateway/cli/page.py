"""What the commands print: aligned for a terminal of any width, one line for each row in a pipe."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_GAP = "  "


class _Console(Console):
    """Leaves it to us what a pipe is whose reader left."""

    def on_broken_pipe(self) -> None:
        """See `rich.console.Console`."""
        raise BrokenPipeError


class Page:
    """Prints lines as they are; only rows of a table that do not fit into the terminal are folded, by us."""

    def __init__(self) -> None:
        sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
        self._console = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.width = self._console.width if self._console.is_terminal else 0

    def line(self, text: str = "", style: str = "", indent: int = 0) -> None:
        """Print a line; in a terminal, a paragraph."""
        lines = _folded(text, self.width - indent) if self.width else [text]
        for each in lines:
            self._print(" " * indent + each, style)

    def table(
        self, heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], indent: int, below: int
    ) -> None:
        """Print rows with a style each. Columns without content are left out.

        Where the last column does not fit, it goes on new lines that begin `below` further to the right than the row.
        """
        kept = [n for n in range(len(heads)) if any(row[n] for row in rows)]
        table = [[each[n] for n in kept] for each in (heads, *rows)]
        fold = _Fold(table, self.width and self.width - indent, below)
        for row, style in zip(table, ("dim", *styles), strict=True):
            for text in fold.lines(row):
                self._print(" " * indent + text, style)

    def _print(self, text: str, style: str) -> None:
        self._console.print(Text(text.rstrip(), style))


class _Fold:
    """How to lay out the rows of one table; a width of 0 has room for everything."""

    def __init__(self, table: Sequence[Sequence[str]], width: int, below: int) -> None:
        self._widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)][:-1]
        self._used = sum(self._widths) + len(_GAP) * len(self._widths)
        self._width = width
        self._below = below

    def lines(self, row: Sequence[str]) -> list[str]:
        *first, last = row
        start = "".join(text + " " * (width - cell_len(text)) + _GAP for text, width in self._columns(first))
        if not self._width or self._used + cell_len(last) <= self._width:
            return [start + last]
        folded = _folded(last, self._width - self._below)
        return [*_folded(start.rstrip(), self._width), *(" " * self._below + each for each in folded if last)]

    def _columns(self, row: Sequence[str]) -> Iterable[tuple[str, int]]:
        return zip(row, self._widths, strict=True)


def visible(text: object) -> str:
    """A text that others wrote, without what a terminal would obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False, replace_whitespace=False) or [""]
