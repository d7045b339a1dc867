"""What people type, as values: payloads, headers, durations, moments; what cannot be meant is told, with how to."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import click

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_duration = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d|)", re.ASCII).fullmatch
_LONGEST_SECONDS = 315_576_000.0
_SHOWN = 60


class Duration(click.ParamType[float]):
    """Seconds, from `90`, `250ms`, `1.5s`, `5m`, `2h` or `7d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        seconds = _seconds(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no duration; it looks like 90, 250ms, 1.5s, 5m, 2h or 7d", param, ctx)
        return seconds


class Moment(click.ParamType[datetime]):
    """A moment: ISO 8601 (the zone of this machine unless one is given), or a duration from now.

    Args:
        back: a duration is before now, as in `--since 2h`; otherwise after it.

    """

    name = "moment"

    def __init__(self, *, back: bool) -> None:
        self._back = back

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        if isinstance(value, datetime):
            return value
        seconds = _seconds(str(value))
        if seconds is not None:
            return datetime.now(UTC) + timedelta(seconds=-seconds if self._back else seconds)
        try:
            return datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError, OSError):
            ago = "2h (ago)" if self._back else "2h (from now)"
            self.fail(f"{value!r} is no moment; it looks like 2026-11-21T18:30:00Z, 2026-11-21 or {ago}", param, ctx)


class Header(click.ParamType[tuple[str, str]]):
    """A header, `name: text` or `name=text`."""

    name = "name:text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read it."""
        if isinstance(value, tuple):
            return value  # pyright: ignore[reportUnknownVariableType]
        name, *text = re.split("[:=]", str(value), maxsplit=1)
        if not text or not name.strip():
            self.fail(f"{value!r} is no header; it looks like 'tenant: acme'", param, ctx)
        return name.strip(), text[0].strip()


DURATION, SINCE, LATER, HEADER = Duration(), Moment(back=True), Moment(back=False), Header()

header_option = click.option(
    "-H", "--header", "headers", type=HEADER, multiple=True, metavar="NAME:TEXT", help="A header; may be repeated."
)


def read_payload(given: str | None) -> Any:
    """The payload that DATA stands for: JSON, `@file` with JSON, `-` for JSON from stdin; None if it is not given."""
    if given is None:
        return None
    if given == "-":
        return parse_json(_decoded(sys.stdin.buffer.read(), "stdin"), "stdin")
    if given.startswith("@"):
        return parse_json(_file(given[1:]), given[1:])
    return parse_json(given, "DATA")


def parse_json(text: str, where: str) -> Any:
    """A value from JSON; `where` it is from.

    Raises:
        UsageError: it is none.

    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise click.UsageError(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise click.UsageError(f"{where} is no JSON: {error}{_advice(text, where)}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not in JSON")


def _advice(text: str, where: str) -> str:
    if where != "DATA" or len(text) > _SHOWN or not text.strip():
        return "" if text.strip() else " (it is empty; null is a payload, too)"
    quoted = json.dumps(text, ensure_ascii=False).replace("'", "'\\''")
    return f". Text is quoted twice, for the shell and for JSON: '{quoted}'"


def _file(name: str) -> str:
    try:
        return _decoded(Path(name).read_bytes(), name)
    except OSError as error:
        raise click.UsageError(f"cannot read {name!r}: {error.strerror}") from None


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{where} is not in UTF-8 (byte {error.start})") from None


def headers_of(given: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """Headers by name; None for none."""
    return dict(given) or None


def _seconds(text: str) -> float | None:
    found = _duration(text.strip())
    if not found:
        return None
    seconds = float(found[1]) * _UNITS[found[2]]
    return seconds if seconds <= _LONGEST_SECONDS else None
