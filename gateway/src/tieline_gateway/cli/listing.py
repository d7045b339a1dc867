"""Lists and single things as commands print them: a table or fields for people, a document for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import click

from tieline_gateway.cli.page import Page, visible
from tieline_gateway.cli.plain import json_text, plain, print_json

T = TypeVar("T")
_SHORT = 120
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"))


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of a table: its head, and what is in it."""

    head: str
    of: Callable[[T], object]


def show_list(
    items: Sequence[T], columns: Sequence[Column[T]], *, as_json: bool, nothing: str, more: dict[str, Any] | None = None
) -> None:
    """Print a list; `nothing` is said of an empty one, and `more` stands beside the items in JSON."""
    if as_json:
        print_json({"items": [plain(item) for item in items], **(more or {})})
        return
    page = Page()
    if not items:
        page.line(nothing)
        return
    rows = [tuple(visible(column.of(item)) for column in columns) for item in items]
    page.table([column.head for column in columns], rows, [""] * len(rows), indent=0, below=4)


def show_one(value: Any, *, as_json: bool) -> None:
    """Print one thing: its fields, a line each."""
    document = plain(value)
    if as_json:
        print_json(document)
        return
    page = Page()
    rows = [(name, visible(each if isinstance(each, str) else json_text(each))) for name, each in _fields(document)]
    page.table(("FIELD", "VALUE"), rows, [""] * len(rows), indent=0, below=4)


def _fields(document: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Fields that say something; those of an event in it by themselves."""
    for name, value in document.items():
        if name in ("event", "error", "last") and isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items() if each not in ("", None, {}))
        elif value not in ("", None, {}):
            yield name, value


def clock(moment: datetime | None) -> str:
    """A moment, in the zone of this machine."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def away(moment: datetime | None) -> str:
    """How far a moment is from now: `in 5m`, `2h ago`."""
    if moment is None:
        return ""
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return f"in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} ago"


def span(seconds: float | None) -> str:
    """A duration, about."""
    if seconds is None:
        return ""
    for size, unit in _UNITS:
        if seconds >= size:
            rest = seconds / size
            return f"{rest:.1f}{unit}" if rest < 10 else f"{rest:.0f}{unit}"
    return f"{seconds:.0f}s"


def short(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; without a terminal `--yes` must be given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Say so with --yes.")
    click.confirm(question, abort=True, err=True)


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
